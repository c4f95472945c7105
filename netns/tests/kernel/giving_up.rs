//! A start that is given up, at whatever moment, leaves no process.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::time::Duration;

use netns_setup::kernel::namespace::NetNamespace;
use netns_setup::kernel::sandbox::{GivenUp, Streams, spawn};
use nix::sys::signal::{Signal, kill};

use crate::lab::Lab;

/// Helpers that are stopped, each a little later in its life than the one before: from their first moments to beyond the program's start.
const HELPERS: u32 = 60;
const LATER: Duration = Duration::from_micros(500);

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
                    tokio::time::sleep(LATER * helper).await;
                    let _ = kill(pid, Signal::SIGSTOP); // it may have ended
                    tokio::time::sleep(Duration::from_millis(40)).await;
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
    let alone = || numbers() == [1];
    for _ in 0..200 {
        if alone() {
            break;
        }
        lab.runtime
            .block_on(async { tokio::time::sleep(Duration::from_millis(10)).await });
    }
    assert_eq!(numbers(), [1], "processes of this PID namespace");
}

/// The processes of this PID namespace.
fn numbers() -> Vec<i32> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}
