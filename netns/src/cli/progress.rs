//! What is printed while a lab comes up or goes down: one line for each thing that happened.

use super::terminal::{Paint, QUOTED, say};
use crate::columns::{WIDTH, cut, shortened};
use crate::lab::protocol::{InstanceState, Progress};

/// What a line has beside the name: what happened, how long it took, and the spaces around them.
const WHAT: usize = 34;
const TIME: usize = 9;
const NAME: usize = WIDTH - WHAT - TIME - 4;

/// Prints progress on standard error.
#[derive(Debug)]
pub(super) struct Printer {
    paint: Paint,
    width: usize,
}

impl Printer {
    /// `names` are the instances; they set the width of the first column.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let lengths = names.map(|name| name.chars().count());
        let width = lengths.max().unwrap_or(0).clamp(16, NAME);
        Self {
            paint: Paint::stderr(),
            width,
        }
    }

    /// One thing that happened. What only leads to another line soon is left out.
    pub(super) fn show(&self, progress: &Progress) {
        match progress {
            Progress::Network {
                took_ms,
                namespaces,
                operations,
                ..
            } => {
                let what = format!("{namespaces} namespaces, {operations} steps");
                self.line(
                    "network",
                    &self.paint.good(&format!("{what:<WHAT$}")),
                    &format!("{took_ms:.0} ms"),
                );
            }
            Progress::Instance {
                instance,
                state,
                took_ms,
                detail,
                ..
            } => {
                let word = state.word();
                let painted = match state {
                    InstanceState::Waiting | InstanceState::Starting | InstanceState::Stopping => {
                        return;
                    }
                    InstanceState::Running
                    | InstanceState::Healthy
                    | InstanceState::Completed
                    | InstanceState::Paused
                    | InstanceState::Stopped
                    | InstanceState::Removed => self.paint.good(&format!("{word:<WHAT$}")),
                    InstanceState::Unhealthy
                    | InstanceState::Restarting
                    | InstanceState::Failed => {
                        let text = detail
                            .as_ref()
                            .map_or_else(|| word.to_owned(), |detail| format!("{word}: {detail}"));
                        self.paint.bad(&format!("{text:<WHAT$}"))
                    }
                };
                self.line(instance, &painted, &seconds(*took_ms));
            }
            Progress::Failed {
                instance,
                message,
                tail,
                ..
            } => self.failed(instance.as_deref(), message, tail),
            Progress::Ready { .. } | Progress::Ended => {}
        }
    }

    fn failed(&self, instance: Option<&str>, message: &str, tail: &[String]) {
        let subject = instance.map_or_else(String::new, |instance| format!("{instance}: "));
        say(&self.paint.bad(&format!("error: {subject}{message}")));
        if !tail.is_empty() {
            say(" last lines of its log:");
            for line in tail {
                say(&format!("   {}", cut(line, QUOTED)));
            }
        }
        if let Some(instance) = instance {
            say(&format!(
                " = help: the whole log stays: netns-setup logs {instance}"
            ));
        }
    }

    fn line(&self, subject: &str, what: &str, time: &str) {
        say(&self.aligned(subject, what, time));
    }

    fn aligned(&self, subject: &str, what: &str, time: &str) -> String {
        let width = self.width;
        let subject = shortened(subject, width);
        format!(" {subject:<width$}  {what} {time:>TIME$}")
    }
}

/// Milliseconds as seconds with two decimals.
fn seconds(ms: u64) -> String {
    format!("{}.{:02} s", ms / 1000, ms % 1000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_whatever_the_name() {
        let name = format!("{}-12", "inventory".repeat(6));
        let printer = Printer::new(["web-1", &name].into_iter());
        let line = printer.aligned(&name, &format!("{:<WHAT$}", "healthy"), "1234.56 s");
        assert_eq!(line.chars().count(), WIDTH, "{line}");
        assert!(line.contains("-12  healthy"), "{line}");
        let short = Printer::new(["web-1"].into_iter());
        assert_eq!(
            short.aligned("web-1", &format!("{:<WHAT$}", "healthy"), "0.10 s"),
            " web-1             healthy                               0.10 s"
        );
    }
}
