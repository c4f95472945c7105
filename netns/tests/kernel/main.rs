//! The kernel side against a real kernel, in labs of its own.
//!
//! No test harness: entering a lab forks, which wants a process with one thread. Each scenario runs in a process of its own, and when
//! the tests run as root, a second time as an ordinary user. Oracles are the kernel's own tools: `ip`, `nft`, `ss`, `/proc`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test: a panic is its failure, printing its report, and the time it took a figure for people"
)]

mod figures;
mod giving_up;
mod groups;
mod lab;
mod network;
mod relay;
mod residue;
mod sandbox;
mod signals;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use lab::Lab;
use netns_setup::kernel::cgroup::guardian;
use netns_setup::kernel::enter::Launched;
use netns_setup::kernel::{Entered, enter, sandbox as helper};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The user that scenarios run as besides root: `nobody`.
const ORDINARY: u32 = 65534;

/// A scenario: what happens in the lab's PID 1, and what its launcher does meanwhile.
struct Scenario {
    name: &'static str,
    inside: fn(&mut Lab),
    outside: fn(&mut Launched, SocketAddr),
}

const SCENARIOS: [Scenario; 12] = [
    inside_only("a_sandbox_sees_only_its_own", sandbox::sees_only_its_own),
    inside_only("further_programs_join_a_sandbox", sandbox::further_programs),
    inside_only("failures_name_the_step", sandbox::failures_name_the_step),
    inside_only("postgresql_runs_in_a_sandbox", sandbox::postgresql_runs),
    inside_only(
        "a_start_that_is_given_up_leaves_nothing",
        giving_up::leaves_nothing,
    ),
    inside_only("groups_of_version_2_hold_a_sandbox", groups::hold_a_sandbox),
    Scenario {
        name: "a_guardian_removes_what_a_launcher_left",
        inside: groups::wait_to_be_killed,
        outside: groups::leave_and_kill,
    },
    inside_only(
        "exactly_the_flows_are_open",
        network::exactly_the_flows_are_open,
    ),
    inside_only(
        "networks_of_several_sizes",
        figures::networks_of_several_sizes,
    ),
    Scenario {
        name: "a_host_port_reaches_an_instance",
        inside: relay::serves,
        outside: relay::calls,
    },
    Scenario {
        name: "a_signal_in_the_first_moments_is_not_lost",
        inside: signals::hears_later,
        outside: signals::signals_at_once,
    },
    Scenario {
        name: "killing_the_first_process_leaves_nothing",
        inside: residue::fills_a_lab,
        outside: residue::kills_it,
    },
];

const fn inside_only(name: &'static str, inside: fn(&mut Lab)) -> Scenario {
    Scenario {
        name,
        inside,
        outside: |launched, _| {
            let mut said = String::new();
            launched.messages.read_to_string(&mut said).unwrap();
            assert_eq!(said, "passed");
        },
    }
}

fn main() -> ExitCode {
    if let Some(code) = helper::intercept().or_else(guardian::intercept) {
        return code;
    }
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some("--scenario") {
        return run_scenario(&arguments.next().unwrap_or_default());
    }
    if first.as_deref() == Some("--list") {
        for scenario in SCENARIOS {
            println!("{}: test", scenario.name);
        }
        return ExitCode::SUCCESS;
    }
    let filter = first
        .filter(|word| !word.starts_with('-'))
        .unwrap_or_default();
    run_all(&filter)
}

fn run_all(filter: &str) -> ExitCode {
    let root = nix::unistd::geteuid().is_root();
    let users: &[Option<u32>] = if root {
        &[None, Some(ORDINARY)]
    } else {
        &[None]
    };
    if root {
        play_the_host();
    }
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for name in SCENARIOS
        .iter()
        .map(|scenario| scenario.name)
        .filter(|name| name.contains(filter))
    {
        for user in users {
            let who = match user {
                None if root => "root",
                _ => "an ordinary user",
            };
            let mut command = Command::new("/proc/self/exe");
            command.args(["--scenario", name]);
            if let Some(id) = user {
                command.uid(*id).gid(*id);
            }
            let start = std::time::Instant::now();
            let ok = match (groups::NAMES.contains(&name), root) {
                (false, _) => command.status().is_ok_and(|status| status.success()),
                (true, false) => {
                    println!("test {name} (as {who}) ... SKIPPED: root gives groups away");
                    skipped += 1;
                    continue;
                }
                (true, true) => match groups::Given::to(user.unwrap_or(0)) {
                    Ok(given) => given.run(command),
                    Err(error) => {
                        println!("{error}");
                        false
                    }
                },
            };
            println!(
                "test {name} (as {who}, {:.1?}) ... {}",
                start.elapsed(),
                if ok { "ok" } else { "FAILED" }
            );
            *(if ok { &mut passed } else { &mut failed }) += 1;
        }
    }
    println!("\n{passed} passed, {failed} failed, {skipped} skipped");
    ExitCode::from(u8::from(failed > 0))
}

/// Has the scenarios take a network and a mount namespace of their own for the host's: what others change on this machine meanwhile is
/// not theirs. Root can.
fn play_the_host() {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
    let (nothing, private) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
    mount(nothing, "/", nothing, private, nothing).unwrap();
    lab::output(&["ip", "link", "set", "lo", "up"]);
}

/// Runs one scenario, a listener of the host at its hand; it passes if neither side panics.
fn run_scenario(name: &str) -> ExitCode {
    let Some(scenario) = SCENARIOS.iter().find(|scenario| scenario.name == name) else {
        eprintln!("no scenario {name}");
        return ExitCode::FAILURE;
    };
    groups::arrive();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let output = std::io::stderr().as_fd().try_clone_to_owned().unwrap();
    match enter(&output) {
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
        Ok(Entered::Launcher(mut launched)) => {
            let address = listener.local_addr().unwrap();
            drop(listener);
            let _end = EndWhenFailed(launched.pid);
            (scenario.outside)(&mut launched, address);
            launched.wait().unwrap();
            ExitCode::SUCCESS
        }
        Ok(Entered::Lab(inside)) => {
            let mut lab = Lab::new(inside.identity, inside.messages, listener);
            (scenario.inside)(&mut lab);
            lab.messages.write_all(b"passed").unwrap();
            ExitCode::SUCCESS
        }
    }
}

/// A lab has a session of its own and would outlive a launcher that panics.
struct EndWhenFailed(Pid);

impl Drop for EndWhenFailed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = kill(self.0, Signal::SIGKILL);
        }
    }
}
