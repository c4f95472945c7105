//! Docker's networks beside a lab on the same subnet, where an engine of this host answers.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::net::if_::if_nameindex;
use test_support::eventually;

use super::{PORT, addresses};
use crate::setting::{Lab, Setting, said};
use crate::steps::Steps;

const PATIENCE: Duration = Duration::from_secs(2);
/// No registry is asked for anything: an image without a file, which the machine's own are mounted into.
const IMAGE: &str = "underlay-lab-empty";
const SERVER: &str = "use IO::Socket::INET; $SIG{TERM} = sub { exit 0 };
$s = IO::Socket::INET->new(LocalPort => 8000, Listen => 9, ReuseAddr => 1) or die $!;
while ($c = $s->accept) { print $c 'container'; close $c }";

/// Told where an engine answers; skipped by name where none does.
pub(super) async fn tell(steps: &mut Steps, setting: &Setting, file: &Path) {
    const NAME: &str = "a Docker network on the same subnet goes on, whichever came first";
    match engine() {
        Ok(Ok(())) => drop(steps.step(NAME, docker_first_and_last(setting, file)).await),
        Ok(Err(why)) => steps.lacks(NAME, &why),
        Err(error) => steps.fail(NAME, &error),
    }
}

/// On this machine itself, where the engine is.
async fn docker_first_and_last(setting: &Setting, file: &Path) -> Result<()> {
    let lab = Lab::new(setting, "uplink-docker", file.to_owned())?;
    let [front, _] = lab.prefixes();
    let beside = Beside::start(&front)?;
    says(beside.address, PORT, "container").await?;
    let told = lab.up(&[]).await?;
    ensure!(told.contains("note: addresses of front"), "{told}");
    let [web, api, _] = addresses(&lab).await?;
    for (address, port, name) in [
        (beside.address, PORT, "container"),
        (api, PORT, "api"),
        (Ipv4Addr::LOCALHOST, lab.http_port, "web"),
    ] {
        says(address, port, name).await?;
    }
    lab.expect(&["down"]).await?;
    says(beside.address, PORT, "container").await?;
    drop(beside);

    let told = lab.up(&[]).await?;
    ensure!(!told.contains("note:"), "{told}");
    says(web, PORT, "web").await?;
    let beside = Beside::start(&front)?;
    says(beside.address, PORT, "container").await?;
    says(Ipv4Addr::LOCALHOST, lab.http_port, "web").await?;
    drop(beside);
    says(web, PORT, "web").await?; // the way is there again
    lab.expect(&["down"]).await.map(drop)
}

/// Calls until `name` is said there: neither a container nor an instance listens the moment it runs.
async fn says(address: Ipv4Addr, port: u16, name: &str) -> Result<()> {
    eventually("it answers", || async {
        let address = SocketAddr::from((address, port));
        let mut text = String::new();
        TcpStream::connect_timeout(&address, PATIENCE)
            .and_then(|mut stream| stream.read_to_string(&mut text))
            .with_context(|| address.to_string())?;
        ensure!(text == name, "{address} says {text:?}, not {name}");
        Ok(())
    })
    .await
}

/// Whether an engine runs on this host; why not otherwise.
fn engine() -> Result<std::result::Result<(), String>> {
    Ok(
        match docker(&["version", "--format", "{{.Server.Version}}"]) {
            Err(error) => {
                let said = error.to_string();
                let last = said.lines().rfind(|line| !line.trim().is_empty());
                Err(last.unwrap_or_default().to_owned())
            }
            // Elsewhere, or in a machine of its own as Docker Desktop's, its networks are not this host's.
            Ok(_) if !has_link("docker0")? => {
                Err("the engine that answers has no docker0 here".into())
            }
            Ok(_) => Ok(()),
        },
    )
}

fn has_link(name: &str) -> Result<bool> {
    Ok(if_nameindex()?
        .into_iter()
        .any(|link| link.name().to_bytes() == name.as_bytes()))
}

/// A network with one container in it, which says `container` to whoever calls; both are removed with this value.
struct Beside {
    name: String,
    address: Ipv4Addr,
}

impl Beside {
    /// On the subnet `prefix`.0/24, at its address 77.
    fn start(prefix: &str) -> Result<Self> {
        // Several runs of this test share the engine.
        let name = format!("underlay-lab-{}", std::process::id());
        let beside = Self {
            address: format!("{prefix}.77").parse()?,
            name: name.clone(),
        };
        if docker(&["image", "inspect", IMAGE]).is_err() {
            let mut import = Command::new("sh");
            import.args([
                "-c",
                "tar c --files-from /dev/null | docker import - \"$0\"",
                IMAGE,
            ]);
            run(import)?;
        }
        docker(&[
            "network",
            "create",
            "--subnet",
            &format!("{prefix}.0/24"),
            &name,
        ])?;
        let address = beside.address.to_string();
        let mut arguments = vec![
            "run",
            "-d",
            "--rm",
            "--name",
            &name,
            "--network",
            &name,
            "--ip",
            &address,
        ];
        for folder in ["/usr:/usr:ro", "/lib:/lib:ro", "/lib64:/lib64:ro"] {
            arguments.extend(["-v", folder]);
        }
        arguments.extend([IMAGE, "/usr/bin/perl", "-e", SERVER]);
        docker(&arguments)?;
        Ok(beside)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Each may not have been made.
        let _ = docker(&["rm", "-f", &self.name]);
        let _ = docker(&["network", "rm", &self.name]);
    }
}

fn docker(arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new("docker");
    command.args(arguments);
    run(command)
}

fn run(mut command: Command) -> Result<Output> {
    let output = command
        .output()
        .with_context(|| format!("{}", command.get_program().display()))?;
    ensure!(output.status.success(), "{command:?}: {}", said(&output));
    Ok(output)
}
