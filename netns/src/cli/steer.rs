//! What the verbs that change a running lab have in common: they ask it, show what happens, and say how it ended.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use clap::Args;

use super::args::{Global, seconds};
use super::failure::{Code, Failure};
use super::parting::{GOES_ON, Parting};
use super::progress::Printer;
use super::terminal::say;
use super::{project, ps};
use crate::lab::client::Client;
use crate::lab::clock::millis;
use crate::lab::protocol::{Progress, Reply, Request, Steer};
use crate::lab::state::StateDir;

/// Whether, and how long, a verb that starts something waits until it is healthy.
#[derive(Debug, Clone, Args)]
pub(super) struct Waiting {
    /// Wait until what was started is healthy: the default here
    #[arg(long, conflicts_with = "no_wait")]
    pub wait: bool,
    /// Return at once
    #[arg(long)]
    pub no_wait: bool,
    /// Give up waiting after so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = seconds)]
    pub wait_timeout: Duration,
}

impl Waiting {
    /// For the request.
    pub(super) fn ms(&self) -> Option<u64> {
        (!self.no_wait).then(|| millis(self.wait_timeout))
    }
}

/// Parses the seconds that an instance may take to stop.
///
/// # Errors
/// What was expected.
pub(super) fn grace(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("{text:?} is not a number of seconds"))
}

/// Asks the lab of the project that is up.
pub(super) fn steer(
    global: &Global,
    steer: Steer,
    services: &[String],
    wait_ms: Option<u64>,
) -> Result<u8, Failure> {
    let state = project::find_up(global)?;
    let request = Request::Steer {
        steer,
        services: services.to_vec(),
        wait_ms,
    };
    let _parting = Parting::with(GOES_ON)?;
    let ended = ask(&state, request, &[], &[], &mut |_, _| false)?;
    if ended.touched == 0 {
        say("nothing was changed");
    }
    Ok(ended.code)
}

/// How a request came out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    /// The exit code.
    pub code: u8,
    /// How many instances it concerned.
    pub touched: usize,
}

/// Asks, shows what happens until the lab has answered; `each` hears of instances that end, and says
/// whether that is enough. `more` are names that will be shown beside
/// those of the instances there are.
pub(super) fn ask(
    state: &StateDir,
    request: Request,
    fds: &[BorrowedFd<'_>],
    more: &[String],
    each: &mut dyn FnMut(&str, i32) -> bool,
) -> Result<Ended, Failure> {
    let status = ps::status(state)?;
    let names = status.instances.iter().chain(&status.one_offs);
    let names = names.map(|instance| &instance.name);
    let printer = Printer::new(names.chain(more).map(String::as_str));
    let mut client = Client::ask(&state.control(), request, fds)?;
    while let Some(reply) = client.reply()? {
        match reply {
            Reply::Progress(progress) => {
                printer.show(&progress);
                if let Progress::Failed { .. } = progress {
                    return Ok(Ended {
                        code: Code::Failed as u8,
                        touched: 1,
                    });
                }
            }
            Reply::Ended { instance, code } if each(&instance, code) => {
                return Ok(Ended {
                    code: 0,
                    touched: 1,
                });
            }
            Reply::Done { touched, .. } => {
                return Ok(Ended { code: 0, touched });
            }
            Reply::Error { message, code, .. } => {
                return Err(Failure {
                    code: code.unwrap_or(Code::Failed as u8),
                    message: format!("error: {message}"),
                });
            }
            _ => {}
        }
    }
    Err(Failure::new(Code::Failed, "error: the lab ended"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_of_nothing_is_one() {
        assert_eq!(grace("0"), Ok(Duration::ZERO));
        assert_eq!(grace("1.5"), Ok(Duration::from_millis(1500)));
        assert!(grace("-1").is_err() && grace("soon").is_err());
    }
}
