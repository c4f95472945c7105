//! Machines and clones that the shop cannot come up from: docker/preflight.sh says what each lacks, and where that is to be had.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use test_support::Steps;

use crate::docker::{expect, mortal, said};
use crate::engine::project;
use crate::instead;
use crate::stack::{DEADLINE, Stack};

/// No such machine is to be had: docker's own answers, but for one that is put in its mouth.
const OLD_ENGINE: &str = r#"#!/bin/sh
[ "$1" != version ] || { echo 19.03.15; exit; }
exec "$REAL_DOCKER" "$@"
"#;
/// Scripts turn to the first Compose here, a program of its own.
pub(crate) const NO_PLUGIN: &str = r#"#!/bin/sh
[ "$1" != compose ] || { echo "docker: 'compose' is not a docker command." >&2; exit 1; }
exec "$REAL_DOCKER" "$@"
"#;
/// Older than any that is wanted.
const OLD_PLUGIN: &str = r#"#!/bin/sh
[ "$1 $2" != 'compose version' ] || { echo 2.5.0; exit; }
exec "$REAL_DOCKER" "$@"
"#;
/// New enough for the file, and not for the flat override.
const MIDDLE_PLUGIN: &str = r#"#!/bin/sh
[ "$1 $2" != 'compose version' ] || { echo 2.24.3; exit; }
exec "$REAL_DOCKER" "$@"
"#;
const FLAT: (&str, &str) = ("COMPOSE_FILE", "docker-compose.yml:docker/compose.flat.yml");
/// What preflight.sh itself is run with.
const TOOLS: &[&str] = &["setpriv", "sh", "dirname", "mktemp", "rm", "tee"];

/// What is found, and what is said of it.
type Case = (
    &'static str,
    Option<(&'static str, &'static str)>,
    &'static [&'static str],
);
const CASES: &[Case] = &[
    (
        OLD_ENGINE,
        None,
        &["Docker Engine is 19.03.15; 20.10 or newer is wanted"],
    ),
    (
        NO_PLUGIN,
        None,
        &[
            "docker has no Compose plugin",
            "DOCKER_BUILDKIT=1 docker-compose up -d --build",
        ],
    ),
    (
        OLD_PLUGIN,
        None,
        &["Docker Compose is 2.5.0; 2.20 or newer is wanted"],
    ),
    (
        MIDDLE_PLUGIN,
        Some(FLAT),
        &["Docker Compose is 2.24.3; 2.24.4 or newer is wanted"],
    ),
];

pub(crate) async fn tell(steps: &mut Steps, stack: &Stack) {
    steps
        .step("a machine without docker is told", no_docker(stack))
        .await;
    steps
        .step("one without an engine is told", no_engine(stack))
        .await;
    steps
        .step("what is too old, or missing, is told", odd_dockers(stack))
        .await;
    steps
        .step(
            "a clone that containers cannot read is told",
            shut_clone(stack),
        )
        .await;
    steps
        .step(
            "nor is a database made without its scripts",
            shut_scripts(stack),
        )
        .await;
}

async fn no_docker(stack: &Stack) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = std::env::var("PATH")?;
    for tool in TOOLS {
        let mut there = path.split(':').map(|folder| Path::new(folder).join(tool));
        let tool_path = there.find(|path| path.exists()).context(*tool)?;
        symlink(tool_path, folder.path().join(tool))?;
    }
    let only = [("PATH", folder.path().as_os_str())];
    let output = stack.script("docker/preflight.sh", &only).await?;
    tells(&output, &["docker is not installed", "docker/engine.sh"])
}

async fn no_engine(stack: &Stack) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let host = format!("unix://{}/docker.sock", folder.path().display());
    let nowhere = [("DOCKER_HOST", OsStr::new(&host))];
    let output = stack.script("docker/preflight.sh", &nowhere).await?;
    tells(&output, &["no engine answers", "start it: "])
}

async fn odd_dockers(stack: &Stack) -> Result<()> {
    for (docker, set, words) in CASES {
        let folder = tempfile::tempdir()?;
        let mut variables = instead::of_docker(folder.path(), docker)?.to_vec();
        variables.extend(set.map(|(name, value)| (name, value.to_owned())));
        let variables = variables
            .iter()
            .map(|(name, value)| (*name, OsStr::new(value)));
        let variables: Vec<_> = variables.collect();
        let output = stack.script("docker/preflight.sh", &variables).await?;
        tells(&output, words)?;
    }
    Ok(())
}

/// As `git clone` makes it under umask 077.
async fn shut_clone(stack: &Stack) -> Result<()> {
    let clone = tempfile::tempdir()?;
    let mut copy = mortal("cp");
    copy.args(["-R", "docker", "docker-compose.yml"])
        .arg(clone.path())
        .current_dir(project());
    expect(copy, DEADLINE).await?;
    let script = clone.path().join("docker/preflight.sh");
    let script = script.to_str().context("its path")?;
    let output = stack.script(script, &[]).await?;
    ensure!(output.status.success(), "{}", said(&output));
    let shut = [
        "docker/postgres/initdb",
        "docker/redis/redis.conf",
        "docker/secrets/mint.sh",
    ];
    for path in shut {
        let own = Permissions::from_mode(0o700);
        std::fs::set_permissions(clone.path().join(path), own)?;
    }
    let output = stack.script(script, &[]).await?;
    tells(&output, &shut)?;
    let remedy = "chmod -R o+rX docker/postgres/initdb docker/redis docker/secrets";
    tells(&output, &[remedy])
}

/// Where nobody has looked beforehand, the stand-in for PostgreSQL's image does.
async fn shut_scripts(stack: &Stack) -> Result<()> {
    let mounts = |scripts: &TempDir| {
        let entrypoint = project().join("docker/postgres/docker-entrypoint.sh");
        [
            format!("{}:/entrypoint.sh:ro", entrypoint.display()),
            format!(
                "{}:/docker-entrypoint-initdb.d:ro",
                scripts.path().display()
            ),
        ]
    };
    let scripts = tempfile::tempdir()?;
    std::fs::write(scripts.path().join("10.sql"), "SELECT 1")?;
    let [entrypoint, folder] = mounts(&scripts);
    let joins = [
        "--network",
        "none",
        "--tmpfs",
        "/var/lib/postgresql/data",
        "--volume",
        &entrypoint,
        "--volume",
        &folder,
        "--env",
        "POSTGRES_PASSWORD=unused",
    ];
    let begins = "sh /entrypoint.sh postgres 2>&1 || true";
    for (path, mode) in [("", 0o700), ("", 0o744), ("10.sql", 0o600)] {
        std::fs::set_permissions(scripts.path(), Permissions::from_mode(0o755))?;
        let shut = scripts.path().join(path);
        std::fs::set_permissions(&shut, Permissions::from_mode(mode))?;
        let said = stack.inside(&joins, begins, &[]).await?;
        let told = format!("initdb.d/{path}");
        let told = format!(
            "{} cannot be read by the user postgres",
            told.trim_end_matches('/')
        );
        ensure!(said.contains(&told), "{mode:o}: {said}");
    }
    Ok(())
}

fn tells(output: &Output, words: &[&str]) -> Result<()> {
    let said = said(output);
    ensure!(output.status.code() == Some(69), "{said}");
    for word in words.iter().chain(&["remedy: "]) {
        ensure!(said.contains(word), "does not say {word:?}: {said}");
    }
    Ok(())
}
