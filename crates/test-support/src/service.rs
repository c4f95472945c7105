//! A built service binary, started as a person would: by its environment alone.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::sys::signal::Signal;

use crate::guard::{Guarded, folder};
use crate::{eventually_within, free_address};

const START_DEADLINE: Duration = Duration::from_secs(30);

/// Starts the service binary at `program` with exactly the environment given, on a loopback address of its own, and waits
/// until its `/health` answers.
///
/// `HTTP__LISTEN` is set unless given (as a single `ip:port`).
///
/// # Errors
/// When it ends before it answers, or does not answer within 30 s; the message holds its log.
pub async fn spawn_service(
    program: impl AsRef<Path>,
    environment: &[(&str, &str)],
) -> Result<Service> {
    let given = environment.iter().find(|(key, _)| *key == "HTTP__LISTEN");
    let address = match given {
        Some((_, address)) => address.parse().context("HTTP__LISTEN")?,
        None => free_address(),
    };
    let mut all: Vec<(String, String)> = vec![("HTTP__LISTEN".to_owned(), address.to_string())];
    all.extend(
        environment
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
    );
    let name = program
        .as_ref()
        .file_name()
        .context("a program has a name")?
        .to_string_lossy();
    let process = Guarded::spawn(
        &[program.as_ref().as_os_str()],
        &all,
        folder(&name)?,
        false,
        Signal::SIGKILL,
    )?;
    let service = Service {
        address,
        process: Mutex::new(process),
    };
    eventually_within(START_DEADLINE, &format!("{name} answers"), || async {
        if !service.is_running() {
            return Ok(Err(anyhow!("{name} ended:\n{}", service.log())));
        }
        let answer = reqwest::get(format!("{}/health", service.base_url())).await?;
        Ok(Ok(answer.error_for_status().map(drop)?))
    })
    .await
    .with_context(|| service.log())??;
    Ok(service)
}

/// A running service; dropped, it is killed.
#[derive(Debug)]
pub struct Service {
    address: SocketAddr,
    process: Mutex<Guarded>,
}

impl Service {
    /// `http://ip:port`
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.with(|process| process.pid())
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.with(|process| process.log())
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.with(|process| process.is_running())
    }

    /// Ends it at once, as a crash would, and waits until it is gone.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
        let _ = self.with(Guarded::wait);
    }

    /// Sends any signal.
    pub fn signal(&self, signal: Signal) {
        self.with(|process| process.signal(signal));
    }

    /// Asks it to shut down and waits until it has: its exit status.
    ///
    /// # Errors
    /// When its guard is gone.
    pub async fn term(self) -> Result<i32> {
        self.signal(Signal::SIGTERM);
        tokio::task::spawn_blocking(move || self.with(Guarded::wait)).await?
    }

    fn with<T>(&self, act: impl FnOnce(&mut Guarded) -> T) -> T {
        act(&mut self
            .process
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}
