//! A private Redis server: it starts in 10 ms, so every test has its own.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::guard::{Guarded, folder};
use crate::{eventually_within, free_address};

const PROGRAM: &str = "/usr/bin/redis-server";
/// Part of the failure that a missing package causes.
const INSTALL: &str = "install it with `apt-get install --yes redis-server` or `cargo run -p netns-setup -- doctor --install`";
const START_DEADLINE: Duration = Duration::from_secs(30);

/// A running private server; its address stays the same over [`Self::kill`] and [`Self::restart`], its data does not.
#[derive(Debug)]
pub struct Redis {
    address: SocketAddr,
    process: Option<Guarded>,
}

impl Redis {
    /// Starts a server of the caller's own.
    ///
    /// # Errors
    /// When Redis is not installed (the message says what installs it) or does not start (the message holds its log).
    pub async fn start() -> Result<Self> {
        let mut redis = Self {
            address: free_address(),
            process: None,
        };
        redis.restart().await?;
        Ok(redis)
    }

    /// What `REDIS_URL` takes.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Where it listens, for example for a [`crate::FaultProxy`].
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it at once: open connections are reset, new ones refused.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again, empty, on the same address.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn restart(&mut self) -> Result<()> {
        self.process = None;
        ensure!(
            std::path::Path::new(PROGRAM).exists(),
            "Redis is not installed: {INSTALL}"
        );
        let (ip, port) = (
            self.address.ip().to_string(),
            self.address.port().to_string(),
        );
        let argv = [
            PROGRAM,
            "--bind",
            &ip,
            "--port",
            &port,
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        .map(OsStr::new);
        let process = Guarded::spawn(&argv, &[], folder("redis")?, true, Signal::SIGKILL)?;
        eventually_within(START_DEADLINE, "Redis answers", || async {
            if !process.is_running() {
                return Ok(Err(anyhow::anyhow!("Redis ended: {}", process.log())));
            }
            Ok(Ok(self.command("PING").await.map(drop)?))
        })
        .await??;
        self.process = Some(process);
        Ok(())
    }

    /// Sends one inline command and returns the first line of the answer, as Redis wrote it: `redis.command("DBSIZE")` is `:0`.
    ///
    /// # Errors
    /// When it cannot be reached, or answers with an error.
    pub async fn command(&self, inline: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(format!("{inline}\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n") {
            ensure!(
                stream.read_buf(&mut answer).await? > 0,
                "Redis closed the connection"
            );
        }
        let answer = String::from_utf8_lossy(&answer);
        let line = answer.lines().next().context("an empty answer")?;
        ensure!(!line.starts_with('-'), "{inline}: {line}");
        Ok(line.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn dies_and_comes_back_on_its_address() {
        let mut redis = Redis::start().await.unwrap();
        redis.command("SET key value").await.unwrap();
        assert_eq!(redis.command("DBSIZE").await.unwrap(), ":1");
        redis.kill();
        assert!(redis.command("PING").await.is_err());
        let address = redis.address();
        redis.restart().await.unwrap();
        assert_eq!(
            (redis.address(), redis.command("DBSIZE").await.unwrap()),
            (address, ":0".into())
        );
    }
}
