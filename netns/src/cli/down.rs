//! `down`: everything stops, dependents first.

use std::io::ErrorKind;
use std::time::Duration;

use clap::Args;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::args::Global;
use super::failure::{Code, Failure};
use super::parting::Parting;
use super::progress::Printer;
use super::project;
use super::ps;
use super::steer::{ask, grace};
use super::terminal::{complain, say};
use super::up::{MUTE, MUTE_PAUSE};
use crate::kernel::wait_for_end;
use crate::lab::client::Client;
use crate::lab::clock::{Clock, millis};
use crate::lab::groups;
use crate::lab::protocol::{Reply, Request, Steer};
use crate::lab::state::StateDir;

/// How long a lab that says nothing of it may take to go down: its instances' grace periods, one after the other.
const GOING: Duration = Duration::from_secs(120);
/// How long the lab may take to end once everything in it has.
const END: Duration = Duration::from_secs(10);

/// `down`
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Examples:
  netns-setup down
  netns-setup down --volumes        forget data and logs too
  netns-setup -p second down        the lab of that name, from anywhere

Volumes stay, also those without a name in the file: they belong to an instance
by its name, and whoever has that next finds them, as after `scale` and `scale`
back. Docker gives it new ones.")]
pub(super) struct Down {
    /// Remove the volumes and logs too: data and secrets are gone
    #[arg(short, long)]
    pub volumes: bool,
    /// Seconds before what has not stopped is killed [default: the service's stop_grace_period]
    #[arg(short, long, value_name = "SECONDS", value_parser = grace)]
    pub timeout: Option<Duration>,
    /// Nothing is left of services that the file has no more: always so
    #[arg(long, hide = true)]
    pub remove_orphans: bool,
}

pub(super) fn run(global: &Global, down: &Down) -> Result<u8, Failure> {
    let state = project::find(global)?;
    let name = state.name();
    let clock = Clock::start();
    if state.is_up() {
        let parting =
            format!("{name} goes on stopping; `netns-setup down` again waits for its end");
        if ps::is_of_another_version(&state) {
            say(&format!(
                "{name} was brought up by another version of netns-setup: its first process is told to stop"
            ));
            let _parting = Parting::with(parting)?;
            terminate(&state)?;
        } else {
            if let Some(timeout) = down.timeout {
                hurry(&state, timeout)?;
            }
            let _parting = Parting::with(parting)?;
            stop(&state)?;
        }
        say(&format!(
            "{name} is down after {:.1} s: every process, namespace, link and rule is gone",
            clock.now().as_secs_f64()
        ));
    } else {
        say(&format!("{name} is not up"));
    }
    if !state.is_a_labs() {
        return Ok(0);
    }
    // Nobody may bring it up while what it would use is removed.
    let Some(_lock) = state.try_lock()? else {
        return Err(Failure::new(
            Code::Failed,
            format!("error: {name} is just being brought up from elsewhere"),
        ));
    };
    if !state.wait_for_remains(END)? {
        return Err(does_not_end());
    }
    groups::sweep(&state)?;
    state.remove_runtime_files();
    if down.volumes {
        let existed = state.volumes().exists() || state.logs().exists();
        state.forget()?;
        if existed {
            say("its volumes and logs are removed");
        }
    } else if state.volumes().exists() {
        complain(&format!(
            "its volumes stay in {} (down --volumes removes them)",
            state.volumes().display()
        ));
    }
    Ok(0)
}

/// Stops all that runs, in its order, in no more than this time each. A lab that is held, or being taken down, has nothing to stop.
fn hurry(state: &StateDir, timeout: Duration) -> Result<(), Failure> {
    let status = ps::status(state)?;
    if status.stopping || status.held.is_some() {
        return Ok(());
    }
    let request = Request::Steer {
        steer: Steer::Stop {
            grace_ms: Some(millis(timeout)),
        },
        services: Vec::new(),
        wait_ms: None,
    };
    let _parting = Parting::with(format!(
        "the instances of {} go on stopping; `netns-setup down` again removes what stays",
        state.name()
    ))?;
    ask(state, request, &[], &[], &mut |_, _| false).map(drop)
}

/// Asks the lab to end, shows how it does, returns when its first process is gone.
fn stop(state: &StateDir) -> Result<(), Failure> {
    let names: Vec<String> = match ps::ask(state) {
        Ok(Some(Reply::Status(status))) => {
            let instances = status.instances.into_iter();
            instances.map(|instance| instance.name).collect()
        }
        Err(error) if error.kind() == ErrorKind::TimedOut => return Err(ps::mute(state)),
        // It may just be ending.
        _ => Vec::new(),
    };
    let printer = Printer::new(names.iter().map(String::as_str));
    let pid = state.pid();
    if let Some(mut client) = reach(state)? {
        while let Some(reply) = client.reply()? {
            if let Reply::Progress(progress) = reply {
                printer.show(&progress);
            }
        }
    }
    match pid
        .map(|pid| wait_for_end(Pid::from_raw(pid), END))
        .transpose()?
    {
        Some(false) => Err(does_not_end()),
        _ => Ok(()),
    }
}

/// Asks the lab to end. `None`: it has ended meanwhile. Between the lock and the socket, on its way up or down, there is nobody to ask.
fn reach(state: &StateDir) -> Result<Option<Client>, Failure> {
    let clock = Clock::start();
    loop {
        match Client::ask(&state.control(), Request::Down, &[]) {
            Ok(client) => return Ok(Some(client)),
            Err(_) if !state.is_up() => return Ok(None),
            Err(error) => match error.kind() {
                ErrorKind::ConnectionRefused | ErrorKind::NotFound if clock.now() < MUTE => {
                    std::thread::sleep(MUTE_PAUSE);
                }
                _ => return Err(error.into()),
            },
        }
    }
}

/// Ends a lab that cannot be asked: its first process takes this signal for a wish to go down, whatever its version.
fn terminate(state: &StateDir) -> Result<(), Failure> {
    let first = Pid::from_raw(state.pid().ok_or_else(does_not_end)?);
    match kill(first, Signal::SIGTERM) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => return Err(std::io::Error::from(errno).into()),
    }
    if wait_for_end(first, GOING)? {
        Ok(())
    } else {
        Err(does_not_end())
    }
}

fn does_not_end() -> Failure {
    Failure::new(
        Code::Failed,
        "error: the lab has stopped its instances and does not end; kill -9 its first process",
    )
}
