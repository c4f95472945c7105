//! What PID 1 and a sandbox's helper say to each other: one request with descriptors, then reports, one JSON value a line.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, RecvMsg, UnixAddr, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use super::{ExecSpec, SandboxSpec};
use crate::kernel::failure::Failure;

/// Descriptors sent with a request: standard input, output, error, and the network namespace or the target process.
pub(super) const DESCRIPTORS: usize = 4;

/// What a helper is asked to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// A sandbox of its own.
    Spawn(Box<SandboxSpec>),
    /// A program in a sandbox that is up.
    Exec(Box<ExecSpec>),
    /// A program of the machine in a network namespace.
    Visit(Box<ExecSpec>),
}

impl Request {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Spawn(spec) => &spec.name,
            Self::Exec(spec) | Self::Visit(spec) => &spec.name,
        }
    }
}

/// What a helper, or the program's process before it is executed, answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// The pid of the program, as the helper's parent numbers it.
    Started(i32),
    /// It went wrong.
    Failed(Failure),
}

/// Sends the descriptors and the beginning of the request; what is left of it is to follow, and then the end of the stream.
pub(super) fn send(
    socket: &UnixStream,
    request: &Request,
    fds: &[BorrowedFd<'_>],
) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(request)?;
    let raw: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    // Descriptors ride on the first byte; the rest is an ordinary stream.
    let rest = text.split_off(1);
    sendmsg::<UnixAddr>(
        socket.as_raw_fd(),
        &[IoSlice::new(&text)],
        &[ControlMessage::ScmRights(&raw)],
        MsgFlags::empty(),
        None,
    )?;
    Ok(rest)
}

/// Receives a request and its descriptors.
pub(super) fn receive(socket: &UnixStream) -> io::Result<(Request, [OwnedFd; DESCRIPTORS])> {
    let mut text = vec![0_u8];
    let raw = {
        let mut space = nix::cmsg_space!([i32; DESCRIPTORS]);
        let mut slices = [IoSliceMut::new(&mut text)];
        let message: RecvMsg<'_, '_, UnixAddr> = recvmsg(
            socket.as_raw_fd(),
            &mut slices,
            Some(&mut space),
            MsgFlags::MSG_CMSG_CLOEXEC,
        )?;
        let mut raw = Vec::new();
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(received) = control {
                raw.extend(received);
            }
        }
        raw
    };
    let fds: Vec<OwnedFd> = raw.into_iter().map(crate::kernel::sys::adopt).collect();
    let fds = fds
        .try_into()
        .map_err(|_| io::Error::other("the request came without its descriptors"))?;
    let mut stream = socket;
    stream.read_to_end(&mut text)?;
    Ok((serde_json::from_slice(&text)?, fds))
}

/// Sends a report. If PID 1 is gone there is nobody to tell, and the kernel is about to end this process too.
pub(super) fn report(socket: &UnixStream, report: &Report) {
    if let Ok(mut line) = serde_json::to_string(report) {
        line.push('\n');
        let mut stream = socket;
        let _ = stream.write_all(line.as_bytes());
    }
}
