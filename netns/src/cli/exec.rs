//! `exec`: a program inside an instance's sandbox, on the caller's own standard streams or a terminal of its own.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use clap::Args;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::args::Global;
use super::failure::{Code, Failure};
use super::project;
use super::pty::Pty;
use crate::lab::client::Client;
use crate::lab::protocol::{Reply, Request};

/// `exec`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup exec postgres psql -U postgres -c 'select 1'
  netns-setup exec redis redis-server --version
  netns-setup exec product-service-2 cat /etc/hosts
  echo 'select 1' | netns-setup exec postgres psql -U postgres")]
pub(super) struct Exec {
    /// No terminal of its own, even when this is one
    #[arg(short = 'T', long)]
    pub no_tty: bool,
    /// Service (its first instance that runs) or instance
    pub target: String,
    /// Program and arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub argv: Vec<String>,
}

pub(super) fn run(global: &Global, exec: &Exec) -> Result<u8, Failure> {
    let state = project::find_up(global)?;
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let tty = !exec.no_tty && stdin.is_terminal() && stdout.is_terminal();
    let request = Request::Exec {
        target: exec.target.clone(),
        argv: exec.argv.clone(),
        tty,
    };
    let signals = signals()?;
    let mut pty = if tty { Some(Pty::open()?) } else { None };
    let mut client = match pty.as_ref().and_then(|pty| pty.slave.as_ref()) {
        Some(slave) => Client::ask(
            &state.control(),
            request,
            &[slave.as_fd(), slave.as_fd(), slave.as_fd()],
        )?,
        None => Client::ask(
            &state.control(),
            request,
            &[stdin.as_fd(), stdout.as_fd(), stderr.as_fd()],
        )?,
    };
    if let Some(pty) = &mut pty {
        pty.slave = None;
    }
    let reply = accompany(&mut client, &signals, &mut pty)?;
    drop(pty);
    match reply {
        Some(Reply::Exited { code }) => Ok(u8::try_from(code).unwrap_or(Code::Failed as u8)),
        Some(Reply::Error { message, code }) => Err(Failure {
            code: code.unwrap_or(Code::Failed as u8),
            message: format!("error: {message}"),
        }),
        _ => Err(Failure::new(Code::Failed, "error: the lab ended")),
    }
}

/// The signals that are passed on to the program, and the one that says the window has changed.
fn signals() -> io::Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGQUIT,
        Signal::SIGHUP,
        Signal::SIGWINCH,
    ] {
        set.add(signal);
    }
    set.thread_block()?;
    Ok(SignalFd::with_flags(
        &set,
        SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC,
    )?)
}

/// Passes signals on, and bytes when there is a terminal, until the lab has answered.
fn accompany(
    client: &mut Client,
    signals: &SignalFd,
    pty: &mut Option<Pty>,
) -> io::Result<Option<Reply>> {
    let stdin = io::stdin();
    let (mut typing, mut showing) = (true, true);
    loop {
        let mut fds = vec![
            PollFd::new(client.stream().as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        let wanted = |is_wanted: bool| {
            if is_wanted {
                PollFlags::POLLIN
            } else {
                PollFlags::empty()
            }
        };
        if let Some(pty) = pty.as_ref().filter(|_| showing) {
            fds.push(PollFd::new(pty.as_fd(), PollFlags::POLLIN));
            fds.push(PollFd::new(stdin.as_fd(), wanted(typing)));
        }
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        while let Ok(Some(received)) = signals.read_signal() {
            pass_on(client, pty.as_ref(), received.ssi_signo)?;
        }
        if let Some(pty) = pty {
            if ready.get(2) == Some(&true) {
                showing = pty.carry_out()?;
            }
            if typing && ready.get(3) == Some(&true) {
                typing = pty.carry_in()?;
            }
        }
        if ready[0] {
            let reply = client.reply()?;
            if let Some(pty) = pty {
                // What it wrote last may still be on its way.
                while poll(
                    &mut [PollFd::new(pty.as_fd(), PollFlags::POLLIN)],
                    PollTimeout::ZERO,
                )? > 0
                    && pty.carry_out()?
                {}
            }
            return Ok(reply);
        }
    }
}

fn pass_on(client: &Client, pty: Option<&Pty>, signal: u32) -> io::Result<()> {
    if signal == Signal::SIGWINCH as u32 {
        if let Some(pty) = pty {
            pty.resize();
        }
        return Ok(());
    }
    let Ok(number) = u8::try_from(signal) else {
        return Ok(());
    };
    client.stream().write_all(&[number])
}
