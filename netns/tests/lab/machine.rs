//! What `doctor` says of this machine, held against the kernel's own tools.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::setting::{Lab, Setting, said};
use crate::steps::{Steps, now};

/// A lab that asks for nothing but a port.
const FILE: &str = "services:\n  web:\n    entrypoint: [/bin/sleep, inf]\n    ports: [\"${HTTP_PORT:-8080}:80\"]\nnetworks:\n  default: { ipam: { config: [ { subnet: \"${FRONTEND_PREFIX:-172.20.0}.0/24\" } ] } }\n";

pub(crate) async fn tell(steps: &mut Steps, setting: &Setting) {
    let lab = || -> Result<Lab<'_>> {
        let file = setting.folder("doctor")?.join("compose.yaml");
        std::fs::write(&file, FILE)?;
        Lab::new(setting, "doctor", file)
    };
    let lab = match lab() {
        Ok(lab) => lab,
        Err(error) => return steps.fail("a Compose file for doctor", &error),
    };
    let started = now();
    steps
        .step(
            "doctor finds the kernel as the kernel's tools find it",
            kernel(&lab),
        )
        .await;
    steps.figure("doctor", format_args!("{:?}", started.elapsed()));
    steps
        .step(
            "doctor names who is on a port of the file, and says that up cannot work",
            port(&lab),
        )
        .await;
    steps
        .step(
            "doctor finds free subnets free, as `ip route` does",
            subnets(&lab),
        )
        .await;
    steps
        .step(
            "doctor refuses a state folder that `up` refuses, and says what to do",
            folder(setting, &lab),
        )
        .await;
    steps
        .step(
            "doctor says of the engine what the engine says",
            engine(&lab),
        )
        .await;
    steps
        .step("doctor's table fits 80 columns", table(&lab))
        .await;
    steps
        .step(
            "doctor finds what is no ordinary user's path",
            path(setting),
        )
        .await;
}

/// The report, and whether its exit code says what it says.
async fn report(lab: &Lab<'_>) -> Result<Vec<Value>> {
    let output = lab.run(&["doctor", "--json"]).await?;
    let report: Vec<Value> =
        serde_json::from_slice(&output.stdout).with_context(|| said(&output))?;
    let missing = report.iter().any(|check| check["state"] == "missing");
    let expected = if missing { 69 } else { 0 };
    ensure!(output.status.code() == Some(expected), "{}", said(&output));
    Ok(report)
}

fn check<'r>(report: &'r [Value], name: &str) -> Result<&'r Value> {
    let found = report.iter().find(|check| check["name"] == name);
    found.with_context(|| format!("no {name} in {report:#?}"))
}

/// Whether a command works in a network namespace of its own.
fn works(command: &str) -> Result<bool> {
    let status = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--net",
            "/bin/sh",
            "-c",
            command,
        ])
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    Ok(status.success())
}

async fn kernel(lab: &Lab<'_>) -> Result<()> {
    let report = report(lab).await?;
    let release = String::from_utf8(Command::new("uname").arg("-r").output()?.stdout)?;
    ensure!(
        check(&report, "version")?["found"] == release.trim(),
        "{report:#?}"
    );
    for name in ["namespaces", "features"] {
        ensure!(check(&report, name)?["state"] == "ok", "{report:#?}");
    }
    for (name, command) in [
        (
            "netem",
            "ip link set lo up && tc qdisc add dev lo root netem delay 1ms",
        ),
        (
            "tbf",
            "tc qdisc add dev lo root tbf rate 1mbit burst 4k latency 9ms",
        ),
        ("fq_codel", "tc qdisc add dev lo root fq_codel"),
        ("vxlan", "ip link add x type vxlan id 1 dstport 4789 dev lo"),
    ] {
        let more = check(&report, "more")?["found"]
            .as_str()
            .unwrap_or_default();
        let told = more.split(", ").any(|word| word == name);
        let really = works(command)?;
        ensure!(told == really, "{name}: {really}, but {report:#?}");
        ensure!(
            told || check(&report, name)?["state"] == "note",
            "{report:#?}"
        );
    }
    let netfilter = check(&report, "br_netfilter")?["found"]
        .as_str()
        .unwrap_or_default();
    let is_there = Path::new("/proc/sys/net/bridge").exists();
    ensure!(netfilter.starts_with("present") == is_there, "{netfilter}");
    // Loaded, or a module that could be.
    let ipvs = Path::new("/proc/net/ip_vs").exists()
        || Command::new("modinfo")
            .args(["--field", "filename", "ip_vs"])
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .output()
            .is_ok_and(|output| output.status.success());
    ensure!(
        (check(&report, "IPVS")?["state"] == "ok") == ipvs,
        "IPVS: {ipvs}, but {report:#?}"
    );
    let backlog = Command::new("sysctl")
        .args(["-n", "net.core.somaxconn"])
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .output()?;
    let backlog = String::from_utf8(backlog.stdout)?;
    let found = check(&report, "listen backlog")?["found"]
        .as_str()
        .unwrap_or_default();
    ensure!(
        found.starts_with(backlog.trim()),
        "{found} is not {backlog}"
    );
    // The file has no server and builds nothing, so that neither is asked for.
    ensure!(
        !report
            .iter()
            .any(|check| check["name"] == "Redis server" || check["name"] == "Cargo"),
        "{report:#?}"
    );
    Ok(())
}

async fn port(lab: &Lab<'_>) -> Result<()> {
    let name = format!("port {}", lab.http_port);
    ensure!(
        check(&report(lab).await?, &name).is_err(),
        "the port is free"
    );
    let listener = std::net::TcpListener::bind(("127.0.0.1", lab.http_port))?;
    let report = report(lab).await?;
    let check = check(&report, &name)?;
    ensure!(
        check["state"] == "missing" && check["group"] == "project",
        "{check:#?}"
    );
    let own = format!("process {}", std::process::id());
    ensure!(
        check["found"]
            .as_str()
            .is_some_and(|found| found.contains(&own)),
        "{check:#?}"
    );
    drop(listener);
    Ok(())
}

async fn subnets(lab: &Lab<'_>) -> Result<()> {
    let subnet = format!("{}.0/24", lab.prefixes()[0]);
    let routes = Command::new("ip")
        .args(["-4", "route", "show", "root", &subnet])
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .output()?;
    ensure!(routes.stdout.is_empty(), "{subnet} is in use: {routes:?}");
    let report = report(lab).await?;
    let free = check(&report, "free subnets")?;
    ensure!(free["found"] == subnet.as_str(), "{free}");
    Ok(())
}

/// A folder below a file is nobody's to make; one at the root is root's.
async fn folder(setting: &Setting, lab: &Lab<'_>) -> Result<()> {
    let report = report(lab).await?;
    let own = check(&report, "state folder")?;
    ensure!(own["state"] == "ok", "{own}");
    let file = setting.folder("no-folder")?.join("file");
    std::fs::write(&file, "")?;
    let mut bases = vec![file.join("labs").to_string_lossy().into_owned()];
    if !setting.is_root() {
        bases.push("/nonexistent/labs".to_owned());
    }
    for base in bases {
        let output = lab.run(&["--state-dir", &base, "doctor", "--json"]).await?;
        ensure!(output.status.code() == Some(69), "{}", said(&output));
        let report: Vec<Value> = serde_json::from_slice(&output.stdout)?;
        let row = check(&report, "state folder")?;
        let [found, remedy] = ["found", "remedy"].map(|key| row[key].as_str().unwrap_or_default());
        ensure!(
            row["state"] == "missing" && found.starts_with(&base) && remedy.contains("--state-dir"),
            "{row}"
        );
        let up = lab.refused(69, &["--state-dir", &base, "up", "-d"]).await?;
        let why = if base.starts_with("/nonexistent") {
            "Permission denied"
        } else {
            "Not a directory"
        };
        ensure!(
            up.contains("the lab's folder cannot be used")
                && up.contains(why)
                && found.contains(why),
            "{row}: {up}"
        );
    }
    Ok(())
}

async fn engine(lab: &Lab<'_>) -> Result<()> {
    let report = report(lab).await?;
    let asked = Command::new("docker")
        .args(["version", "--format", "{{.Server.Version}}"])
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .output();
    let Ok(asked) = asked else {
        let row = check(&report, "Docker")?;
        ensure!(
            row["found"] == "not installed" && row["remedy"] != "",
            "{row}"
        );
        return Ok(());
    };
    let row = check(&report, "Docker Engine")?;
    let (out, err) = (String::from_utf8(asked.stdout)?, said_by(&asked.stderr));
    let found = row["found"].as_str().unwrap_or_default();
    if asked.status.success() {
        ensure!(
            row["state"] == "ok" && found.contains(out.trim()),
            "{row}: {out}"
        );
    } else {
        ensure!(row["state"] != "ok" && row["remedy"] != "", "{row}: {err}");
        ensure!(
            found.starts_with("not permitted") == err.contains("permission denied"),
            "{row}: {err}"
        );
    }
    Ok(())
}

fn said_by(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn table(lab: &Lab<'_>) -> Result<()> {
    let output = lab.run(&["doctor"]).await?;
    let text = String::from_utf8(output.stdout)?;
    for line in text.lines() {
        // A path has no place to be broken at.
        ensure!(
            line.chars().count() <= 80 || line.contains('/'),
            "{line}\n{text}"
        );
    }
    ensure!(
        ["Kernel", "Programs", "This Compose file", "Limits"]
            .iter()
            .all(|title| text.lines().any(|line| line == *title)),
        "{text}"
    );
    Ok(())
}

/// Without a Compose file, and with a path that leads to neither `ip` nor `nft`.
async fn path(setting: &Setting) -> Result<()> {
    let mut command = setting.netns_setup();
    command
        .env("PATH", "/nowhere")
        .current_dir("/")
        .args(["doctor", "--json"]);
    let output = tokio::process::Command::from(command).output().await?;
    let report: Vec<Value> =
        serde_json::from_slice(&output.stdout).with_context(|| said(&output))?;
    for name in ["nftables", "iproute2", "PostgreSQL server", "Redis server"] {
        ensure!(check(&report, name)?["state"] == "ok", "{report:#?}");
    }
    let found = |name: &str| -> Result<String> {
        let found = check(&report, name)?["found"].as_str().context("found")?;
        Ok(found.to_owned())
    };
    let mut postgres = Vec::new();
    for entry in std::fs::read_dir("/usr/lib/postgresql")? {
        postgres.push(entry?.file_name().to_string_lossy().into_owned());
    }
    let told = found("PostgreSQL server")?;
    ensure!(
        postgres.iter().all(|version| told.contains(version)),
        "{told} is not {postgres:?}"
    );
    // "Redis server v=7.0.15 sha=..."
    let own = Command::new("redis-server").arg("--version").output()?;
    let own = String::from_utf8(own.stdout)?;
    let number = own.split("v=").nth(1).context("v=")?;
    let number: Vec<&str> = number.split('.').take(2).collect();
    let told = found("Redis server")?;
    ensure!(
        told.starts_with(&format!("version {},", number.join("."))),
        "{told} is not {own}"
    );
    ensure!(check(&report, "file")?["state"] == "note", "{report:#?}");
    Ok(())
}
