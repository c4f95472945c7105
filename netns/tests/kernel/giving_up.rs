//! A start that is given up, at whatever moment, leaves no process.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::time::Duration;

use netns_setup::kernel::namespace::NetNamespace;
use netns_setup::kernel::sandbox::{GivenUp, Streams, spawn};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::lab::Lab;

/// Helpers that are stopped, each a little later in its life than the one before: from their first moments to beyond the program's start.
const HELPERS: u32 = 60;
const LATER: Duration = Duration::from_micros(500);
/// How long a process may take to end that has been told to.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn leaves_nothing(lab: &mut Lab) {
    let network = NetNamespace::current().unwrap();
    let null = File::open("/dev/null").unwrap();
    let streams = Streams {
        stdin: null.as_fd(),
        stdout: null.as_fd(),
        stderr: null.as_fd(),
    };
    let spec = lab.spec(&["sleep", "1000"], Vec::new());
    let (mut given_up, mut ran) = (0, 0);
    for helper in 0..HELPERS {
        let started = lab.runtime.block_on(async {
            let start = spawn(&lab.reaper, &spec, network.as_fd(), streams).unwrap();
            let pid = start.helper();
            start
                .finish(async {
                    // Not a wait for something: the moment is what is tried.
                    tokio::time::sleep(LATER * helper).await;
                    if kill(pid, Signal::SIGSTOP).is_ok() {
                        come_to_a_stop(pid);
                    } // else it has ended, and its program runs or is about to
                    GivenUp {
                        reason: "given up".to_owned(),
                        remedy: None,
                    }
                })
                .await
        });
        match started {
            Ok(program) => {
                ran += 1;
                kill(program.pid, Signal::SIGKILL).unwrap();
                lab.runtime.block_on(program.end);
            }
            Err(failure) => {
                given_up += 1;
                assert_eq!(failure.to_string(), "box-1: start its sandbox: given up");
            }
        }
    }
    eprintln!("{given_up} given up, {ran} ran");
    assert!(given_up > 0, "none was stopped in time");
    // A process that its parent's end ends has no one to wait for it but the reaper.
    let since = lab.reaper.now();
    for number in numbers().into_iter().filter(|number| *number != 1) {
        let end = lab.reaper.collected(Pid::from_raw(number), since);
        let ended = lab
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, end).await });
        assert!(ended.is_ok(), "process {number} goes on");
    }
    assert_eq!(numbers(), [1], "processes of this PID namespace");
}

/// Waits until a child that was told to stop has stopped, or has ended; the reaper collects it as ever.
fn come_to_a_stop(pid: Pid) {
    let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    waitid(Id::Pid(pid), flags).unwrap();
}

/// The processes of this PID namespace.
fn numbers() -> Vec<i32> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}
