//! Lies in wait for whoever comes into the sandbox.
//!
//! A process on its way in shares a user with those inside, and runs the machine's own netns-setup: whoever can open that, or
//! look into the process, has left the sandbox (the way of CVE-2019-5736).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, stdin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use libc::EFAULT;

use super::tries::read_memory;

/// How many it sees come in before it gives up.
const ENOUGH: usize = 3;

/// Watches until it has seen enough, or caught somebody, or standard input ends; then says which.
pub(super) fn run() -> Result<()> {
    let over = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&over);
    std::thread::spawn(move || {
        let _ = stdin().read_to_end(&mut Vec::new()); // an error ends it as well
        end.store(true, Ordering::Relaxed);
    });
    println!("watching");
    let mut shut = BTreeSet::new();
    let mut caught = false;
    while !caught && shut.len() < ENOUGH && !over.load(Ordering::Relaxed) {
        for entry in fs::read_dir("/proc")?.flatten() {
            if shut.len() == ENOUGH {
                break; // one look may find several
            }
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let program = entry.path().join("exe");
            let got_hold = match File::open(&program) {
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    shut.insert(pid);
                    read_memory(pid).is_err_and(|error| error.raw_os_error() == Some(EFAULT))
                }
                opened => opened.is_ok(), // or it has ended
            };
            // What the sandbox itself shows is a program that has arrived, perhaps just now.
            caught |= got_hold && fs::read_link(&program).is_ok_and(|shown| !shown.exists());
        }
    }
    println!("{} shut, {} caught", shut.len(), u8::from(caught));
    Ok(())
}
