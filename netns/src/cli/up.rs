//! `up`: check everything, build, launch, show how it comes up.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::args::{Global, Up};
use super::failure::{Code, Failure};
use super::logs::Streams;
use super::progress::Printer;
use super::project::{self, Loaded};
use super::terminal::{Paint, counted, megabytes, out, say};
use super::{doctor, ps};
use crate::compose::Policy;
use crate::lab::build::{self, Binaries};
use crate::lab::clock::{Clock, millis};
use crate::lab::launch::{self, Heard, Launch, LaunchError, Launched};
use crate::lab::listen;
use crate::lab::protocol::{Progress, Reply};
use crate::plan::{self, Plan};

/// How often logs are looked at in the foreground, in milliseconds.
const FOLLOW_MS: u16 = 100;

/// What the summary says beside what the lab itself reports.
struct Told {
    summary: String,
    build_ms: u64,
    network_ms: f64,
}

pub(super) fn run(global: &Global, up: &Up) -> Result<u8, Failure> {
    let inherited = launch::inherited_descriptors();
    let Loaded { project, state } = project::load(global)?;
    let scale: BTreeMap<String, u32> = up.scale.iter().cloned().collect();
    let plan = plan::plan(&project, &scale)
        .map_err(|error| Failure::new(Code::BadFile, format!("error: {error}")))?;
    if state.is_up() {
        say(&format!(
            "{} is up already; nothing was changed",
            project.name
        ));
        let status = ps::status(&state)?;
        return out(&ps::shown(&status)).map(|()| 0).map_err(Failure::from);
    }
    doctor::preflight(&project, &state)?;
    let reserved = listen::reserve(&project, &plan)
        .map_err(|found| Failure::new(Code::Environment, project::diagnostics(&found)))?;
    let clock = Clock::start();
    let binaries = binaries(up, &project)?;
    let mut told = Told {
        summary: summary(&project, &plan),
        build_ms: millis(clock.now()),
        network_ms: 0.0,
    };

    let printer = Printer::new(plan.instances.iter().map(|instance| instance.name.as_str()));
    let names: Vec<String> = plan
        .instances
        .iter()
        .map(|instance| instance.name.clone())
        .collect();
    let launch = Launch {
        project,
        plan,
        state: state.clone(),
        binaries,
        reserved,
        wait_timeout: up.wait_timeout,
        inherited,
    };
    let launched = launch::launch(launch).map_err(|error| match error {
        LaunchError::AlreadyUp | LaunchError::Remains | LaunchError::Io(_) => {
            Failure::new(Code::Failed, error.to_string())
        }
        LaunchError::Kernel(_) => Failure::new(Code::Environment, error.to_string()),
    })?;
    let streams = (!up.detach).then(|| Streams::new(&state, names, Some(0)));
    watch(launched, &printer, &mut told, streams)
}

fn binaries(up: &Up, project: &crate::compose::Project) -> Result<Binaries, Failure> {
    let packages = launch::packages(project);
    let result = match &up.bin_dir {
        Some(folder) => build::built(folder, &packages),
        None if up.no_build => {
            build::built(&build::target_folder(&project.dir, &up.profile), &packages)
        }
        None => build::build(&project.dir, &packages, &up.profile),
    };
    result.map_err(|error| Failure::new(Code::Failed, error.to_string()))
}

/// Shows what happens until the lab is up (detached) or has ended.
fn watch(
    mut launched: Launched,
    printer: &Printer,
    told: &mut Told,
    mut streams: Option<Streams>,
) -> Result<u8, Failure> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block().map_err(std::io::Error::from)?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .map_err(std::io::Error::from)?;
    let mut interrupted = 0;
    let mut is_up = false;
    let mut failed = false;
    loop {
        let timeout = if streams.is_some() {
            PollTimeout::from(FOLLOW_MS)
        } else {
            PollTimeout::NONE
        };
        let mut fds = [
            PollFd::new(launched.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
        while let Ok(Some(_)) = signals.read_signal() {
            interrupted += 1;
            if interrupted == 1 {
                say("stopping (again to end it at once)");
                launched.stop();
            } else {
                launched.kill();
            }
        }
        loop {
            match launched.hear()? {
                Heard::Nothing => break,
                Heard::End => {
                    launched.wait()?;
                    if let Some(streams) = &mut streams {
                        streams.pump()?;
                    }
                    return Ok(verdict(interrupted > 0, is_up, failed));
                }
                Heard::Reply(Reply::Progress(progress)) => {
                    printer.show(&progress);
                    match &progress {
                        Progress::Network { took_ms, .. } => told.network_ms = *took_ms,
                        Progress::Failed { .. } => failed = true,
                        Progress::Ready { at_ms, memory } => {
                            is_up = true;
                            say(&ready(told, *at_ms, memory, streams.is_some()));
                            if streams.is_none() {
                                launched.detach()?;
                                return Ok(0);
                            }
                        }
                        Progress::Instance { .. } => {}
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

/// The exit code of a launcher whose lab has ended.
fn verdict(interrupted: bool, is_up: bool, failed: bool) -> u8 {
    match (failed, interrupted, is_up) {
        (true, _, _) => Code::Failed as u8,
        (false, true, true) => 0, // Ctrl-C is how a lab in the foreground is taken down
        (false, true, false) => Code::Interrupted as u8,
        (false, false, true) => 0, // `down` from elsewhere
        (false, false, false) => {
            say(
                "error: the lab ended before it was up; its own log is netns-setup.log in the state folder's logs",
            );
            Code::Failed as u8
        }
    }
}

/// What stands, said once it does.
fn summary(project: &crate::compose::Project, plan: &Plan) -> String {
    let mut text = String::new();
    for port in &plan.publish {
        let host = port
            .host_ip
            .map_or_else(|| "localhost".to_owned(), |address| address.to_string());
        text.push_str(&format!(
            "  {:<28} {}:{}\n",
            format!("http://{host}:{}", port.host_port),
            port.service,
            port.target_port
        ));
    }
    let rules = match &project.policy {
        Policy::Flows(flows) => format!(
            "{} open, all else dropped",
            counted(flows.len(), "flow", "flows")
        ),
        Policy::SharedNetworks => "open between services that share a network".to_owned(),
    };
    text.push_str(&format!(
        "\n  built     {}, {}, one router; {rules}\n",
        counted(plan.instances.len(), "sandbox", "sandboxes"),
        counted(plan.tiers.len(), "bridge", "bridges"),
    ));
    for tier in &plan.tiers {
        let inhabitants: Vec<String> = plan
            .instances
            .iter()
            .filter_map(|instance| {
                let link = instance
                    .link
                    .as_ref()
                    .filter(|link| link.tier == tier.name)?;
                let [.., last] = link.address.addr().octets();
                Some(format!("{} .{last}", instance.name))
            })
            .collect();
        text.push_str(&wrapped(
            &format!("  {:<9} {:<16} ", tier.name, tier.subnet.to_string()),
            &inhabitants,
        ));
    }
    text
}

/// `items` after `head`, in as many lines of 80 columns as it takes.
fn wrapped(head: &str, items: &[String]) -> String {
    let indent = " ".repeat(head.len());
    let mut text = String::new();
    let mut line = head.to_owned();
    for (number, item) in items.iter().enumerate() {
        let comma = if number + 1 < items.len() { ", " } else { "" };
        if line.len() + item.len() + comma.len() > 80 && line.len() > indent.len() {
            text.push_str(line.trim_end());
            text.push('\n');
            line.clone_from(&indent);
        }
        line.push_str(item);
        line.push_str(comma);
    }
    text.push_str(line.trim_end());
    text.push('\n');
    text
}

fn ready(told: &Told, at_ms: u64, memory: &[(String, u64)], foreground: bool) -> String {
    let paint = Paint::stderr();
    let seconds = |ms: u64| format!("{}.{} s", ms / 1000, ms % 1000 / 100);
    let mut text = format!(
        "\n{}\n{}",
        paint.good("Everything is up and healthy."),
        told.summary
    );
    text.push_str(&format!(
        "  took      build {}, network {:.0} ms, all healthy {}\n",
        seconds(told.build_ms),
        told.network_ms,
        seconds(at_ms)
    ));
    if !memory.is_empty() {
        let each: Vec<String> = memory
            .iter()
            .map(|(name, bytes)| format!("{name} {}", megabytes(*bytes)))
            .collect();
        let sum = megabytes(memory.iter().map(|(_, bytes)| bytes).sum());
        text.push_str(
            &wrapped(
                "  memory    ",
                &[vec![format!("{sum} together:")], each].concat(),
            )
            .replace(":,", ":"),
        );
    }
    text.push_str(if foreground {
        "\n  Ctrl-C takes it down. In another terminal: netns-setup ps | exec | logs\n"
    } else {
        "\n  netns-setup ps | logs -f | exec SERVICE COMMAND | down\n"
    });
    text
}
