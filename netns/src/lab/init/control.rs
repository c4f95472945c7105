//! The control socket: one task a connection, so that whoever hangs, hangs alone.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::change::{Asked, Guests};
use super::program::{exec, one_off};
use super::receive::receive;
use super::serve::Message;
use crate::kernel::reaper::Reaper;
use crate::lab::clock::unix_ms;
use crate::lab::events::Event;
use crate::lab::protocol::{Reply, Request, line, parse_request};

/// How long a connection may take to say what it wants.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than any lab is listened to: tokio's timers end after some two years.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

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
                Ok(unread) => {
                    let status = tokio::task::spawn_blocking(|| unread.read()).await?;
                    say(&mut stream, &Reply::Status(Box::new(status))).await
                }
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
                change: Arc::from(change),
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
        Ok(Request::Exec(asked)) => {
            let (sender, answer) = oneshot::channel();
            let _ = messages.send(Message::Locate {
                exec: asked,
                answer: sender,
            });
            let reply = match answer.await {
                Ok(Ok(located)) => {
                    let within = located.place.sandbox();
                    let reply = exec(&mut stream, located, fds, &reaper, |_| ()).await?;
                    if let Some(first) = within {
                        let _ = messages.send(Message::Left(first)); // the main task is gone only when the lab ends
                    }
                    reply
                }
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

pub(super) fn refusal(message: String) -> Reply {
    Reply::refusal(message, None)
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
