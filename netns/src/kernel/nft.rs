//! Loads a ruleset with the kernel's own tool, as one transaction.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use nix::errno::Errno;

use super::failure::{Failure, Step};

/// Loads `text` in the calling thread's namespace: all of it or nothing.
pub(super) fn load(text: &str) -> Result<(), Failure> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .env("PATH", search_path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .step(|| "run nft".into())
        .map_err(|failure| match Errno::from_raw(failure.errno) {
            Errno::ENOENT => failure.remedy("install it: apt-get install nftables"),
            _ => failure,
        })?;
    let written = child
        .stdin
        .take()
        .map_or(Ok(()), |mut stdin| stdin.write_all(text.as_bytes()));
    // Read to its end before waiting. In PID 1 the reaper may collect the process first; what it said then is the answer.
    let complaint = child
        .stderr
        .take()
        .map_or(Ok(String::new()), io::read_to_string)
        .step(|| "listen to nft".into())?;
    let accepted = match child.wait() {
        Ok(status) => status.success(),
        Err(_) => complaint.is_empty() && written.is_ok(),
    };
    if accepted {
        return written.step(|| "write the rules to nft".into());
    }
    Err(Failure::of("nft refused the rules", complaint.trim()))
}

/// An ordinary user's PATH often lacks the folders of system programs.
fn search_path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/local/sbin:/usr/sbin:/sbin")
}
