//! `exec`: a program inside an instance's sandbox, on the caller's own standard streams or a terminal of its own; or a program of the
//! machine in a network of the lab.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use clap::Args;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::args::{Global, variable};
use super::failure::{Code, Failure};
use super::pty::{self, Pty, window};
use super::{project, ps};
use crate::lab::client::{Client, SILENCE};
use crate::lab::protocol::{self, Reply, Request, Status};
use crate::lab::state::StateDir;
use crate::plan::{ROUTER, WORLD};

/// What tells a program which terminal it writes to.
const TERM: &str = "TERM";

/// `exec`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup exec postgres psql -U postgres -c 'select 1'
  netns-setup exec product-service-2 cat /etc/hosts
  netns-setup exec --index 2 product-service cat /etc/hosts
  echo 'select 1' | netns-setup exec -T postgres psql -U postgres
  netns-setup exec router nft list ruleset
  netns-setup exec world curl -s http://203.0.113.1:8080/
  netns-setup exec --privileged postgres ss -tnp

In a sandbox a program has the instance's user, files and variables. In router
and world, and with --privileged, it is a program of this machine with the
machine's files, run in that network as the lab's root: ip, nft, ss, tcpdump.

Exit code: the program's; 126: it cannot be executed, 127: there is none.")]
pub(super) struct Exec {
    /// Run it in the background and return
    #[arg(short, long)]
    pub detach: bool,
    /// Set a variable; without a value: as it is here. May be given again
    #[arg(short, long, value_name = "KEY[=VALUE]", value_parser = variable)]
    pub env: Vec<(String, Option<String>)>,
    /// Which instance of the service [default: the first that runs]
    #[arg(long, value_name = "N")]
    pub index: Option<u32>,
    /// Run the machine's program in the instance's network as the lab's root
    #[arg(long)]
    pub privileged: bool,
    /// No terminal of its own, even when this is one
    #[arg(short = 'T', long, alias = "no-TTY")]
    pub no_tty: bool,
    /// Standard input reaches the program: always so
    #[arg(short, long)]
    pub interactive: bool,
    /// A terminal of its own: always so where this is one, without -T
    #[arg(short, long)]
    pub tty: bool,
    /// Folder to run it in [default: the sandbox's own; this one with --privileged]
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<PathBuf>,
    /// Service, instance, `router` or `world`
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

impl Exec {
    fn request(&self, tty: bool) -> protocol::Exec {
        let env = variables(&self.env, tty);
        let target = match self.index {
            Some(index) => format!("{}-{index}", self.target),
            None => self.target.clone(),
        };
        let on_the_machine = self.privileged || [ROUTER, WORLD].contains(&target.as_str());
        let here = || std::env::current_dir().ok().filter(|_| on_the_machine);
        protocol::Exec {
            target,
            argv: self.argv.clone(),
            env,
            cwd: self.workdir.clone().or_else(here),
            privileged: self.privileged,
            detach: self.detach,
            terminal: tty.then(window),
        }
    }
}

pub(super) fn run(global: &Global, exec: &Exec) -> Result<u8, Failure> {
    let state = project::find_up(global)?;
    if exec.index.is_some() {
        has_instances(&state, &exec.target)?;
    }
    let tty = !exec.no_tty && !exec.detach && is_terminal();
    let request = Request::Exec(exec.request(tty));
    stream(&state, request, tty, exec.detach, Patience::Endless)
}

/// Refuses what `--index` has nothing to choose from.
pub(super) fn has_instances(state: &StateDir, target: &str) -> Result<(), Failure> {
    let is_instance = |status: &Status| {
        let all = status.instances.iter().chain(&status.one_offs);
        all.map(|one| &one.name).any(|name| name == target)
    };
    match [ROUTER, WORLD].contains(&target) || is_instance(&ps::status(state)?) {
        true => Err(Failure::new(
            Code::Usage,
            format!("error: --index is for services; there is one {target}\n = help: leave it out"),
        )),
        false => Ok(()),
    }
}

/// The variables that were asked for, and on a terminal its kind.
pub(super) fn variables(asked: &[(String, Option<String>)], tty: bool) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = asked
        .iter()
        .filter_map(|(key, value)| {
            let value = value.clone().or_else(|| std::env::var(key).ok())?;
            Some((key.clone(), value))
        })
        .collect();
    if let (true, Ok(term)) = (tty, std::env::var(TERM)) {
        env.entry(TERM.to_owned()).or_insert(term);
    }
    env
}

/// Whether the caller has a terminal to type at and to read.
pub(super) fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// What a caller does who is told to end, while the program goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Tells the program so, however often.
    Endless,
    /// The third time ends the program by `SIGKILL`.
    ForThree,
}

/// Asks for a program on the caller's own streams, or a terminal when there is to be one, and stays with it to its end.
pub(super) fn stream(
    state: &StateDir,
    request: Request,
    tty: bool,
    detach: bool,
    patience: Patience,
) -> Result<u8, Failure> {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let control = state.control();
    let (mut client, master) = if tty {
        let (console, theirs) = UnixStream::pair()?;
        let client = Client::ask(&control, request, &[theirs.as_fd(); 3])?;
        drop(theirs);
        (client, pty::receive(&console)?)
    } else if detach {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        (Client::ask(&control, request, &[null.as_fd(); 3])?, None)
    } else {
        let own = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
        (Client::ask(&control, request, &own)?, None)
    };
    let signals = signals()?;
    let mut pty = master.map(Pty::of).transpose()?;
    let reply = accompany(&mut client, &signals, &mut pty, patience)?;
    drop(pty);
    match reply {
        Some(Reply::Exited { code }) => Ok(u8::try_from(code).unwrap_or(Code::Failed as u8)),
        Some(Reply::Error { message, code, .. }) => Err(Failure {
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
    with_signals: Patience,
) -> io::Result<Option<Reply>> {
    let mut heard = 0;
    let stdin = io::stdin();
    let (mut typing, mut showing) = (true, true);
    // A program may be silent for as long as it likes, but a lab that starts none is to be noticed.
    let mut patience = PollTimeout::try_from(SILENCE).unwrap_or(PollTimeout::MAX);
    loop {
        let mut fds = vec![
            PollFd::new(client.stream().as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        if let Some(pty) = pty.as_ref().filter(|_| showing) {
            let (mut of_pty, mut of_stdin) = (PollFlags::POLLIN, PollFlags::empty());
            if pty.has_typed() {
                of_pty |= PollFlags::POLLOUT;
            } else if typing {
                of_stdin |= PollFlags::POLLIN;
            }
            fds.push(PollFd::new(pty.as_fd(), of_pty));
            if !of_stdin.is_empty() {
                fds.push(PollFd::new(stdin.as_fd(), of_stdin));
            }
        }
        match poll(&mut fds, patience) {
            Ok(0) => {
                client.is_alive()?;
                patience = PollTimeout::NONE;
                continue;
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        while let Ok(Some(received)) = signals.read_signal() {
            let mut signal = received.ssi_signo;
            if [Signal::SIGINT as u32, Signal::SIGTERM as u32].contains(&signal) {
                heard += 1;
                if with_signals == Patience::ForThree && heard >= 3 {
                    signal = Signal::SIGKILL as u32;
                }
            }
            pass_on(client, pty.as_ref(), signal)?;
        }
        if let Some(pty) = pty {
            if ready.get(2) == Some(&true) {
                pty.hand_over();
                showing = pty.carry_out()?;
            }
            if ready.get(3) == Some(&true) {
                typing = pty.read_typed()?;
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
