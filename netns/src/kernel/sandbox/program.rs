//! The last step: standard streams, signals, descriptors, the system call filter, `exec`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access, chdir, dup2_stderr, dup2_stdin, dup2_stdout, execve};

use super::seccomp::Filter;
use crate::kernel::failure::{Failure, Step};
use crate::kernel::sys;

/// Where programs are looked up when the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// The program's standard streams.
#[derive(Debug)]
pub(super) struct Standard {
    pub(super) stdin: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    /// Whether standard input is to be the session's terminal.
    pub(super) terminal: bool,
}

/// Becomes the program, confined by `filter` if there is one.
pub(super) fn execute(
    argv: &[String],
    env: &BTreeMap<String, String>,
    cwd: &Path,
    standard: &Standard,
    filter: Option<&Filter>,
) -> Result<Infallible, Failure> {
    let Some(name) = argv.first() else {
        return Err(Failure::of("execute the program", "no program is named"));
    };
    chdir(cwd).step(|| format!("change to {}", cwd.display()))?;
    let path = env.get("PATH").map_or(DEFAULT_PATH, String::as_str);
    let program = find(name, path);
    let text = |text: String| {
        CString::new(text).map_err(|_| Failure::of("execute the program", "a NUL byte in a word"))
    };
    let program_path = text(program.clone())?;
    let arguments = argv
        .iter()
        .cloned()
        .map(text)
        .collect::<Result<Vec<_>, _>>()?;
    let environment = env
        .iter()
        .map(|(key, value)| text(format!("{key}={value}")))
        .collect::<Result<Vec<_>, _>>()?;

    if standard.terminal {
        sys::set_controlling_terminal(standard.stdin.as_fd())
            .step(|| "take the terminal".into())?;
    }
    dup2_stdin(&standard.stdin)
        .and_then(|()| dup2_stdout(&standard.stdout))
        .and_then(|()| dup2_stderr(&standard.stderr))
        .step(|| "connect its standard streams".into())?;
    sys::close_on_exec_from_3().step(|| "close other descriptors".into())?;
    sys::reset_signals().step(|| "reset its signals".into())?;
    if let Some(filter) = filter {
        filter.install()?; // the last of all: what prepares a sandbox is not in the list
    }
    execve(&program_path, &arguments, &environment)
        .step(|| format!("execute {program}"))
        .map_err(|failure| match Errno::from_raw(failure.errno) {
            Errno::ENOENT => failure.remedy(
                "it, or its interpreter, does not exist inside the sandbox: is it installed and in PATH?",
            ),
            Errno::EACCES => failure.remedy("it must be readable and executable by user 65532: chmod a+rx"),
            _ => failure,
        })
}

/// The path that a shell would execute; the name itself when there is none, so that the error names what was asked for.
fn find(name: &str, path: &str) -> String {
    if name.contains('/') {
        return name.to_owned();
    }
    path.split(':')
        .filter(|folder| folder.starts_with('/'))
        .map(|folder| format!("{folder}/{name}"))
        .find(|candidate| access(candidate.as_str(), AccessFlags::X_OK).is_ok())
        .unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_as_a_shell_does() {
        assert_eq!(find("sh", "/nowhere:/bin:/usr/bin"), "/bin/sh");
        assert_eq!(find("./sh", "/bin"), "./sh");
        assert_eq!(find("no-such-program", "/bin"), "no-such-program");
        assert_eq!(find("sh", "bin::"), "sh");
    }
}
