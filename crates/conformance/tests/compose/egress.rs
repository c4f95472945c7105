//! No container of the shop reaches anything outside its networks.
//!
//! Outside is a network namespace of this test's own, joined to this machine by a cable; nothing real is ever called. It holds
//! no route back, as the rest of the world has none to a machine's inner networks: who is to be answered must be translated.
//! A container on an ordinary network, which is, shows that it would have been heard.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Child;

use crate::docker::{docker, expect, mortal};
use crate::leftovers::BESIDE;
use crate::stack::Stack;

/// Set when this program is run as the outside.
pub(crate) const VARIABLE: &str = "UNDERLAY_TEST_OUTSIDE";
const PORT: u16 = 443;
const DEADLINE: Duration = Duration::from_secs(20);
const DIAL: &str =
    "timeout \"$3\" bash -c \": </dev/tcp/$1/$2\" 2>/dev/null && echo open || echo closed";

/// The program: says when it listens, in the namespace that it was given; ends with its standard input.
pub(crate) fn main() -> ExitCode {
    let mut line = String::new();
    // The cable is laid by whoever writes here.
    let _ = std::io::stdin().read_line(&mut line);
    let Ok(listener) = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)) else {
        return ExitCode::FAILURE;
    };
    println!("listens");
    std::thread::spawn(move || for _ in listener.incoming() {});
    let _ = std::io::stdin().read_line(&mut line);
    ExitCode::SUCCESS
}

/// Why it cannot be tried here, if so.
pub(crate) fn obstacle() -> Option<&'static str> {
    let uid = std::fs::metadata("/proc/self").ok()?;
    let root = std::os::unix::fs::MetadataExt::uid(&uid) == 0;
    (!root).then_some(
        "this is not root, which a cable to a network of the test's own wants: make test as root",
    )
}

/// Tries from a container of every service.
pub(crate) async fn none(stack: &Stack) -> Result<String> {
    let outside = Outside::new().await?;
    let reached = outside.reached_from(&beside(stack).await?, stack).await?;
    ensure!(
        reached,
        "not even an ordinary container reaches the outside"
    );
    let running = stack.running().await?;
    let tries = running.iter().map(async |container| {
        let network = format!("container:{}", container.id);
        let reached = outside.reached_from(&network, stack).await?;
        ensure!(!reached, "{} reaches the outside", container.name);
        Ok(())
    });
    let tried = try_join_all(tries).await?.len();
    Ok(format!("tried from {tried} containers"))
}

/// A network as Docker makes it for everybody, removed with the stack.
async fn beside(stack: &Stack) -> Result<String> {
    let (name, label) = (
        format!("{}-beside", stack.name),
        format!("{BESIDE}={}", stack.name),
    );
    let subnet = format!("{}.0/24", stack.spare_prefix);
    docker(&[
        "network", "create", "--label", &label, "--subnet", &subnet, &name,
    ])
    .await?;
    Ok(name)
}

/// The namespace: gone, with its cable, when its one process ends.
struct Outside {
    address: Ipv4Addr,
    _process: Child,
}

impl Outside {
    async fn new() -> Result<Self> {
        let mut command = mortal("unshare");
        command
            .args(["--net", "--"])
            .arg(std::env::current_exe()?)
            .env(VARIABLE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let pid = process.id().context("its process id")?;
        // Of the addresses for documentation (RFC 5737); each run has its own four.
        let block = u8::try_from(std::process::id() % 60)? * 4;
        let (here, address) = (
            Ipv4Addr::new(198, 51, 100, block + 1),
            Ipv4Addr::new(198, 51, 100, block + 2),
        );
        let link = format!("ut-{}", std::process::id());
        is_unshared(pid).await?;
        for line in [
            format!("ip link add {link} type veth peer name eth0 netns {pid}"),
            format!("ip address add {here}/30 dev {link}"),
            format!("ip link set {link} up"),
            format!("nsenter --net=/proc/{pid}/ns/net ip address add {address}/30 dev eth0"),
            format!("nsenter --net=/proc/{pid}/ns/net ip link set eth0 up"),
        ] {
            let mut words = line.split(' ');
            let mut command = mortal(words.next().context("a program")?);
            command.args(words);
            expect(command, DEADLINE).await?;
        }
        let input = process.stdin.as_mut().context("its input")?;
        input.write_all(b"the cable is laid\n").await?;
        let output = process.stdout.take().context("its output")?;
        let mut lines = BufReader::new(output).lines();
        let said = tokio::time::timeout(DEADLINE, lines.next_line()).await??;
        ensure!(said.as_deref() == Some("listens"), "{said:?}");
        Ok(Self {
            address,
            _process: process,
        })
    }

    /// Whether a connection comes about from a network of Docker's.
    async fn reached_from(&self, network: &str, stack: &Stack) -> Result<bool> {
        let (address, port) = (self.address.to_string(), PORT.to_string());
        let joins = ["--network", network];
        let said = stack
            .inside(&joins, DIAL, &[address, port, "2".into()])
            .await?;
        Ok(said.trim() == "open")
    }
}

/// Waits until the process has left this test's network.
async fn is_unshared(pid: u32) -> Result<()> {
    let own = std::fs::read_link("/proc/self/ns/net")?;
    test_support::eventually("it has a network of its own", || async {
        let its = std::fs::read_link(format!("/proc/{pid}/ns/net"))?;
        ensure!(its != own, "{}", its.display());
        Ok(())
    })
    .await
}
