//! Talking to a running lab.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IoSlice, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use super::protocol::{Envelope, Reply, Request, VERSION, line};

/// A connection that has carried its request.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the control socket and asks; `fds` go along.
    ///
    /// # Errors
    /// When the lab cannot be reached.
    pub fn ask(control: &Path, request: Request, fds: &[BorrowedFd<'_>]) -> io::Result<Self> {
        let stream = by_short_path(control, |path| UnixStream::connect(path))?;
        let bytes = line(&Envelope {
            v: VERSION,
            request,
        })?;
        let raw: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
        let sent = sendmsg::<()>(
            stream.as_raw_fd(),
            &[IoSlice::new(&bytes)],
            control,
            MsgFlags::MSG_NOSIGNAL,
            None,
        )?;
        (&stream).write_all(&bytes[sent..])?;
        Ok(Self {
            reader: BufReader::new(stream),
        })
    }

    /// The next answer; `None`: there are no more.
    ///
    /// # Errors
    /// When the connection breaks or what arrives is no answer.
    pub fn reply(&mut self) -> io::Result<Option<Reply>> {
        let mut text = String::new();
        match self.reader.read_line(&mut text) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(serde_json::from_str(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes [`Client::reply`] fail when no answer comes within `timeout`.
    ///
    /// # Errors
    /// When `timeout` is zero.
    pub fn hurry(&self, timeout: Duration) -> io::Result<()> {
        self.stream().set_read_timeout(Some(timeout))
    }

    /// The connection itself.
    #[must_use]
    pub fn stream(&self) -> &UnixStream {
        self.reader.get_ref()
    }
}

/// Listens on the control socket, for its owner alone. A socket left behind there is replaced: the caller holds the lab's lock.
///
/// # Errors
/// When the socket cannot be made.
pub fn listen(control: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::remove_file(control) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = by_short_path(control, |path| UnixListener::bind(path))?;
    std::fs::set_permissions(control, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// A socket's path may have 107 bytes (`unix(7)`), a state folder's more: name the socket through a descriptor of its folder.
fn by_short_path<T>(path: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return act(path);
    };
    let folder = File::open(folder)?;
    act(&Path::new("/proc/self/fd")
        .join(folder.as_raw_fd().to_string())
        .join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_is_no_obstacle() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("x".repeat(200));
        std::fs::create_dir(&folder).unwrap();
        let control = folder.join("control.sock");
        let listener = listen(&control).unwrap();
        let asked = std::thread::spawn(move || {
            let mut client = Client::ask(&control, Request::Status, &[]).unwrap();
            client.reply().unwrap()
        });
        let (stream, _) = listener.accept().unwrap();
        let mut request = String::new();
        BufReader::new(&stream).read_line(&mut request).unwrap();
        assert_eq!(
            crate::lab::protocol::parse_request(request.as_bytes()),
            Ok(Request::Status)
        );
        (&stream)
            .write_all(&line(&Reply::Exited { code: 3 }).unwrap())
            .unwrap();
        assert_eq!(asked.join().unwrap(), Some(Reply::Exited { code: 3 }));
    }
}
