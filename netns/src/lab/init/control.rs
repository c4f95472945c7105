//! The control socket: one task a connection, so that whoever hangs, hangs alone.

use std::io::{self, IoSliceMut};
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::allotment::Allotment;
use super::change::{Asked, Guests};
use super::serve::{Located, Message, Place};
use crate::kernel::reaper::Reaper;
use crate::kernel::sandbox::{self, Streams};
use crate::lab::clock::unix_ms;
use crate::lab::events::Event;
use crate::lab::protocol::{MAX_REQUEST, Reply, Request, Run, line, parse_request};

/// How long a connection may take to say what it wants.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than any lab is listened to: tokio's timers end after some two years.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// Descriptors that come with [`Request::Exec`].
const STREAMS: usize = 3;
/// Most descriptors that come with a request: the host's sockets of a [`Request::Change`].
const DESCRIPTORS: usize = 64;

/// Held by whoever is to hear the lab's last words; the lab waits for all of them to be dropped.
pub(super) type Hearing = tokio::sync::mpsc::Sender<()>;

/// Answers on the control socket for as long as it is polled.
pub(super) async fn listen(
    listener: UnixListener,
    messages: UnboundedSender<Message>,
    reaper: Reaper,
    hearing: Hearing,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (messages, reaper, hearing) =
                    (messages.clone(), reaper.clone(), hearing.clone());
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, messages, reaper, hearing).await {
                        tracing::debug!(%error, "a control connection broke");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a control connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn converse(
    mut stream: UnixStream,
    messages: UnboundedSender<Message>,
    reaper: Reaper,
    hearing: Hearing,
) -> io::Result<()> {
    let (text, fds) = tokio::time::timeout(REQUEST_TIMEOUT, receive(&stream)).await??;
    let request = parse_request(&text);
    let _hearing = matches!(request, Ok(Request::Down | Request::Events { .. })).then_some(hearing);
    match request {
        Err(message) => say(&mut stream, &refusal(message)).await,
        Ok(Request::Status) => {
            let (sender, answer) = oneshot::channel();
            let _ = messages.send(Message::Status(sender));
            match answer.await {
                Ok(status) => say(&mut stream, &Reply::Status(Box::new(status))).await,
                Err(_) => Ok(()), // the lab is ending
            }
        }
        Ok(Request::Usage) => {
            let (sender, answer) = oneshot::channel();
            let _ = messages.send(Message::Usage(sender));
            let Ok(survey) = answer.await else {
                return Ok(());
            };
            let usages = tokio::task::spawn_blocking(|| survey.measure()).await?;
            say(&mut stream, &Reply::Usage(usages)).await
        }
        Ok(Request::Events {
            since_unix_ms,
            until_unix_ms,
        }) => {
            let (sender, answer) = oneshot::channel();
            let _ = messages.send(Message::Events {
                since_unix_ms,
                answer: sender,
            });
            match answer.await {
                Ok((past, coming)) => tell(&mut stream, past, coming, until_unix_ms).await,
                Err(_) => Ok(()),
            }
        }
        Ok(Request::Down) => {
            let (sender, mut replies) = unbounded_channel();
            let _ = messages.send(Message::Down(sender));
            say_all(&mut stream, &mut replies).await
        }
        Ok(Request::Steer {
            steer,
            services,
            wait_ms,
        }) => {
            let (sender, mut replies) = unbounded_channel();
            let _ = messages.send(Message::Steer {
                steer,
                services,
                wait: wait_ms.map(Duration::from_millis),
                replies: sender,
            });
            say_all(&mut stream, &mut replies).await
        }
        Ok(Request::Change(change)) => {
            let (sender, mut replies) = unbounded_channel();
            let _ = messages.send(Message::Change(Box::new(Asked {
                change: *change,
                guests: Guests::Stay,
                sockets: fds.into_iter().map(TcpListener::from).collect(),
                replies: sender,
            })));
            say_all(&mut stream, &mut replies).await
        }
        Ok(Request::Run(run)) => {
            let reply = one_off(&mut stream, run, fds, &messages, &reaper).await?;
            say(&mut stream, &reply).await
        }
        Ok(Request::Exec(exec)) => {
            let (sender, answer) = oneshot::channel();
            let _ = messages.send(Message::Locate {
                exec,
                answer: sender,
            });
            let reply = match answer.await {
                Ok(Ok(located)) => self::exec(&mut stream, located, fds, &reaper).await?,
                Ok(Err(message)) => refusal(message),
                Err(_) => return Ok(()),
            };
            say(&mut stream, &reply).await
        }
    }
}

/// Tells what happened and what happens, until the lab ends, the listener goes away, or it is `until_unix_ms`.
async fn tell(
    stream: &mut UnixStream,
    past: Vec<Event>,
    mut coming: broadcast::Receiver<Event>,
    until_unix_ms: Option<u64>,
) -> io::Result<()> {
    let is_due = |event: &Event| until_unix_ms.is_none_or(|until| event.at_unix_ms <= until);
    for event in past.into_iter().filter(is_due) {
        say(stream, &Reply::Event(event)).await?;
    }
    let left = until_unix_ms.map_or(FOREVER, |until| {
        Duration::from_millis(until.saturating_sub(unix_ms()))
    });
    let end = tokio::time::sleep(left.min(FOREVER));
    tokio::pin!(end);
    let mut byte = [0_u8];
    loop {
        tokio::select! {
            event = coming.recv() => match event {
                Ok(event) => say(stream, &Reply::Event(event)).await?,
                Err(RecvError::Lagged(missed)) => {
                    let message = format!("{missed} events were missed: they were not read fast enough");
                    return say(stream, &refusal(message)).await;
                }
                Err(RecvError::Closed) => return Ok(()),
            },
            () = &mut end => return Ok(()),
            _ = stream.read(&mut byte) => return Ok(()),
        }
    }
}

/// Runs a one-off instance: its network first, then its program, and when that has ended nothing of it stays.
async fn one_off(
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
        Ok(Ok(located)) => exec(stream, located, fds, reaper).await,
        Ok(Err(message)) => Ok(refusal(message)),
        Err(_) => Ok(refusal("the lab ended".to_owned())),
    };
    let _ = messages.send(Message::Dismiss(name));
    reply
}

/// Runs the program on the caller's own descriptors; passes signals on; kills it when the caller goes away.
async fn exec(
    stream: &mut UnixStream,
    located: Located,
    fds: Vec<OwnedFd>,
    reaper: &Reaper,
) -> io::Result<Reply> {
    let Ok([stdin, stdout, stderr]) = <[OwnedFd; STREAMS]>::try_from(fds) else {
        return Ok(refusal(
            "exec comes with standard input, output and error".to_owned(),
        ));
    };
    let detach = located.detach;
    let since = reaper.now();
    let allotment = match &located.place {
        Place::Own(_, _, allotment) => allotment.clone(),
        Place::Sandbox(_) | Place::Network(_) => None,
    };
    let started = tokio::task::spawn_blocking(move || {
        let streams = Streams {
            stdin: stdin.as_fd(),
            stdout: stdout.as_fd(),
            stderr: stderr.as_fd(),
        };
        match &located.place {
            Place::Sandbox(pid) => sandbox::exec_in(*pid, &located.spec, streams),
            Place::Network(network) => sandbox::visit(network.as_fd(), &located.spec, streams),
            Place::Own(network, spec, allotment) => {
                allotment.as_ref().map_or(Ok(()), Allotment::prepare)?;
                sandbox::spawn(spec, network.as_fd(), streams)
            }
        }
    });
    let pid = match started.await? {
        Ok(pid) => pid,
        Err(failure) => {
            return Ok(Reply::Error {
                message: failure.to_string(),
                code: not_executed(failure.errno),
            });
        }
    };
    if detach {
        return Ok(Reply::Exited { code: 0 });
    }
    let exit = async {
        let exit = reaper.exit_of(pid, since).await;
        if let Some(allotment) = allotment {
            allotment.give_back();
        }
        exit
    };
    tokio::pin!(exit);
    let mut byte = [0_u8];
    loop {
        tokio::select! {
            exit = &mut exit => return Ok(Reply::Exited { code: exit.shell_code() }),
            read = stream.read(&mut byte) => {
                let signal = match read {
                    Ok(1) => Signal::try_from(i32::from(byte[0])).ok(),
                    Ok(_) | Err(_) => Some(Signal::SIGKILL),
                };
                if let Some(signal) = signal {
                    let _ = kill(pid, signal); // it may have ended just now
                }
                if signal == Some(Signal::SIGKILL) {
                    return Ok(Reply::Exited { code: exit.await.shell_code() });
                }
            }
        }
    }
}

fn refusal(message: String) -> Reply {
    Reply::Error {
        message,
        code: None,
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

async fn say_all(
    stream: &mut UnixStream,
    replies: &mut UnboundedReceiver<Reply>,
) -> io::Result<()> {
    let mut byte = [0_u8];
    loop {
        tokio::select! {
            reply = replies.recv() => match reply {
                Some(reply) => say(stream, &reply).await?,
                None => return Ok(()),
            },
            // Nothing more is asked on such a connection: whoever asked is gone, however long there may be nothing to say.
            _ = stream.read(&mut byte) => return Ok(()),
        }
    }
}

async fn say(stream: &mut UnixStream, reply: &Reply) -> io::Result<()> {
    stream.write_all(&line(reply)?).await
}

/// Reads the request line, and whatever descriptors ride on its bytes.
async fn receive(stream: &UnixStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut text = Vec::new();
    let mut fds = Vec::new();
    loop {
        if text.len() > MAX_REQUEST || fds.len() > DESCRIPTORS {
            return Err(io::Error::other("a request without an end"));
        }
        stream.readable().await?;
        let mut buffer = [0_u8; 4096];
        match stream.try_io(Interest::READABLE, || {
            receive_some(stream, &mut buffer, &mut fds)
        }) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                text.extend_from_slice(&buffer[..read]);
                if buffer[..read].contains(&b'\n') {
                    return Ok((text, fds));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

#[expect(
    unsafe_code,
    reason = "descriptors that the kernel hands over in a control message arrive as bare numbers"
)]
fn receive_some(
    stream: &UnixStream,
    buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut space = nix::cmsg_space!([i32; DESCRIPTORS]);
    let mut slices = [IoSliceMut::new(buffer)];
    let message = recvmsg::<()>(
        stream.as_raw_fd(),
        &mut slices,
        Some(&mut space),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )?;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = control {
            // SAFETY: the kernel has just made these descriptors for this process (unix(7)); nothing else owns them.
            fds.extend(
                received
                    .into_iter()
                    .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
            );
        }
    }
    Ok(message.bytes)
}
