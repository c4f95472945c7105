//! What has been tried, printed as it happens in the form test runners read.

use std::fmt::Display;
use std::future::Future;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

/// Set for the run by an ordinary user: whose counts are added to the first run's.
pub(crate) const RETOLD: &str = "UNDERLAY_LAB_RETOLD";

/// The steps of this run.
pub(crate) struct Steps {
    started: Instant,
    who: &'static str,
    passed: usize,
    failures: Vec<String>,
}

impl Steps {
    pub(crate) fn begin() -> Self {
        let who = if nix::unistd::Uid::effective().is_root() {
            "root"
        } else {
            "user"
        };
        Self {
            started: now(),
            who,
            passed: 0,
            failures: Vec::new(),
        }
    }

    /// Tries one thing; what it returns, when it succeeds, is for the next.
    pub(crate) async fn step<T>(
        &mut self,
        name: &str,
        trying: impl Future<Output = Result<T>>,
    ) -> Option<T> {
        let started = now();
        match trying.await {
            Ok(result) => {
                println!(
                    "test {}: {name} ... ok ({} ms)",
                    self.who,
                    started.elapsed().as_millis()
                );
                self.passed += 1;
                Some(result)
            }
            Err(error) => {
                self.fail(name, &error);
                None
            }
        }
    }

    pub(crate) fn fail(&mut self, name: &str, error: &anyhow::Error) {
        println!("test {}: {name} ... FAILED", self.who);
        self.failures
            .push(format!("---- {}: {name} ----\n{error:#}\n", self.who));
    }

    /// Says what is not tried on this machine, and why.
    pub(crate) fn skip(&self, name: &str, why: &str) {
        println!("test {}: {name} ... SKIPPED: {why}", self.who);
    }

    /// Prints a figure that was measured.
    pub(crate) fn figure(&self, what: &str, value: impl Display) {
        println!("     {}: {what}: {value}", self.who);
    }

    /// Runs the test again as `story` says, and counts its steps as this run's.
    pub(crate) fn retell(&mut self, mut story: Command) {
        let mut told = || -> Result<(usize, Vec<String>, bool)> {
            let mut child = story
                .env(RETOLD, "1")
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()?;
            let (mut passed, mut failures) = (0, Vec::new());
            for line in BufReader::new(child.stdout.take().context("its output")?).lines() {
                let line = line?;
                passed += usize::from(line.contains(" ... ok ("));
                if line.ends_with(" ... FAILED") {
                    failures.push(line.clone());
                }
                println!("{line}");
            }
            Ok((passed, failures, child.wait()?.success()))
        };
        match told() {
            Ok((passed, failures, success)) => {
                self.passed += passed;
                if !success && failures.is_empty() {
                    self.failures
                        .push("the run by an ordinary user ended with an error".into());
                }
                self.failures.extend(failures);
            }
            Err(error) => self.fail("the stories are told again by an ordinary user", &error),
        }
    }

    pub(crate) fn end(self) -> ExitCode {
        if !self.failures.is_empty() {
            println!("\nfailures:\n\n{}", self.failures.join("\n"));
        }
        if std::env::var_os(RETOLD).is_none() {
            let word = if self.failures.is_empty() {
                "ok"
            } else {
                "FAILED"
            };
            let (passed, failed, seconds) = (
                self.passed,
                self.failures.len(),
                self.started.elapsed().as_secs_f64(),
            );
            println!(
                "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out; finished in {seconds:.2}s\n"
            );
        }
        if self.failures.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

/// This test's clock.
#[expect(clippy::disallowed_methods, reason = "it measures real processes")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
