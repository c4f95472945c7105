//! What an end-to-end test has tried, printed as it happens in the form test runners read.
//!
//! For tests that are one story after another, where a step hands what it has brought up to the next: they run without Cargo's
//! harness (`harness = false`), and end with its closing line all the same.

#![expect(clippy::print_stdout, reason = "it prints what a test harness prints")]

use std::fmt::Display;
use std::future::Future;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};

/// Begins the line that test runners read last.
const CLOSING: &str = "test result:";
/// Set where a Docker engine, and all else that is tried with one, has to be there.
const REQUIRED: &str = "REQUIRE_DOCKER";

/// The steps of a run.
#[derive(Debug)]
pub struct Steps {
    who: &'static str,
    started: Instant,
    docker_is_required: bool,
    passed: usize,
    skipped: usize,
    failures: Vec<String>,
}

impl Steps {
    /// A run in which nothing has been tried; `who` begins every line.
    #[must_use]
    pub fn begin(who: &'static str) -> Self {
        Self {
            who,
            started: now(),
            docker_is_required: std::env::var_os(REQUIRED).is_some(),
            passed: 0,
            skipped: 0,
            failures: Vec::new(),
        }
    }

    /// Tries one thing; what it returns, when it succeeds, is for the next.
    pub async fn step<T>(
        &mut self,
        name: &str,
        trying: impl Future<Output = Result<T>>,
    ) -> Option<T> {
        let started = now();
        match trying.await {
            Ok(result) => {
                let milliseconds = started.elapsed().as_millis();
                println!("test {}: {name} ... ok ({milliseconds} ms)", self.who);
                self.passed += 1;
                Some(result)
            }
            Err(error) => {
                self.fail(name, &error);
                None
            }
        }
    }

    /// Notes a step that could not even be tried.
    pub fn fail(&mut self, name: &str, error: &anyhow::Error) {
        println!("test {}: {name} ... FAILED", self.who);
        self.failures
            .push(format!("---- {}: {name} ----\n{error:#}\n", self.who));
    }

    /// Says what is not tried on this machine, and why.
    pub fn skip(&mut self, name: &str, why: &str) {
        println!("test {}: {name} ... SKIPPED: {why}", self.who);
        self.skipped += 1;
    }

    /// Says what a machine lacks of what is tried with Docker: a failure where `REQUIRE_DOCKER` is set, else nothing is tried.
    pub fn lacks(&mut self, name: &str, what: &str) {
        if self.docker_is_required {
            self.fail(name, &anyhow!("{REQUIRED} is set, and {what}"));
        } else {
            self.skip(name, what);
        }
    }

    /// Prints a figure that was measured.
    pub fn figure(&self, what: &str, value: impl Display) {
        println!("     {}: {what}: {value}", self.who);
    }

    /// Runs this test again as `story` says, passes its lines on, and counts its steps as this run's.
    pub fn retell(&mut self, mut story: Command) {
        let mut told = || -> Result<(Vec<String>, bool)> {
            let mut child = story.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
            let mut failures = Vec::new();
            for line in BufReader::new(child.stdout.take().context("its output")?).lines() {
                let line = line?;
                if line.starts_with(CLOSING) {
                    continue; // one run has one closing line
                }
                self.passed += usize::from(line.contains(" ... ok ("));
                self.skipped += usize::from(line.contains(" ... SKIPPED: "));
                if line.ends_with(" ... FAILED") {
                    failures.push(line.clone());
                }
                println!("{line}");
            }
            Ok((failures, child.wait()?.success()))
        };
        match told() {
            Ok((failures, success)) => {
                if !success && failures.is_empty() {
                    self.failures
                        .push("its retelling ended with an error".into());
                }
                self.failures.extend(failures);
            }
            Err(error) => self.fail("it is told again", &error),
        }
    }

    /// Prints the failures and the closing line.
    #[must_use]
    pub fn end(self) -> ExitCode {
        if !self.failures.is_empty() {
            println!("\nfailures:\n\n{}", self.failures.join("\n"));
        }
        let (passed, failed, skipped) = (self.passed, self.failures.len(), self.skipped);
        let (word, code) = if failed == 0 {
            ("ok", ExitCode::SUCCESS)
        } else {
            ("FAILED", ExitCode::FAILURE)
        };
        let seconds = self.started.elapsed().as_secs_f64();
        println!(
            "\n{CLOSING} {word}. {passed} passed; {failed} failed; {skipped} ignored; 0 measured; 0 filtered out; finished in {seconds:.2}s\n"
        );
        code
    }
}

#[expect(clippy::disallowed_methods, reason = "it measures real processes")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retold(script: &str) -> Steps {
        let mut steps = Steps::begin("unit");
        let mut story = Command::new("/bin/sh");
        story.args(["-c", script]);
        steps.retell(story);
        steps
    }

    #[test]
    fn what_is_told_again_counts_here() {
        let steps = retold(
            "echo 'test user: one ... ok (1 ms)'; echo 'test user: two ... SKIPPED: why'
            echo 'test user: three ... FAILED'; echo 'test result: FAILED. 1 passed'; exit 1",
        );
        assert_eq!((steps.passed, steps.skipped), (1, 1));
        assert_eq!(steps.failures, ["test user: three ... FAILED"]);
    }

    #[test]
    fn what_docker_lacks_is_a_failure_where_it_is_required() {
        for (required, skipped, failed) in [(false, 1, 0), (true, 0, 1)] {
            let mut steps = Steps::begin("unit");
            steps.docker_is_required = required;
            steps.lacks("a container runs", "no engine answers");
            assert_eq!((steps.skipped, steps.failures.len()), (skipped, failed));
        }
    }

    #[test]
    fn a_retelling_that_ends_early_is_a_failure() {
        let steps = retold("echo 'test user: one ... ok (1 ms)'; exit 3");
        assert_eq!((steps.passed, steps.failures.len()), (1, 1));
        assert!(retold("exit 0").failures.is_empty());
    }
}
