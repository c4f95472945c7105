//! What a run found.

use std::fmt;

use serde::Serialize;

/// How one check went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// The statement holds.
    Ok,
    /// It does not.
    Failed {
        /// What was seen instead.
        why: String,
    },
    /// It was not tried.
    Skipped {
        /// What was missing.
        why: String,
    },
}

/// One check's outcome.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// The subject it belongs to.
    pub area: &'static str,
    /// The statement.
    pub name: &'static str,
    /// How long it took.
    pub milliseconds: u64,
    /// How it went.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            area,
            name,
            milliseconds,
            outcome,
        } = self;
        let line = format!("{area}: {name}");
        match outcome {
            Outcome::Ok => write!(f, "  ok      {milliseconds:>5} ms  {line}"),
            Outcome::Failed { why } => write!(
                f,
                "  FAILED  {milliseconds:>5} ms  {line}\n                    {why}"
            ),
            Outcome::Skipped { why } => write!(f, "  skipped           {line} ({why})"),
        }
    }
}

/// A whole run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The deployment it was run against.
    pub base_url: String,
    /// How many statements hold.
    pub ok: usize,
    /// How many do not.
    pub failed: usize,
    /// How many were not tried.
    pub skipped: usize,
    /// Every verdict, in order.
    pub checks: Vec<Verdict>,
}

impl Report {
    pub(crate) fn new(base_url: String, checks: Vec<Verdict>) -> Self {
        let count = |wanted: fn(&Outcome) -> bool| {
            checks.iter().filter(|check| wanted(&check.outcome)).count()
        };
        Self {
            base_url,
            ok: count(|outcome| matches!(outcome, Outcome::Ok)),
            failed: count(|outcome| matches!(outcome, Outcome::Failed { .. })),
            skipped: count(|outcome| matches!(outcome, Outcome::Skipped { .. })),
            checks,
        }
    }

    /// The failed checks, as they are printed; empty when the deployment keeps the contract.
    #[must_use]
    pub fn failures(&self) -> String {
        let failed = self
            .checks
            .iter()
            .filter(|check| matches!(check.outcome, Outcome::Failed { .. }));
        failed.map(|check| format!("{check}\n")).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            base_url,
            ok,
            failed,
            skipped,
            ..
        } = self;
        let milliseconds: u64 = self.checks.iter().map(|check| check.milliseconds).sum();
        write!(
            f,
            "{base_url}: {ok} ok, {failed} failed, {skipped} skipped in {milliseconds} ms"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_prints_what_failed() {
        let verdict = |name, outcome| Verdict {
            area: "orders",
            name,
            milliseconds: 3,
            outcome,
        };
        let report = Report::new(
            "http://shop".into(),
            vec![
                verdict("one", Outcome::Ok),
                verdict("two", Outcome::Failed { why: "no".into() }),
                verdict(
                    "three",
                    Outcome::Skipped {
                        why: "no token".into(),
                    },
                ),
            ],
        );
        assert_eq!(
            report.to_string(),
            "http://shop: 1 ok, 1 failed, 1 skipped in 9 ms"
        );
        assert_eq!(
            report.failures(),
            "  FAILED      3 ms  orders: two\n                    no\n"
        );
        let json = serde_json::to_value(&report.checks[1]).unwrap();
        assert_eq!(json["outcome"], "failed");
        assert_eq!(json["why"], "no");
    }
}
