//! What a launcher does while its lab comes up and, in the foreground, for as long as it runs.

use std::collections::BTreeSet;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::failure::{Code, Failure};
use super::progress::Printer;
use super::reader;
use super::streams::Streams;
use super::summary::{Told, stands};
use super::terminal::say;
use super::uplink;
use crate::lab::launch::{Heard, Launched};
use crate::lab::protocol::{InstanceState, Progress, Reply};
use crate::lab::turn::Turn;

/// How often logs are looked at in the foreground, in milliseconds.
const FOLLOW_MS: u16 = 100;

/// Shows what happens until the lab is up (detached) or has ended. Once it is up, it is others' turn.
pub(super) fn watch(
    mut launched: Launched,
    printer: &Printer,
    told: &mut Told,
    mut streams: Option<Streams>,
    mut turn: Option<Turn>,
) -> Result<u8, Failure> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block().map_err(std::io::Error::from)?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .map_err(std::io::Error::from)?;
    let stdout = std::io::stdout();
    let attached = streams.is_some();
    let mut interrupted = 0;
    let mut is_up = false;
    let mut failed = None;
    let mut ended = false;
    let mut living = Living::default();
    loop {
        let mut fds = vec![
            PollFd::new(launched.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        let mut timeout = PollTimeout::NONE;
        if streams.is_some() {
            fds.push(reader::waiting_on(&stdout));
            timeout = PollTimeout::from(FOLLOW_MS);
        }
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
        let unread = fds.get(2).is_some_and(reader::has_left);
        while let Ok(Some(_)) = signals.read_signal() {
            interrupted += 1;
            if interrupted == 1 {
                say("stopping (again to end it at once)");
                launched.stop();
            } else {
                launched.kill();
            }
        }
        if unread {
            // Ctrl-C ends a reader such as `tee` too: the lab's end is waited for all the same.
            if interrupted == 0 {
                reader::leave();
            }
            streams = None;
        }
        loop {
            match launched.hear()? {
                Heard::Nothing => break,
                Heard::End => {
                    launched.wait()?;
                    if let Some(streams) = &mut streams {
                        streams.pump()?;
                    }
                    return Ok(verdict(interrupted > 0, is_up, failed, ended));
                }
                Heard::Reply(Reply::Progress(progress)) => {
                    printer.show(&progress);
                    let is_last = living.hear(&progress);
                    match &progress {
                        Progress::Network {
                            took_ms, router, ..
                        } => {
                            told.network_ms = *took_ms;
                            let connected = launched.connect(*router).unwrap_or_else(|error| {
                                say(&uplink::refused(&error));
                                false
                            });
                            if !connected {
                                told.direct.clear();
                            }
                        }
                        Progress::Failed { code, .. } => {
                            failed = Some(code.unwrap_or(Code::Failed as u8));
                        }
                        Progress::Ended => ended = true,
                        Progress::Ready {
                            at_ms,
                            memory,
                            unenforced,
                        } => {
                            is_up = true;
                            drop(turn.take());
                            told.unenforced.clone_from(unenforced);
                            say(&stands(told, *at_ms, memory, attached));
                            if !attached {
                                launched.detach()?;
                                return Ok(0);
                            }
                        }
                        Progress::Instance { .. } => {}
                    }
                    if is_last && is_up && told.held.is_none() && interrupted == 0 {
                        say("everything has ended; taking it down");
                        launched.stop();
                    }
                }
                Heard::Reply(_) => {}
            }
        }
        if let Some(streams) = &mut streams {
            streams.pump()?;
        }
    }
}

/// The instances that have, or are about to have, a process.
#[derive(Debug, Default)]
struct Living(BTreeSet<String>);

impl Living {
    /// Takes in what happened; says whether nobody is left, and the last has ended by itself: whom somebody stops or removes, he may
    /// start again.
    fn hear(&mut self, progress: &Progress) -> bool {
        match progress {
            Progress::Ready { .. } => self.0.is_empty(),
            Progress::Instance {
                instance, state, ..
            } => {
                use InstanceState::{Completed, Failed, Removed, Stopped};
                if matches!(state, Completed | Failed | Removed | Stopped) {
                    self.0.remove(instance);
                } else {
                    self.0.insert(instance.clone());
                }
                self.0.is_empty() && matches!(state, Completed | Failed)
            }
            _ => false,
        }
    }
}

/// The exit code of a launcher whose lab is gone, taken down or not.
fn verdict(interrupted: bool, is_up: bool, failed: Option<u8>, taken_down: bool) -> u8 {
    let why = match (failed, interrupted, is_up, taken_down) {
        (Some(code), ..) => {
            say(" = help: what had been started was taken down again; volumes and logs stay");
            return code;
        }
        (_, _, true, true) => return 0, // Ctrl-C is how a lab in the foreground is taken down; or `down` from elsewhere
        (_, true, ..) => return Code::Interrupted as u8,
        (_, _, true, false) => "the lab was killed, and everything in it with it",
        (_, _, false, true) => "the lab was taken down before it was up",
        (_, _, false, false) => {
            "the lab ended before it was up; its own log is netns-setup.log in the state folder's logs"
        }
    };
    say(&format!("error: {why}"));
    Code::Failed as u8
}
