//! A caller with what most have who have logged in: joins a session keyring of a name (`keyrings(7)`), as root a group too, and then
//! becomes a program. Without arguments it describes the keyring of its session.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use nix::unistd::Gid;

use super::raw::call;

/// First argument when this is that program; the keyring's name, how many keys the user may have left (`-`: as many as there are), the
/// program and its arguments follow.
pub(crate) const ARGUMENT: &str = "--caller";

/// Root's supplementary group.
pub(crate) const GROUP: u32 = 61_241;
/// The keyring of the session, for the kernel.
const SESSION: usize = (-3_isize).cast_unsigned();

pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let outcome = match arguments {
        [] => describe(),
        arguments => become_program(arguments).map(|never| match never {}),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Kind, owner, group, permissions, name (`keyctl_describe(3)`).
fn describe() -> Result<()> {
    let mut text = [0_u8; 256];
    let (asked, into) = (libc::KEYCTL_DESCRIBE as usize, text.as_mut_ptr() as usize);
    let length = call(libc::SYS_keyctl, [asked, SESSION, into, text.len()])?;
    let text = text.get(..usize::try_from(length)?).context("its length")?;
    println!("{}", CStr::from_bytes_with_nul(text)?.to_str()?);
    Ok(())
}

fn become_program(arguments: &[String]) -> Result<std::convert::Infallible> {
    let [name, left, program, rest @ ..] = arguments else {
        bail!("{ARGUMENT} NAME LEFT PROGRAM ARGUMENT...");
    };
    let name = CString::new(name.as_str())?;
    let join = libc::KEYCTL_JOIN_SESSION_KEYRING as usize;
    call(libc::SYS_keyctl, [join, name.as_ptr() as usize]).context("join a session keyring")?;
    if let Ok(left) = left.parse() {
        fill(left)?;
    }
    if nix::unistd::geteuid().is_root() {
        nix::unistd::setgroups(&[Gid::from_raw(GROUP)])?;
    }
    Err(Command::new(program).args(rest).exec().into())
}

/// Makes keys until the user may have so many more.
fn fill(left: u64) -> Result<()> {
    let mut number = 0;
    while more()? > left {
        let name = CString::new(number.to_string())?;
        add(&name).with_context(|| format!("key {number}"))?;
        number += 1;
    }
    Ok(())
}

fn add(name: &CString) -> io::Result<()> {
    let (kind, text) = (c"user".as_ptr() as usize, name.as_ptr() as usize);
    call(libc::SYS_add_key, [kind, text, text, 1, SESSION]).map(drop)
}

/// How many more keys this user may have: `/proc/key-users` has `UID: USES KEYS/INSTANTIATED KEYS/MOST BYTES/MOST`.
fn more() -> Result<u64> {
    let own = format!("{}:", nix::unistd::getuid());
    let users = fs::read_to_string("/proc/key-users")?;
    let line = users
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&own.as_str()))
        .with_context(|| format!("no {own} in {users}"))?;
    let keys = line.get(3).and_then(|keys| keys.split_once('/'));
    let (has, most) = keys.with_context(|| format!("keys of {own} in {users}"))?;
    Ok(most.parse::<u64>()?.saturating_sub(has.parse()?))
}
