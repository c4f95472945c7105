//! What is on the cables between the hosts: the switch's own namespace sees every frame.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use test_support::Steps;

use crate::rehearsal::{HOSTS, Rehearsal};
use crate::task::Task;

/// RFC 7348's port is what Docker uses, too.
const VXLAN: u16 = 4789;
/// Of the product and order services.
const SERVICE: u16 = 5000;
/// The network on which they talk.
const BACKEND: &str = "backend";

/// A TCP segment or UDP datagram over IPv4.
#[derive(Debug, PartialEq)]
struct Packet<'a> {
    source: Ipv4Addr,
    target: Ipv4Addr,
    ports: [u16; 2],
    is_udp: bool,
    payload: &'a [u8],
}

/// The packet in an Ethernet frame, if it is one of ours to look at.
fn packet(frame: &[u8]) -> Option<Packet<'_>> {
    let ip = frame.get(14..).filter(|_| frame[12..14] == [0x08, 0x00])?;
    let header = usize::from(*ip.first()? & 0x0f) * 4;
    let is_udp = match ip.get(9)? {
        17 => true,
        6 => false,
        _ => return None,
    };
    let address = |at: usize| {
        let octets: [u8; 4] = ip.get(at..at + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(octets))
    };
    let port = |at: usize| {
        let octets = ip.get(header + at..header + at + 2)?.try_into().ok()?;
        Some(u16::from_be_bytes(octets))
    };
    Some(Packet {
        source: address(12)?,
        target: address(16)?,
        ports: [port(0)?, port(2)?],
        is_udp,
        payload: ip.get(header + 8..)?,
    })
}

/// What was seen of the services' conversations.
#[derive(Debug, Default)]
struct Seen {
    /// Between which hosts, and which addresses of the overlay within.
    encapsulated: BTreeSet<[Ipv4Addr; 4]>,
    frames: usize,
    /// Conversations of services in plain sight.
    plain: usize,
}

impl Seen {
    fn look(&mut self, frame: &[u8]) {
        let Some(outer) = packet(frame) else { return };
        if outer.is_udp && outer.ports[1] == VXLAN {
            // The eight octets of the VXLAN header stand before the inner frame.
            let Some(inner) = outer.payload.get(8..).and_then(packet) else {
                return;
            };
            if !inner.is_udp && inner.ports.contains(&SERVICE) {
                self.frames += 1;
                self.encapsulated
                    .insert([outer.source, outer.target, inner.source, inner.target]);
            }
        } else if outer.ports.contains(&SERVICE) {
            self.plain += 1;
        }
    }
}

pub(crate) async fn tell(steps: &mut Steps, rehearsal: &Rehearsal) {
    let seen = is_encapsulated(rehearsal);
    if let Some(seen) = steps.step("hosts talk over VXLAN, and only so", seen).await {
        steps.figure("on the wire", seen);
    }
}

/// Requests through each host reach services on other hosts, and all that the cables see of them is encapsulated.
async fn is_encapsulated(rehearsal: &Rehearsal) -> Result<String> {
    let switch = format!("/run/netns/underlay-{}-switch", rehearsal.name);
    let done = Arc::new(AtomicBool::new(false));
    let (ready, listening) = tokio::sync::oneshot::channel();
    let capture = {
        let done = Arc::clone(&done);
        // A namespace is a thread's: this one ends afterwards.
        std::thread::spawn(move || capture(&switch, &done, ready))
    };
    // When the capture could not begin, joining it says why.
    if listening.await.is_ok() {
        for host in 1..=HOSTS {
            for _ in 0..10 {
                let url = format!("{}/api/products/1", rehearsal.url(host));
                reqwest::get(url).await?.error_for_status()?;
            }
        }
    }
    done.store(true, Ordering::Relaxed);
    let Ok(seen) = tokio::task::spawn_blocking(move || capture.join()).await? else {
        bail!("the capture panicked");
    };
    let seen = seen?;
    ensure!(!seen.encapsulated.is_empty(), "nothing was encapsulated");
    ensure!(seen.plain == 0, "{} packets in plain sight", seen.plain);
    // Each end of what is inside is a task, on the host that the outside says.
    let tasks = Task::all(rehearsal).await?;
    let task = |host: Ipv4Addr, inside: Ipv4Addr| {
        let mut tasks = tasks.iter();
        let task = tasks.find(|task| task.address(BACKEND) == Some(inside));
        let task = task.with_context(|| format!("{inside} is no task: {seen:?}"))?;
        let is_there = rehearsal.address(task.host) == host.to_string();
        ensure!(is_there, "{} is not on {host}: {seen:?}", task.name);
        Ok(task)
    };
    let mut told = None;
    for [from, to, source, target] in &seen.encapsulated {
        let (one, other) = (task(*from, *source)?, task(*to, *target)?);
        if one.service == "api-gateway" && other.service == "product-service" {
            told = Some(format!(
                "{source} of {} to {target} of {} between host{} and host{}",
                one.service, other.service, one.host, other.host
            ));
        }
    }
    let told = told.with_context(|| format!("no gateway talked to a product: {seen:?}"))?;
    Ok(format!(
        "{} frames with port {SERVICE} in VXLAN, 0 without; {told}",
        seen.frames
    ))
}

fn capture(
    namespace: &str,
    done: &AtomicBool,
    ready: tokio::sync::oneshot::Sender<()>,
) -> Result<Seen> {
    let namespace = File::open(namespace).with_context(|| namespace.to_owned())?;
    setns(&namespace, CloneFlags::CLONE_NEWNET).context("entering the switch")?;
    let socket = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::EthAll,
    )
    .context("a packet socket")?;
    setsockopt(
        &socket,
        sockopt::ReceiveTimeout,
        &TimeVal::milliseconds(200),
    )?;
    let _ = ready.send(());
    let mut seen = Seen::default();
    let mut frame = [0; 65536];
    loop {
        // What the requests have caused is queued by then: it is read to its end, however much goes on arriving.
        let is_over = done.load(Ordering::Relaxed);
        let flags = if is_over {
            MsgFlags::MSG_DONTWAIT
        } else {
            MsgFlags::empty()
        };
        match recv(socket.as_raw_fd(), &mut frame, flags) {
            Ok(length) => seen.look(&frame[..length]),
            Err(Errno::EAGAIN) if is_over => return Ok(seen),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => return Err(error).context("reading the wire"),
        }
    }
}
