//! One request on its way to a service: tries, deadlines, retries.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::Instant;
use tokio::time::{timeout, timeout_at};

use crate::cluster::{Cluster, Pick};
use crate::config::UpstreamConfig;
use crate::download::{ClientBody, Download};
use crate::endpoint::{Endpoint, InFlight};
use crate::outgoing::Outgoing;
use crate::pool::{Lease, Pool};
use crate::retry::{Failure, Repeatable};
use crate::trouble::Trouble;
use crate::upload::UpstreamBody;

/// What exchanges need besides the request.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// The owner of the route.
    pub cluster: &'a Cluster,
    /// The worker's connections.
    pub pool: &'a Arc<Pool>,
    /// Deadlines.
    pub config: &'a UpstreamConfig,
    /// Retries beyond the first try.
    pub retries: u32,
    /// When the answer's head must be here.
    pub deadline: Instant,
    /// Whether the client's key makes the request safe to repeat.
    pub keyed: bool,
    /// The longest request body, for its error's text.
    pub max_body: usize,
}

/// A try that brought no answer.
struct Failed {
    failure: Failure,
    /// The request, when it was not touched.
    request: Option<Outgoing>,
    /// The connection had been used before, and its end may have crossed the request: says nothing about the instance.
    stale: bool,
    cause: String,
}

impl Failed {
    fn late() -> Self {
        Self {
            failure: Failure::TryDeadline,
            request: None,
            stale: false,
            cause: "no answer in time".to_owned(),
        }
    }
}

impl Exchange<'_> {
    /// Sends the request to an instance, and to others while that is safe, allowed and of use.
    ///
    /// # Errors
    /// [`Trouble`] when no instance answered.
    pub async fn run(self, mut outgoing: Outgoing) -> Result<Response<ClientBody>, Trouble> {
        let service = self.cluster.name();
        let repeatable = Repeatable::of(
            &outgoing.method,
            self.keyed,
            matches!(outgoing.body, UpstreamBody::Whole(_)),
        );
        let progress = outgoing.body.progress();
        let mut pick = self
            .cluster
            .pick(common::clock::now())
            .ok_or(Trouble::Unavailable(service))?;
        let mut tried = Vec::new();
        let mut fresh = false;
        loop {
            let endpoint = Arc::clone(&pick.endpoint);
            if !fresh {
                tried.push(Arc::clone(&endpoint));
            }
            let spare = if repeatable.after(Failure::NoAnswer) {
                outgoing.copy()
            } else {
                None
            };
            let mut attempt = pin!(self.attempt(&endpoint, outgoing, repeatable, fresh));
            let soon = if repeatable.read && spare.is_some() {
                timeout(self.config.read_try_ms, &mut attempt).await.ok()
            } else {
                Some(attempt.as_mut().await)
            };
            let mut next = None;
            let outcome = match soon {
                Some(outcome) => outcome,
                // A frozen process takes requests and never answers. Whom nobody can stand in for is waited for.
                None => {
                    next = self.another(&pick, &tried, common::clock::now());
                    match next {
                        Some(_) => Err(Failed::late()),
                        None => attempt.await,
                    }
                }
            };
            let failed = match outcome {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            if let Some(fault) = progress.as_ref().and_then(|progress| progress.fault()) {
                return Err(Trouble::of_body(fault, self.max_body));
            }
            let now = common::clock::now();
            if now >= self.deadline {
                return Err(Trouble::Deadline(service));
            }
            let again = repeatable
                .after(failed.failure)
                .then(|| failed.request.or(spare))
                .flatten();
            if failed.stale
                && let Some(again) = again
            {
                (outgoing, fresh) = (again, true);
                continue;
            }
            tracing::debug!(
                service,
                instance = pick.endpoint.id(),
                cause = failed.cause,
                "a try failed"
            );
            self.cluster.failed(&pick.endpoint, now);
            pick.endpoint.meters().failed.increment(1);
            let next = next.or_else(|| self.another(&pick, &tried, now));
            let (Some(again), Some(next)) = (again, next) else {
                tracing::warn!(
                    service,
                    instance = pick.endpoint.id(),
                    cause = failed.cause,
                    "no instance answered"
                );
                return Err(match failed.failure {
                    Failure::NotSent => Trouble::Unavailable(service),
                    Failure::NoAnswer => Trouble::NoAnswer(service),
                    Failure::TryDeadline => Trouble::Deadline(service),
                });
            };
            (outgoing, pick, fresh) = (again, next, false);
        }
    }

    fn another(&self, last: &Pick, tried: &[Arc<Endpoint>], now: Instant) -> Option<Pick> {
        if tried.len() > self.retries as usize {
            return None;
        }
        let next = self.cluster.pick_another(last, tried)?;
        let meters = self.cluster.meters();
        if self.cluster.may_retry(now) {
            meters.retries.increment(1);
            Some(next)
        } else {
            meters.retries_denied.increment(1);
            None
        }
    }

    async fn attempt(
        &self,
        endpoint: &Arc<Endpoint>,
        outgoing: Outgoing,
        repeatable: Repeatable,
        fresh: bool,
    ) -> Result<Response<ClientBody>, Failed> {
        let in_flight = InFlight::begin(Arc::clone(endpoint));
        let started = common::clock::now();
        // A body under way may take as long as the request may; a try's own deadline is for what can be tried again.
        let own = if repeatable.body_kept {
            self.config.try_ms
        } else {
            Duration::MAX
        };
        let deadline = started
            .checked_add(own)
            .map_or(self.deadline, |at| at.min(self.deadline));
        // What must not be sent twice goes over a connection that is surely open: a new one, or one just used.
        let within = if repeatable.after(Failure::NoAnswer) {
            Duration::MAX
        } else {
            self.config.reuse_unsafe_ms
        };
        let pooled = if fresh {
            None
        } else {
            self.pool.take(endpoint.address(), within, started)
        };
        let lease = match pooled {
            Some(lease) => lease,
            None => match self.connect(endpoint, deadline).await {
                Ok(lease) => lease,
                Err(cause) => {
                    return Err(Failed {
                        failure: Failure::NotSent,
                        request: Some(outgoing),
                        stale: false,
                        cause,
                    });
                }
            },
        };
        let (answer, lease) = send(lease, outgoing.addressed(endpoint), deadline).await?;
        let now = common::clock::now();
        endpoint.succeeded(now);
        endpoint.meters().answered.increment(1);
        endpoint
            .meters()
            .seconds
            .record((now - started).as_secs_f64());
        Ok(answer.map(|body| {
            ClientBody::Streamed(Download::new(body, in_flight, lease, self.config.pause_ms))
        }))
    }

    async fn connect(&self, endpoint: &Endpoint, deadline: Instant) -> Result<Lease, String> {
        let deadline = deadline.min(common::clock::now() + self.config.connect_ms);
        match timeout_at(deadline, self.pool.dial(endpoint.address())).await {
            Ok(Ok(lease)) => Ok(lease),
            Ok(Err(error)) => Err(format!("no connection: {error}")),
            Err(_) => Err("not connected in time".to_owned()),
        }
    }
}

async fn send(
    mut lease: Lease,
    request: Request<UpstreamBody>,
    deadline: Instant,
) -> Result<(Response<Incoming>, Lease), Failed> {
    let failed = |failure, cause| Failed {
        failure,
        request: None,
        stale: false,
        cause,
    };
    match timeout_at(deadline, lease.sender.try_send_request(request)).await {
        Ok(Ok(answer)) if answer.status().is_informational() => Err(failed(
            Failure::NoAnswer,
            format!("answered {} without being asked to", answer.status()),
        )),
        Ok(Ok(answer)) => Ok((answer, lease)),
        Ok(Err(mut error)) => {
            let request = error.take_message().map(Outgoing::from);
            let failure = if request.is_some() {
                Failure::NotSent
            } else {
                Failure::NoAnswer
            };
            Err(Failed {
                failure,
                request,
                stale: lease.reused,
                cause: error.into_error().to_string(),
            })
        }
        Err(_) => Err(Failed::late()),
    }
}
