//! What would stop `up` half-way is told by docker/preflight.sh before anything is there, with the remedy.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;

use anyhow::{Result, ensure};
use test_support::Steps;

use crate::docker::{docker, mortal, run, said};
use crate::engine::project;
use crate::leftovers::{self, BESIDE};
use crate::stack::{DEADLINE, Stack};
use crate::unfit;

pub(crate) async fn tell(steps: &mut Steps, stack: &Stack) {
    steps
        .step("a port that is taken is told beforehand", taken_port(stack))
        .await;
    steps
        .step(
            "a subnet that is taken is told beforehand",
            taken_subnet(stack),
        )
        .await;
    steps
        .step("a port that is named twice is told", port_twice(stack))
        .await;
    steps
        .step(
            "a subnet that is named twice, or is none, is told",
            odd_subnets(stack),
        )
        .await;
    steps
        .step(
            "who may not ask the engine is told what to do",
            not_allowed(),
        )
        .await;
    unfit::tell(steps, stack).await;
    steps.step("else nothing is in the way", free(stack)).await;
}

async fn taken_port(stack: &Stack) -> Result<()> {
    let taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, stack.http_port))?;
    let port = stack.http_port.to_string();
    let told = format!("port {port} is taken");
    refuses(stack, &[], &[&told, "HTTP_PORT"]).await?;
    drop(taken);
    Ok(())
}

async fn taken_subnet(stack: &Stack) -> Result<()> {
    let subnet = format!("{}.0/24", stack.variable("BACKEND_PREFIX")?);
    let (name, label) = (
        format!("{}-taken", stack.name),
        format!("{BESIDE}={}", stack.name),
    );
    let create = ["network", "create", "--label", &label, "--subnet", &subnet];
    docker(&[&create[..], &[&name]].concat()).await?;
    let told = refuses(stack, &[], &[&subnet, &name, "BACKEND_PREFIX"]).await;
    docker(&["network", "rm", &name]).await?;
    told.map(drop)
}

/// The admin's door is on one address, the public one on each. (Of two public ones on one port Compose makes one.)
async fn port_twice(stack: &Stack) -> Result<()> {
    let port = stack.http_port.to_string();
    let told = format!("port {port} is to be published twice");
    let variables = [("ADMIN_PORT", OsStr::new(&port))];
    refuses(stack, &variables, &[&told, "ADMIN_PORT"])
        .await
        .map(drop)
}

async fn odd_subnets(stack: &Stack) -> Result<()> {
    let taken = stack.variable("FRONTEND_PREFIX")?;
    let overlap = format!("the subnet {taken}.0/24 overlaps with {taken}.0/24 of the same file");
    for (variable, prefix, told) in [
        ("BACKEND_PREFIX", taken, overlap.as_str()),
        ("FRONTEND_PREFIX", "300.1.2", "300.1.2.0/24 is no subnet"),
        ("FRONTEND_PREFIX", "10.84.0.", "10.84.0..0/24 is no subnet"),
    ] {
        let variables = [(variable, OsStr::new(prefix))];
        let said = refuses(stack, &variables, &[told, variable]).await?;
        ensure!(!said.contains("is taken"), "{said}");
    }
    Ok(())
}

/// A socket that nobody may write to; root may, by a capability that it can do without.
async fn not_allowed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("docker.sock");
    let listener = UnixListener::bind(&socket)?;
    std::fs::set_permissions(&socket, Permissions::from_mode(0o000))?;
    let is_root = std::fs::metadata("/proc/self")?.uid() == 0;
    let drops: &[&str] = if is_root {
        &["--bounding-set=-all"]
    } else {
        &[]
    };
    let mut command = mortal("setpriv");
    command
        .args(drops)
        .args(["--", "sh", "docker/preflight.sh"])
        .current_dir(project())
        .env("DOCKER_HOST", format!("unix://{}", socket.display()));
    let output = run(command, DEADLINE).await?;
    drop(listener);
    let said = said(&output);
    ensure!(
        output.status.code() == Some(69)
            && said.contains("permission denied")
            && said.contains("sudo usermod -aG docker $USER")
            && !said.contains("start it"),
        "{said}"
    );
    Ok(())
}

/// What it said.
async fn refuses(stack: &Stack, variables: &[(&str, &OsStr)], words: &[&str]) -> Result<String> {
    let output = stack.script("docker/preflight.sh", variables).await?;
    let said = said(&output);
    ensure!(output.status.code() == Some(69), "{said}");
    for word in words.iter().chain(&["remedy"]) {
        ensure!(said.contains(word), "does not say {word:?}: {said}");
    }
    let there = leftovers::of(&stack.name).await?;
    ensure!(there.is_empty(), "{there:?}");
    Ok(said)
}

async fn free(stack: &Stack) -> Result<()> {
    let output = stack.script("docker/preflight.sh", &[]).await?;
    ensure!(output.status.success(), "{}", said(&output));
    Ok(())
}
