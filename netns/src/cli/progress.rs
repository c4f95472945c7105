//! What is printed while a lab comes up or goes down: one line for each thing that happened.

use super::terminal::{Paint, QUOTED, cut, say};
use crate::lab::protocol::{InstanceState, Progress};

/// Prints progress on standard error.
#[derive(Debug)]
pub(super) struct Printer {
    paint: Paint,
    width: usize,
}

impl Printer {
    /// `names` are the instances; they set the width of the first column.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let width = names.map(str::len).chain([16]).max().unwrap_or(16);
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
                    &self.paint.good(&format!("{what:<34}")),
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
                    | InstanceState::Stopped
                    | InstanceState::Removed => self.paint.good(&format!("{word:<34}")),
                    InstanceState::Unhealthy
                    | InstanceState::Restarting
                    | InstanceState::Failed => {
                        let text = detail
                            .as_ref()
                            .map_or_else(|| word.to_owned(), |detail| format!("{word}: {detail}"));
                        self.paint.bad(&format!("{text:<34}"))
                    }
                };
                self.line(instance, &painted, &seconds(*took_ms));
            }
            Progress::Failed {
                instance,
                message,
                tail,
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
        say(&format!(
            " {subject:<width$}  {what} {time:>9}",
            width = self.width
        ));
    }
}

/// Milliseconds as seconds with two decimals.
fn seconds(ms: u64) -> String {
    format!("{}.{:02} s", ms / 1000, ms % 1000 / 10)
}
