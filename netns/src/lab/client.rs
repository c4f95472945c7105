//! Talking to a running lab.
//!
//! A lab may have nothing to say for long: while its instances take their time to stop, while a program runs. One that does not even say
//! how it stands is another matter: its first process is stopped or hangs, and whoever waits for it is told so.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IoSlice, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sendmsg, socket,
};

use super::protocol::{Envelope, OTHER_VERSION, Reply, Request, VERSION, line};

/// How long a lab may take to say how it stands.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a lab may be silent before it is asked.
pub const SILENCE: Duration = Duration::from_secs(1);

/// A connection that has carried its request.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<UnixStream>,
    /// What has come of a line whose end has not.
    partial: Vec<u8>,
    control: PathBuf,
    /// Whether silence is to be borne for as long as the lab answers others.
    is_patient: bool,
}

impl Client {
    /// Connects to the control socket and asks; `fds` go along.
    ///
    /// # Errors
    /// When the lab cannot be reached, or takes nothing in ([`io::ErrorKind::TimedOut`]).
    pub fn ask(control: &Path, request: Request, fds: &[BorrowedFd<'_>]) -> io::Result<Self> {
        Self::asked(control, request, fds, ANSWER)
    }

    /// How the lab stands, for who can do without knowing, and waits no longer than that.
    ///
    /// # Errors
    /// As [`Client::ask`] and [`Client::reply`].
    pub fn status_within(control: &Path, answer: Duration) -> io::Result<Option<Reply>> {
        Self::asked(control, Request::Status, &[], answer)?.reply()
    }

    fn asked(
        control: &Path,
        request: Request,
        fds: &[BorrowedFd<'_>],
        answer: Duration,
    ) -> io::Result<Self> {
        let impatient = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock => mute(),
            _ => error,
        };
        let stream = by_short_path(control, |path| connect(path, answer)).map_err(impatient)?;
        let is_patient = request != Request::Status;
        stream.set_read_timeout(Some(if is_patient { SILENCE } else { answer }))?;
        let bytes = line(&Envelope {
            v: VERSION,
            request,
        })?;
        let raw: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let ancillary: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
        let sent = sendmsg::<()>(
            stream.as_raw_fd(),
            &[IoSlice::new(&bytes)],
            ancillary,
            MsgFlags::MSG_NOSIGNAL,
            None,
        );
        let sent = sent.map_err(|error| impatient(error.into()))?;
        (&stream).write_all(&bytes[sent..]).map_err(impatient)?;
        Ok(Self {
            reader: BufReader::new(stream),
            partial: Vec::new(),
            control: control.to_owned(),
            is_patient,
        })
    }

    /// The next answer; `None`: there are no more. Waits for as long as the lab is [alive](Self::is_alive), for its status
    /// five seconds at most.
    ///
    /// # Errors
    /// When the connection breaks, the lab speaks another version of the protocol ([`io::ErrorKind::Unsupported`]), or does not answer
    /// ([`io::ErrorKind::TimedOut`]).
    pub fn reply(&mut self) -> io::Result<Option<Reply>> {
        loop {
            match self.reader.read_until(b'\n', &mut self.partial) {
                Ok(0) => return Ok(None),
                Ok(_) => {
                    let line = std::mem::take(&mut self.partial);
                    return understood(&line).map(Some);
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Err(_) if self.is_patient => self.is_alive()?,
                Err(_) => return Err(mute()),
            }
        }
    }

    /// Asks the lab, over a connection of its own, how it stands.
    ///
    /// # Errors
    /// When it does not say ([`io::ErrorKind::TimedOut`]). A lab that is gone is no error: it has ended this connection too.
    pub fn is_alive(&self) -> io::Result<()> {
        match Self::ask(&self.control, Request::Status, &[]) {
            Ok(mut client) => client.reply().map(drop),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(error),
            Err(_) => Ok(()),
        }
    }

    /// The connection itself.
    #[must_use]
    pub fn stream(&self) -> &UnixStream {
        self.reader.get_ref()
    }
}

/// The answer, if it is one of this version. A lab of any other version refuses what this one asks for.
fn understood(line: &[u8]) -> io::Result<Reply> {
    let other = |theirs: String| {
        let message = format!(
            "this lab was brought up by another version of netns-setup ({theirs})\n = help: {OTHER_VERSION}"
        );
        io::Error::new(io::ErrorKind::Unsupported, message)
    };
    match serde_json::from_slice(line) {
        Ok(Reply::Error { v, message, .. }) if v != VERSION => Err(other(match v {
            0 => format!("it says: {message}"),
            v => format!("it speaks version {v} of the control protocol, this one {VERSION}"),
        })),
        Ok(reply) => Ok(reply),
        Err(error) => Err(other(format!("what it answers is not understood: {error}"))),
    }
}

fn mute() -> io::Error {
    let message = "the lab does not answer\n = help: `netns-setup ps` says how to end it";
    io::Error::new(io::ErrorKind::TimedOut, message)
}

/// Connects, and gives up after that time when a lab accepts nobody and its queue is full, as the standard library's own would not.
fn connect(path: &Path, answer: Duration) -> io::Result<UnixStream> {
    let socket = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let stream = UnixStream::from(socket);
    stream.set_write_timeout(Some(answer))?;
    nix::sys::socket::connect(stream.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(stream)
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
    fn a_lab_of_another_version_is_told_from_one_that_refuses() {
        let of = |line: &str| understood(line.as_bytes());
        let refusal = Reply::refusal("no service is named x", Some(64));
        let ours = serde_json::to_string(&refusal).unwrap();
        assert_eq!(of(&ours).unwrap(), refusal);
        for (line, words) in [
            // As versions 1 and 2 said it.
            (
                r#"{"reply":"error","message":"not a request: unknown variant `run`","code":null}"#,
                "unknown variant",
            ),
            (
                r#"{"reply":"error","message":"later","code":null,"v":99}"#,
                "version 99",
            ),
            (r#"{"reply":"something_new"}"#, "not understood"),
        ] {
            let error = of(line).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
            let said = error.to_string();
            assert!(
                said.contains(words) && said.contains(OTHER_VERSION),
                "{said}"
            );
        }
    }

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
