//! Reading a request off the control socket.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::kernel::sys;
use crate::lab::protocol::MAX_REQUEST;

/// Most descriptors that come with a request: the host's sockets of a change.
const DESCRIPTORS: usize = 64;

/// Reads the request line, and whatever descriptors ride on its bytes.
pub(super) async fn receive(stream: &UnixStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
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
            fds.extend(received.into_iter().map(sys::adopt));
        }
    }
    Ok(message.bytes)
}
