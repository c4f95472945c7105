//! Finds the machine's PostgreSQL, makes a cluster and starts its server.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;

use crate::free_address;
use crate::guard::{Guarded, folder, unprivileged_command};

/// Where Debian's packages put the server programs, one folder a major version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Part of every failure that a missing package causes.
const INSTALL: &str = "install it with `apt-get install --yes postgresql` or `cargo run -p netns-setup -- doctor --install`";

/// The newest installed version's program folder.
fn programs() -> Result<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(VERSIONS)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let programs = entry.path().join("bin");
            let version = entry.file_name().to_str()?.parse().ok()?;
            programs
                .join("initdb")
                .exists()
                .then_some((version, programs))
        })
        .collect();
    versions.sort();
    Ok(versions
        .pop()
        .with_context(|| format!("PostgreSQL's server is not installed: {INSTALL}"))?
        .1)
}

/// Makes a cluster and starts its server, which is not yet ready when this returns.
pub(super) fn launch() -> Result<(Guarded, SocketAddr)> {
    let programs = programs()?;
    let folder = folder("postgres")?;
    initialise(&programs, folder.path())?;
    let address = free_address();
    let socket = format!("unix_socket_directories={}", folder.path().display());
    let (listen, port) = (
        format!("listen_addresses={}", address.ip()),
        format!("port={}", address.port()),
    );
    let server = programs.join("postgres");
    let mut argv = vec![server.as_os_str(), OsStr::new("-D"), OsStr::new("cluster")];
    for setting in [
        socket.as_str(),
        listen.as_str(),
        port.as_str(),
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
        "wal_level=minimal",
        "max_wal_senders=0",
        "max_connections=300",
        "shared_buffers=32MB",
        "autovacuum=off",
        "log_min_messages=warning",
        "timezone=UTC",
    ] {
        argv.extend([OsStr::new("-c"), OsStr::new(setting)]);
    }
    let environment = [
        ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
        ("LC_ALL".to_owned(), "C".to_owned()),
    ];
    Ok((
        Guarded::spawn(&argv, &environment, folder, true, Signal::SIGQUIT)?,
        address,
    ))
}

fn initialise(programs: &Path, folder: &Path) -> Result<()> {
    let output = unprivileged_command(programs.join("initdb"))?
        .args([
            "--pgdata=cluster",
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        ])
        .arg("--no-instructions")
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output()
        .context("starting initdb")?;
    ensure!(
        output.status.success(),
        "initdb: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    if !folder.join("cluster").is_dir() {
        bail!("initdb left no cluster in {}", folder.display());
    }
    Ok(())
}
