//! A network namespace that plays the host: what root's lab does to the network of a host can be tried and counted there without
//! touching this machine's, which other labs change at the same time.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use netns_setup::kernel::namespace::run_in;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use std::os::fd::{AsFd, AsRawFd};

use crate::dial::Dialled;
use crate::setting::{behind, said};

/// The played host's address towards its neighbour, and that neighbour's: of TEST-NET-1, as some machines' own are.
pub(crate) const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
pub(crate) const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);

/// Where programs are found.
const SEARCHED: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// How long an address may take to answer. A refusal takes microseconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long is waited for an answer that must not come.
const UNANSWERED: i64 = 300;

/// A network namespace that lasts as long as this value.
pub(crate) struct Network {
    holder: Child,
}

impl Network {
    fn new() -> Result<Self> {
        // Ends with its standard input, and so with this process.
        let holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("unshare (Debian's util-linux)")?;
        let mut network = Self { holder };
        let told = network.holder.stdout.as_mut().context("its output")?;
        told.read_exact(&mut [0])?; // it is inside now
        Ok(network)
    }

    /// What `nsenter --net` takes.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.holder.id()).into()
    }

    /// Runs a shell script in it, as root: its output.
    pub(crate) fn shell(&self, script: &str) -> Result<String> {
        let mut command = Command::new("/bin/sh");
        command.args(["-ec", script]).env("PATH", SEARCHED);
        let output = within(&self.path(), &command).output()?;
        ensure!(output.status.success(), "{script}: {}", said(&output));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Does something on a thread in it.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        Ok(run_in(std::fs::File::open(self.path())?.as_fd(), work)?)
    }

    /// Opens a connection from here: what the other side sends, or why there is none.
    pub(crate) fn call(&self, to: SocketAddr) -> Result<String> {
        self.inside(|| {
            let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
            let mut text = String::new();
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.read_to_string(&mut text)?;
            Ok(text)
        })?
    }

    /// Whether an address that must not answer does, when a connection comes from `source`.
    pub(crate) fn dial_from(&self, source: Ipv4Addr, to: (Ipv4Addr, u16)) -> Result<Dialled> {
        let outcome = self.inside(|| {
            let socket = socket(
                AddressFamily::Inet,
                SockType::Stream,
                SockFlag::SOCK_CLOEXEC,
                None,
            )?;
            // What connect(2) waits is what may be waited to send (socket(7)).
            setsockopt(
                &socket,
                sockopt::SendTimeout,
                &TimeVal::new(0, UNANSWERED * 1000),
            )?;
            let at = |address: Ipv4Addr, port| {
                let [a, b, c, d] = address.octets();
                SockaddrIn::new(a, b, c, d, port)
            };
            bind(socket.as_raw_fd(), &at(source, 0))?;
            connect(socket.as_raw_fd(), &at(to.0, to.1))
        })?;
        Ok(match outcome.map_err(std::io::Error::from) {
            Ok(()) => Dialled::Open,
            Err(error)
                if [ErrorKind::HostUnreachable, ErrorKind::TimedOut, ErrorKind::WouldBlock].contains(&error.kind())
                // A connection that is still being made when the time is up.
                || error.raw_os_error() == Some(nix::errno::Errno::EINPROGRESS as i32) =>
            {
                Dialled::Closed
            }
            Err(error) => Dialled::Other(format!("{:?}", error.kind())),
        })
    }

    /// Everything of it that a lab could change, each with its name.
    pub(crate) fn everything(&self) -> Result<BTreeMap<String, String>> {
        let mut all = BTreeMap::new();
        for (kind, command) in [
            ("address", "ip -j -d addr"),
            ("route", "ip -j -4 route show table all"),
            ("route6", "ip -j -6 route show table all"),
            ("policy", "ip -j rule"),
            ("neighbour", "ip -j neigh show nud permanent"),
        ] {
            let listed: serde_json::Value = serde_json::from_str(&self.shell(command)?)?;
            for thing in listed.as_array().into_iter().flatten() {
                all.insert(format!("{kind} {thing}"), String::new());
            }
        }
        all.insert("rules".into(), self.shell("nft -s list ruleset")?);
        let parameters = self.shell("grep -rH '' /proc/sys/net 2>/dev/null || true")?;
        for line in parameters.lines() {
            let (path, value) = line.split_once(':').unwrap_or((line, ""));
            // That counts what goes on; nobody sets it.
            if !path.ends_with("/nf_conntrack_count") {
                all.entry(path.to_owned()).or_default().push_str(value);
            }
        }
        ensure!(all.len() > 300, "these are not all: {all:#?}");
        Ok(all)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// `command`, run in a network namespace, with nothing but its own environment.
pub(crate) fn within(network: &Path, command: &Command) -> Command {
    let mut entered = Command::new("nsenter");
    entered
        .arg(format!("--net={}", network.display()))
        .arg("--");
    let mut entered = behind(entered, command);
    entered.stdin(Stdio::null());
    if let Some(folder) = command.get_current_dir() {
        entered.current_dir(folder);
    }
    entered
}

/// A host with strict reverse path filtering that forwards for others, as one with Docker does, and a machine in its network that
/// would like it to forward to the lab.
pub(crate) struct PlayHost {
    pub(crate) host: Network,
    pub(crate) neighbour: Network,
}

impl PlayHost {
    pub(crate) fn new() -> Result<Self> {
        let (host, neighbour) = (Network::new()?, Network::new()?);
        let peer = neighbour.path();
        host.shell(&format!(
            "sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1 net.ipv4.ip_forward=1
             ip link set lo up
             ip link add eth0 type veth peer name eth0 netns {}
             ip addr add {OWN}/24 dev eth0; ip link set eth0 up
             nft add table inet own
             nft 'add chain inet own forward {{ type filter hook forward priority 0; policy accept; }}'",
            peer.display()
        ))?;
        neighbour.shell(&format!(
            "ip addr add {NEIGHBOUR}/24 dev eth0; ip link set eth0 up; ip route add default via {OWN}"
        ))?;
        // IPv6 addresses are tentative for a while; a listing that changes by itself would say nothing.
        host.shell("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1 || true")?;
        Ok(Self { host, neighbour })
    }
}
