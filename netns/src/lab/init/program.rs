//! Programs that last as long as the connection that asked for them: `exec` and `run`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::allotment::Allotment;
use super::control::refusal;
use super::serve::{Located, Message, Place};
use crate::kernel::reaper::Reaper;
use crate::kernel::sandbox::{self, GivenUp, Streams};
use crate::lab::protocol::{Reply, Run};

/// Descriptors that come with the request.
const STREAMS: usize = 3;

/// Runs a one-off instance: its network first, then its program, and when that has ended nothing of it stays.
pub(super) async fn one_off(
    stream: &mut UnixStream,
    run: Run,
    fds: Vec<OwnedFd>,
    messages: &UnboundedSender<Message>,
    reaper: &Reaper,
) -> io::Result<Reply> {
    let (replies, mut said) = unbounded_channel();
    let (answer, admitted) = oneshot::channel();
    let _ = messages.send(Message::Admit {
        service: run.service.clone(),
        name: run.name.clone(),
        replies,
        answer,
    });
    let name = match admitted.await {
        Ok(Ok(name)) => name,
        Ok(Err(message)) => return Ok(refusal(message)),
        Err(_) => return Ok(refusal("the lab ended".to_owned())),
    };
    while let Some(reply) = said.recv().await {
        if let Reply::Error { .. } = reply {
            return Ok(reply);
        }
    }
    let (answer, hosted) = oneshot::channel();
    let _ = messages.send(Message::Host {
        name: name.clone(),
        run,
        answer,
    });
    let reply = match hosted.await {
        Ok(Ok(located)) => {
            let arrived = |pid| {
                let name = name.clone();
                let _ = messages.send(Message::Arrived { name, pid }); // the main task is gone only when the lab ends
            };
            exec(stream, located, fds, reaper, arrived).await
        }
        Ok(Err(message)) => Ok(refusal(message)),
        Err(_) => Ok(refusal("the lab ended".to_owned())),
    };
    let _ = messages.send(Message::Dismiss(name));
    reply
}

/// Runs the program on the caller's own descriptors, says when it `runs`; passes signals on; kills it when the caller goes away.
pub(super) async fn exec(
    stream: &mut UnixStream,
    located: Located,
    fds: Vec<OwnedFd>,
    reaper: &Reaper,
    runs: impl FnOnce(Pid),
) -> io::Result<Reply> {
    let Ok([stdin, stdout, stderr]) = <[OwnedFd; STREAMS]>::try_from(fds) else {
        return Ok(refusal(
            "exec comes with standard input, output and error".to_owned(),
        ));
    };
    let detach = located.detach;
    let allotment = match &located.place {
        Place::Own(_, _, allotment) => allotment.clone(),
        Place::Sandbox(_) | Place::Network(_) => None,
    };
    let reaper = reaper.clone();
    let begun = tokio::task::spawn_blocking(move || {
        let streams = Streams {
            stdin: stdin.as_fd(),
            stdout: stdout.as_fd(),
            stderr: stderr.as_fd(),
        };
        let spec = &located.spec;
        match &located.place {
            Place::Sandbox(pid) => sandbox::exec_in(&reaper, *pid, spec, streams),
            Place::Network(network) => sandbox::visit(&reaper, network.as_fd(), spec, streams),
            Place::Own(network, spec, allotment) => {
                allotment.as_ref().map_or(Ok(()), Allotment::prepare)?;
                sandbox::spawn(&reaper, spec, network.as_fd(), streams)
            }
        }
    });
    let started = match begun.await? {
        Ok(start) => start.finish(left(stream)).await,
        Err(failure) => Err(failure),
    };
    let program = match started {
        Ok(program) => program,
        Err(failure) => {
            // Nothing of it is left, so its group is empty.
            if let Some(allotment) = allotment {
                allotment.give_back();
            }
            let code = not_executed(failure.errno);
            return Ok(Reply::refusal(failure.to_string(), code));
        }
    };
    let pid = program.pid;
    runs(pid);
    // Its group is given back by whoever hears of its end, whatever becomes of this connection.
    let mut end = tokio::spawn(async move {
        let exit = program.end.await;
        if let Some(allotment) = allotment {
            allotment.give_back();
        }
        exit
    });
    if detach {
        return Ok(Reply::Exited { code: 0 });
    }
    let mut byte = [0_u8];
    loop {
        tokio::select! {
            exit = &mut end => return Ok(Reply::Exited { code: exit?.shell_code() }),
            read = stream.read(&mut byte) => {
                let signal = match read {
                    Ok(1) => Signal::try_from(i32::from(byte[0])).ok(),
                    Ok(_) | Err(_) => Some(Signal::SIGKILL),
                };
                if let Some(signal) = signal {
                    let _ = kill(pid, signal); // it may have ended just now
                }
                if signal == Some(Signal::SIGKILL) {
                    return Ok(Reply::Exited { code: end.await?.shell_code() });
                }
            }
        }
    }
}

/// Waits until whoever asked for a program is gone, or sends a signal before there is one that could heed it.
async fn left(stream: &mut UnixStream) -> GivenUp {
    let _ = stream.read(&mut [0]).await; // whatever comes, it is a reason to end
    GivenUp {
        reason: "whoever asked for it did not wait".to_owned(),
        remedy: None,
    }
}

/// How a shell, and Docker, end when the program is not there or cannot be executed (POSIX, "Exit Status for Commands").
fn not_executed(errno: i32) -> Option<u8> {
    match errno {
        libc::ENOENT => Some(127),
        libc::EACCES | libc::ENOEXEC => Some(126),
        _ => None,
    }
}
