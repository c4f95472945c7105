//! Looking into a lab that runs: programs in its sandboxes and networks, and what it tells of itself.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::setting::{Lab, Setting, UP, said};
use crate::steps::{Steps, now};
use crate::terminal::{Terminal, end_of};
use crate::{copying, tables, watching};

/// A server that says hello, and something idle with a volume.
const FILE: &str = r#"
services:
  web:
    entrypoint:
      - /usr/bin/perl
      - -MIO::Socket::INET
      - -e
      - |
        $$| = 1;
        my $$s = IO::Socket::INET->new(LocalPort => 8000, Listen => 9, ReuseAddr => 1) or die;
        print "listening\n";
        while (my $$c = $$s->accept) {
          sysread $$c, my $$request, 4096;
          print $$c "HTTP/1.0 200 OK\r\n\r\nhello\n";
          close $$c;
        }
    restart: always
    deploy: { replicas: 2 }
    ports: ["127.0.0.1:${HTTP_PORT}:8000"]
    stop_grace_period: 100ms
    networks: [front]
  idle:
    entrypoint: [/bin/sh, -c, "echo one; exec sleep 3600"]
    healthcheck: { test: [CMD, /bin/true], interval: 1s }
    stop_grace_period: 100ms
    volumes: ["data:/data"]
    networks: [front]
networks:
  front:
    ipam: { config: [ { subnet: "${FRONTEND_PREFIX}.0/24" } ] }
volumes: { data: }
"#;

pub(crate) async fn tell(steps: &mut Steps, setting: &Setting) {
    let lab = match lab(setting) {
        Ok(lab) => lab,
        Err(error) => return steps.fail("a small Compose file", &error),
    };
    let up = async { lab.expect(&UP).await };
    if steps.step("a small lab comes up", up).await.is_none() {
        return;
    }
    steps
        .step("exec: variables, folder, index, background", exec(&lab))
        .await;
    steps
        .step(
            "exec into router, world and an instance's network runs the machine's tools there",
            networks(&lab),
        )
        .await;
    steps
        .step(
            "exec on a terminal is a real one: name, size, Ctrl-C, much typed at once, exit code",
            at_a_terminal(&lab),
        )
        .await;
    steps
        .step(
            "the caller's terminal is as it was, however the program ends",
            restored(&lab),
        )
        .await;
    steps
        .step("top, port, ps, logs and version", watching::lists(&lab))
        .await;
    steps
        .step("stats agrees with /proc and ip", watching::stats(&lab))
        .await;
    steps
        .step(
            "events tells what happens and what has happened",
            watching::events(&lab),
        )
        .await;
    steps
        .step(
            "cp carries files, folders and streams both ways",
            copying::copies(setting, &lab),
        )
        .await;
    wide(steps, setting).await;
    steps
        .step("ls finds the lab", watching::list(setting, &lab))
        .await;
    if let Some([ps, exec]) = steps
        .step("ps and exec answer at once", latencies(&lab))
        .await
    {
        steps.figure("ps, median of 20", format!("{ps:.1} ms"));
        steps.figure("exec SERVICE true, median of 20", format!("{exec:.1} ms"));
    }
    steps
        .step(
            "a lab that was killed is not listed as up",
            watching::list_of_the_dead(&lab),
        )
        .await;
}

/// Beside it, one with names that no table has room for.
async fn wide(steps: &mut Steps, setting: &Setting) {
    let Some(lab) = steps
        .step("a lab with long names comes up", tables::lab(setting))
        .await
    else {
        return;
    };
    steps
        .step(
            "ps, stats, ls, port and top fit 80 columns, and tell instances apart",
            tables::fit(&lab),
        )
        .await;
    steps
        .step(
            "colours are for terminals, and can be declined",
            tables::colours(&lab),
        )
        .await;
    steps
        .step("stats and logs -f go on", tables::goes_on(&lab))
        .await;
    steps
        .step(
            "ps keeps its table apart from what it says of four unhealthy instances",
            tables::remarks(&lab),
        )
        .await;
    steps.step("it goes down", lab.expect(&["down"])).await;
}

fn lab(setting: &Setting) -> Result<Lab<'_>> {
    let file: PathBuf = setting.folder("looking")?.join("compose.yaml");
    std::fs::write(&file, FILE)?;
    Lab::new(setting, "looking", file)
}

async fn exec(lab: &Lab<'_>) -> Result<()> {
    let words = lab
        .expect(&[
            "exec",
            "-T",
            "-e",
            "COLOUR=green",
            "-e",
            "HOME",
            "-w",
            "/usr",
            "--index",
            "2",
            "web",
            "/bin/sh",
            "-c",
            "echo $COLOUR $(pwd) $(hostname) $HOME",
        ])
        .await?;
    // HOME is taken over from the command's own environment, which the test has made.
    let words: Vec<&str> = words.split_whitespace().collect();
    ensure!(
        words[..3] == ["green", "/usr", "web-2"] && lab.state().starts_with(words[3]),
        "{words:?}"
    );
    let said = lab
        .refused(1, &["exec", "--index", "3", "web", "true"])
        .await?;
    ensure!(
        said.contains("web-3") && said.contains("web-1, web-2"),
        "{said}"
    );
    // It ends when the file appears, which is made when the command has long returned.
    let script = "while [ ! -e /data/go ]; do sleep 0.01; done; echo $$ > /data/went";
    lab.expect(&["exec", "-d", "idle", "/bin/sh", "-c", script])
        .await?;
    lab.expect(&[
        "exec",
        "idle",
        "/bin/sh",
        "-c",
        "test ! -e /data/went; : > /data/go",
    ])
    .await?;
    test_support::eventually("the background program has gone on", || async {
        lab.expect(&["exec", "idle", "cat", "/data/went"]).await
    })
    .await?;
    let output = lab.run(&["exec", "-d", "idle", "no-such-program"]).await?;
    ensure!(
        output.status.code() == Some(127),
        "{}",
        crate::setting::said(&output)
    );
    Ok(())
}

async fn networks(lab: &Lab<'_>) -> Result<()> {
    let links: Value =
        serde_json::from_str(&lab.expect(&["exec", "router", "ip", "-j", "link"]).await?)?;
    let names: Vec<&str> = links
        .as_array()
        .context("ip -j link")?
        .iter()
        .filter_map(|link| link["ifname"].as_str())
        .collect();
    for name in ["br-front", "v-web-1", "v-web-2", "v-idle-1", "world"] {
        ensure!(names.contains(&name), "{name} is not among {names:?}");
    }
    let rules = lab
        .expect(&["exec", "router", "nft", "list", "ruleset"])
        .await?;
    ensure!(rules.contains("policy drop"), "{rules}");
    // The interfaces of that network, not of the host's.
    let listed = lab
        .expect(&["exec", "world", "ls", "/sys/class/net"])
        .await?;
    ensure!(
        listed.split_whitespace().eq(["eth0", "lo"]),
        "/sys/class/net lists {listed}"
    );
    let port = lab.http_port.to_string();
    let hello = lab
        .expect(&[
            "exec",
            "world",
            "curl",
            "--silent",
            "--max-time",
            "5",
            &format!("http://203.0.113.1:{port}/"),
        ])
        .await?;
    ensure!(hello == "hello\n", "the world hears {hello:?}");
    let sockets = lab
        .expect(&["exec", "--privileged", "web-2", "ss", "-tlnpH"])
        .await?;
    ensure!(
        sockets.contains("0.0.0.0:8000") && sockets.contains("perl"),
        "{sockets}"
    );
    let here = lab.expect(&["exec", "router", "pwd"]).await?;
    ensure!(
        lab.state().starts_with(here.trim()),
        "a program of the machine runs in {here}"
    );
    let output = lab.run(&["exec", "router", "no-such-program"]).await?;
    ensure!(
        output.status.code() == Some(127) && said(&output).contains("not installed"),
        "{}",
        said(&output)
    );
    Ok(())
}

async fn at_a_terminal(lab: &Lab<'_>) -> Result<()> {
    let terminal = Terminal::open(40, 100)?;
    let mut shell = terminal.run(&lab.command(&["exec", "idle", "/bin/sh", "-i"]))?;
    terminal.write("tty; stty size; echo $TERM > $(tty)\n")?;
    terminal.shows("/dev/pts/0\r\n40 100\r\nvt220\r\n").await?;
    terminal.resize(50, 120)?;
    test_support::eventually("the window's size follows", || async {
        terminal.clear();
        terminal.write("stty size; echo end\n")?;
        terminal.shows("\r\nend\r\n").await?;
        ensure!(
            terminal.shown().contains("50 120\r\n"),
            "{}",
            terminal.shown()
        );
        Ok(())
    })
    .await?;
    // One program that says so and sleeps: what is typed before it is in front would not reach it.
    terminal.write("sh -c 'echo sleeping; exec sleep 3600'\n")?;
    terminal.shows("\r\nsleeping\r\n").await?;
    terminal.write("\x03")?;
    terminal.write("echo status $?\n")?;
    terminal.shows("status 130\r\n").await?;
    // More than the terminal holds, echoed while it is being read.
    let line = "x".repeat(99);
    terminal.clear();
    terminal.write("echo counting; wc -l\n")?;
    terminal.shows("\r\ncounting\r\n").await?;
    terminal.write(&format!("{line}\n").repeat(500))?;
    terminal.write("\x04")?;
    terminal.shows("500\r\n").await?;
    terminal.write("exit 7\n")?;
    let status = end_of(&mut shell).await?;
    ensure!(status.code() == Some(7), "{status}: {}", terminal.shown());

    let mut visitor = terminal.run(&lab.command(&["exec", "router", "tty"]))?;
    let status = end_of(&mut visitor).await?;
    ensure!(status.success(), "in the router: {}", terminal.shown());
    Ok(())
}

async fn restored(lab: &Lab<'_>) -> Result<()> {
    let terminal = Terminal::open(24, 80)?;
    let before = terminal.settings()?;
    for (argv, code) in [
        (
            &["exec", "idle", "/bin/sh", "-c", "stty raw; kill -9 $$"][..],
            137,
        ),
        (&["exec", "idle", "no-such-program"], 127),
        (&["exec", "no-such-service", "true"], 1),
    ] {
        let mut child = terminal.run(&lab.command(argv))?;
        let status = end_of(&mut child).await?;
        ensure!(
            status.code() == Some(code),
            "{argv:?}: {status}: {}",
            terminal.shown()
        );
        ensure!(terminal.settings()? == before, "{argv:?} left it raw");
    }
    // A signal to the command itself is the program's, and the way back is the same.
    let script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = terminal.run(&lab.command(&["exec", "idle", "/bin/sh", "-c", script]))?;
    terminal.shows("ready").await?;
    ensure!(
        terminal.settings()? != before,
        "it must be raw for keys to reach the program"
    );
    let session = i32::try_from(child.id())?;
    kill(Pid::from_raw(command_of(session)?), Signal::SIGTERM)?;
    let status = end_of(&mut child).await?;
    ensure!(status.code() == Some(9), "{status}: {}", terminal.shown());
    ensure!(terminal.settings()? == before, "SIGTERM left it raw");
    Ok(())
}

/// What `setsid --wait` runs: its child, or itself where it had no need to fork.
fn command_of(setsid: i32) -> Result<i32> {
    let children = std::fs::read_to_string(format!("/proc/{setsid}/task/{setsid}/children"))?;
    Ok(children
        .split_whitespace()
        .next()
        .map_or(Ok(setsid), str::parse)?)
}

/// Median milliseconds of twenty times `ps` and `exec`, each a process of its own as a person starts it.
async fn latencies(lab: &Lab<'_>) -> Result<[f64; 2]> {
    let mut medians = [0.0; 2];
    for (median, argv) in medians
        .iter_mut()
        .zip([&["ps"][..], &["exec", "idle", "true"]])
    {
        let mut times = Vec::new();
        for _ in 0..20 {
            let began = now();
            lab.expect(argv).await?;
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        *median = times[times.len() / 2];
    }
    ensure!(
        medians.iter().all(|median| *median < 1000.0),
        "{medians:?} ms"
    );
    Ok(medians)
}
