//! Customers who browse, order and cancel while something happens to the shop, and what they notice.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use test_support::comes_again;

/// At each host.
const CUSTOMERS: usize = 2;
/// Between two requests of a customer.
const PAUSE: Duration = Duration::from_millis(20);
/// A customer's patience with one request.
const PATIENCE: Duration = Duration::from_secs(20);

/// What customers of one host do when its port is closed.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Refused {
    /// Nothing: it is a failure.
    Fails,
    /// They turn to the next host.
    TriesTheNext,
    /// They do so, and who is asked to come again does.
    TriesAgain,
}

/// What was noticed.
pub(crate) struct Noticed {
    pub(crate) answered: usize,
    /// How often somebody was asked to come again.
    pub(crate) turned_away: usize,
    pub(crate) failures: Vec<String>,
    /// At each host, the longest time in which nobody had a good answer from it.
    pub(crate) gaps: Vec<Duration>,
}

impl Noticed {
    /// Nobody was served badly, and there was a load.
    pub(crate) fn nothing_bad(&self) -> Result<()> {
        let failures = &self.failures;
        ensure!(
            failures.is_empty(),
            "{} failed, {} answered:\n{}",
            failures.len(),
            self.answered,
            failures[..failures.len().min(12)].join("\n")
        );
        ensure!(self.answered > 100, "no load: {} answers", self.answered);
        Ok(())
    }
}

struct Host {
    url: String,
    last_good: Cell<Instant>,
    gap: Cell<Duration>,
}

impl Host {
    fn is_good(&self) {
        let at = now();
        self.gap
            .set(self.gap.get().max(at - self.last_good.replace(at)));
    }
}

struct Crowd {
    began: Instant,
    hosts: Vec<Host>,
    refused: Refused,
    done: Cell<bool>,
    answered: Cell<usize>,
    turned_away: Cell<usize>,
    failures: RefCell<Vec<String>>,
}

/// Runs `happening` while customers shop at each of `urls`; what both had to say.
pub(crate) async fn meanwhile<T>(
    urls: &[String],
    refused: Refused,
    happening: impl Future<Output = Result<T>>,
) -> Result<(T, Noticed)> {
    let began = now();
    let hosts = urls.iter().map(|url| Host {
        url: url.clone(),
        last_good: Cell::new(began),
        gap: Cell::default(),
    });
    let crowd = Crowd {
        began,
        hosts: hosts.collect(),
        refused,
        done: Cell::default(),
        answered: Cell::default(),
        turned_away: Cell::default(),
        failures: RefCell::default(),
    };
    let shopping = (0..CUSTOMERS * urls.len()).map(|customer| crowd.shop(customer));
    let shopping = futures_util::future::join_all(shopping);
    let happened = async {
        let happened = happening.await;
        crowd.done.set(true);
        happened
    };
    let (happened, shopped) = tokio::join!(happened, shopping);
    shopped.into_iter().collect::<Result<()>>()?;
    let happened = happened?;
    for host in &crowd.hosts {
        let silent = now() - host.last_good.get();
        host.gap.set(host.gap.get().max(silent));
    }
    let noticed = Noticed {
        answered: crowd.answered.get(),
        turned_away: crowd.turned_away.get(),
        failures: crowd.failures.take(),
        gaps: crowd.hosts.iter().map(|host| host.gap.get()).collect(),
    };
    Ok((happened, noticed))
}

impl Crowd {
    /// One customer, who keeps connections open as browsers do.
    async fn shop(&self, customer: usize) -> Result<()> {
        let client = Client::builder().timeout(PATIENCE).build()?;
        let home = customer % self.hosts.len();
        let mut round = 0_usize;
        while !self.done.get() {
            round += 1;
            let outcome = match round % 4 {
                0 => self.order(&client, home).await,
                1 => self.read(&client, home, "/api/products?limit=3").await,
                _ => self.read(&client, home, "/api/products/1").await,
            };
            if let Err(error) = outcome {
                let at = self.began.elapsed().as_secs_f64();
                let failure = format!("{at:.2} s, host {}: {error:#}", home + 1);
                self.failures.borrow_mut().push(failure);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn read(&self, client: &Client, home: usize, path: &str) -> Result<()> {
        let (status, body) = self.ask(client, home, Method::GET, path, None).await?;
        ensure!(status == 200, "GET {path}: {status} {body}");
        Ok(())
    }

    /// Orders and cancels, so that stock lasts.
    async fn order(&self, client: &Client, home: usize) -> Result<()> {
        let order =
            json!({"customer_id": "a-customer", "items": [{"product_id": "2", "quantity": 1}]});
        let (status, body) = self
            .ask(client, home, Method::POST, "/api/orders", Some(&order))
            .await?;
        if status == 202 && self.refused == Refused::TriesAgain {
            return Ok(()); // accepted, and decided a little later
        }
        ensure!(status == 201, "POST /api/orders: {status} {body}");
        let id = serde_json::from_str::<Value>(&body)?;
        let path = format!("/api/orders/{}/cancel", id["id"].as_str().context("an id")?);
        let (status, body) = self.ask(client, home, Method::POST, &path, None).await?;
        ensure!(status == 200, "POST {path}: {status} {body}");
        Ok(())
    }

    async fn ask(
        &self,
        client: &Client,
        home: usize,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, String)> {
        let key = uuid::Uuid::new_v4().to_string();
        let (count, first) = (self.hosts.len(), now());
        // Whoever tries again knocks at the next host, and at the first one after the last.
        for host in (home..).map(|number| &self.hosts[number % count]) {
            if first.elapsed() > PATIENCE {
                break;
            }
            let mut request = client
                .request(method.clone(), format!("{}{path}", host.url))
                .header("idempotency-key", &key);
            if let Some(body) = body {
                request = request.json(body);
            }
            let answer = match request.send().await {
                Ok(answer) => answer,
                Err(error) if self.refused != Refused::Fails && is_refused(&error) => continue,
                Err(error) => return Err(error).with_context(|| format!("{method} {path}")),
            };
            let status = answer.status();
            if self.refused == Refused::TriesAgain
                && let Some(pause) = comes_again(&answer)
            {
                self.turned_away.set(self.turned_away.get() + 1);
                tokio::time::sleep(pause).await;
                continue;
            }
            let body = answer.text().await.context("an answer broke off")?;
            if status.is_success() {
                self.answered.set(self.answered.get() + 1);
                host.is_good();
            }
            return Ok((status, body));
        }
        bail!("no host had an answer to {method} {path} in {PATIENCE:?}")
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where customers read the clock"
)]
fn now() -> Instant {
    Instant::now()
}

/// Whether nobody listened: the only failure after which a request may be sent elsewhere without a thought.
fn is_refused(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>()
            && error.kind() == ErrorKind::ConnectionRefused
        {
            return true;
        }
        cause = error.source();
    }
    false
}
