//! One-off instances, and `up` on a lab that runs.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use netns_setup::lab::protocol::{Envelope, Request, VERSION, line};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::opens::Opens;
use super::scales::{answers, router_links};
use super::{FILE, lines, told};
use crate::setting::{Lab, UP, said};

pub(super) async fn one_off(lab: &Lab<'_>) -> Result<()> {
    let before = lab.instances().await?;
    let links = router_links(lab.first_process().await?)?;
    let script =
        "echo $GREETING $HOSTNAME; ip -4 -o addr show dev eth0; grep -c web-run /etc/hosts; exit 3";
    let run = ["run", "-T", "-e", "GREETING=hi", "--entrypoint", "/bin/sh"];
    let output = lab
        .run(&[&run[..], &["web", "-c", script]].concat())
        .await?;
    let told = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.code() == Some(3) && told.starts_with("hi web-run-1\n"),
        "run: {}",
        said(&output)
    );
    // The last of the range: the others are numbered from the first.
    ensure!(
        told.contains("10.77.2.31/24") && told.ends_with("\n1\n"),
        "its address and names: {told}"
    );
    // What the flows open to base, they open to it; what they open to nobody, not.
    let dial = "print IO::Socket::INET->new('web:8080') ? 'open' : 'closed'";
    for (service, expected) in [("base", "open"), ("loner", "closed")] {
        let run = ["run", "-T", "--entrypoint", "perl", service];
        let told = lab
            .expect(&[&run[..], &["-MIO::Socket::INET", "-e", dial]].concat())
            .await?;
        ensure!(told == expected, "{service} -> web:8080 is {told}");
    }
    let missing = lab
        .refused(127, &["run", "-T", "--entrypoint", "/nowhere", "base"])
        .await?;
    ensure!(missing.contains("/nowhere"), "{missing}");
    lab.refused(1, &["run", "-T", "nosuch"]).await?;
    ensure!(
        lab.instances().await? == before,
        "a one-off instance disturbed another"
    );
    // The command returns when the program has ended; its network goes right behind it.
    test_support::eventually("its link is gone", || async {
        let now = router_links(lab.first_process().await?)?;
        ensure!(now == links, "{now:?}");
        Ok(())
    })
    .await
}

/// While it runs it is seen, entered and ended by its name; the third signal to its caller ends it too.
pub(super) async fn one_off_by_name(lab: &Lab<'_>) -> Result<()> {
    let deaf = "trap '' TERM; : > /tmp/ready; while :; do sleep 0.1; done";
    let run = ["run", "-T", "--no-deps", "--entrypoint", "/bin/sh"];
    let start = |name: &'static str, script: &'static str| {
        lab.spawn(&[&run[..], &["--name", name, "web", "-c", script]].concat())
    };
    let is_ready = |name: &'static str| async move {
        test_support::eventually("the one-off instance can be entered", || async {
            let ready = lab.exec(name, &["test", "-e", "/tmp/ready"]).await?;
            ensure!(ready.status.success(), "{}", said(&ready));
            Ok(())
        })
        .await
    };
    let mut first = start("first", deaf)?;
    is_ready("first").await?;
    let plain = lab.expect(&["ps", "-q"]).await?;
    let all = lab.expect(&["ps", "-a", "-q"]).await?;
    ensure!(
        !plain.contains("first\n") && all.contains("first\n"),
        "{plain}{all}"
    );
    for verb in [&["top", "first"][..], &["stats", "--no-stream", "first"]] {
        let shown = lab.expect(verb).await?;
        ensure!(shown.contains("first"), "{shown}");
    }
    lab.refused(1, &["restart", "first"]).await?;
    lab.expect(&["stop", "-t", "0.1", "first"]).await?;
    ensure!(first.wait().await?.code() == Some(137), "stop first");
    let mut second = start("second", deaf)?;
    is_ready("second").await?;
    lab.expect(&["kill", "second"]).await?;
    ensure!(second.wait().await?.code() == Some(137), "kill second");
    let counts = "trap 'echo >> /tmp/heard' INT TERM; : > /tmp/heard; : > /tmp/ready; while :; do sleep 0.1; done";
    let mut third = start("third", counts)?;
    is_ready("third").await?;
    let pid = i32::try_from(third.id().context("its pid")?)?;
    for (signal, heard) in [(Signal::SIGINT, 1), (Signal::SIGTERM, 2)] {
        kill(Pid::from_raw(pid), signal)?;
        test_support::eventually("the program hears of it", || async {
            let told = lab.exec("third", &["wc", "-l", "/tmp/heard"]).await?;
            ensure!(
                said(&told).contains(&format!("{heard} /")),
                "{}",
                said(&told)
            );
            Ok(())
        })
        .await?;
    }
    kill(Pid::from_raw(pid), Signal::SIGTERM)?;
    ensure!(third.wait().await?.code() == Some(137), "three signals");
    let all = lab.expect(&["ps", "-a", "-q"]).await?;
    ensure!(!all.contains("third"), "{all}");
    Ok(())
}

pub(super) async fn one_off_alone(lab: &Lab<'_>) -> Result<()> {
    let run = ["run", "--rm", "-T", "--entrypoint", "/bin/sh"];
    let script = ["-c", "echo $HOSTNAME; exit 3"];
    for (options, there) in [
        (&["web"][..], "base-1\nonce-1\n"),
        (&["--no-deps", "web"], ""),
    ] {
        let output = lab.run(&[&run[..], options, &script].concat()).await?;
        ensure!(
            output.status.code() == Some(3) && output.stdout == b"web-run-1\n",
            "{options:?}: {}",
            said(&output)
        );
        let is_alone = said(&output).contains("The network is up, and no service.");
        ensure!(
            is_alone == there.is_empty(),
            "{options:?}: {}",
            said(&output)
        );
        let names = lab.expect(&["ps", "-a", "-q"]).await?;
        ensure!(names == there, "{options:?}: {names:?}");
        lab.expect(&["down"]).await?;
    }
    lab.refused(1, &["run", "-T", "nosuch"]).await?;
    lab.refused(1, &["ps"]).await.map(drop)
}

pub(super) async fn changed(lab: &Lab<'_>, file: &Path) -> Result<()> {
    let before = lab.instances().await?;
    let unchanged = told(lab, &UP).await?;
    ensure!(
        unchanged.contains("nothing was changed") && lab.instances().await? == before,
        "up: {unchanged}"
    );
    std::fs::write(file, FILE.replace("\"hello\"", "\"good day\""))?;
    let applied = told(lab, &[&UP[..], &["--scale", "web=2"]].concat()).await?;
    let mut healthy = lines(&applied, "healthy");
    healthy.sort_unstable();
    ensure!(healthy == ["web-1", "web-2"], "up: {applied}");
    let mut seen = answers(lab, 2).await?;
    seen.sort();
    ensure!(seen == ["web-1 good day", "web-2 good day"], "{seen:?}");
    for name in ["base-1", "loner-1"] {
        let was = before.iter().find(|instance| instance.name == name);
        ensure!(
            Some(&lab.instance(name).await?) == was,
            "{name} was disturbed"
        );
    }
    // A service more and one less, and one that has ended before anybody could see it; without --scale the file's number again.
    let other = FILE
        .replace(
            "  loner:",
            "  brief: { entrypoint: [/bin/true], networks: [back] }\n  guest:",
        )
        .replace("10.77.2.9", "10.77.2.10")
        .replace("\"hello\"", "\"good day\"");
    std::fs::write(file, other)?;
    let applied = told(lab, &UP).await?;
    let mut removed = lines(&applied, "removed");
    removed.sort_unstable();
    let mut running = lines(&applied, "running");
    running.sort_unstable();
    ensure!(
        removed == ["loner-1", "web-2"]
            && running == ["brief-1", "guest-1"]
            && lines(&applied, "completed") == ["brief-1"],
        "up: {applied}"
    );
    ensure!(
        lab.instance("guest-1").await?.address == "10.77.2.10",
        "the new service's address"
    );
    // What web depends on is not named.
    for (named, running, healthy) in [("base", &["base-1"][..], &[][..]), ("web", &[], &["web-1"])]
    {
        let anew = told(lab, &[&UP[..], &["--force-recreate", named]].concat()).await?;
        ensure!(
            lines(&anew, "running") == running && lines(&anew, "healthy") == healthy,
            "up: {anew}"
        );
    }
    // Who may reach whom is a change too, although it is nobody's own.
    let file_now = std::fs::read_to_string(file)?;
    std::fs::write(file, file_now.replace("  - base -> web:8080\n", ""))?;
    for is_news in [true, false] {
        let applied = told(lab, &UP).await?;
        ensure!(
            applied.contains("nothing was changed") != is_news,
            "up: {applied}"
        );
    }
    // What has completed and was held is run again, and waited for.
    told(lab, &["stop", "once"]).await?;
    let again = told(lab, &UP).await?;
    ensure!(
        lines(&again, "completed") == ["once-1"],
        "up returns before once-1 has completed: {again}"
    );
    Ok(())
}

/// How many services are added, and how long the list of variables is that each reads.
const MORE: usize = 450;
const VARIABLES: usize = 40;

/// A file of many services: the lab reads and plans it for as long as `up` does before, and is asked meanwhile.
///
/// Whether that was meanwhile is told by the files with variables, which are read one after the other: an answer that was asked for
/// when the first had been opened comes before the last one is.
pub(super) async fn large(lab: &Lab<'_>, file: &Path) -> Result<String> {
    let before = std::fs::read_to_string(file)?;
    let folder = file.with_file_name("variables");
    std::fs::create_dir_all(&folder)?;
    let variables: String = (0..VARIABLES)
        .map(|n| format!("NAME_{n}=value\n"))
        .collect();
    let mut more = String::new();
    for number in 0..MORE {
        std::fs::write(folder.join(format!("{number:03}.env")), &variables)?;
        writeln!(
            more,
            "  more-{number:03}:\n    entrypoint: [/bin/true]\n    env_file: variables/{number:03}.env\n    deploy: {{ replicas: 0 }}\n    networks: [back]"
        )?;
    }
    std::fs::write(
        file,
        before.replace("services:\n", &format!("services:\n{more}")),
    )?;
    let (first, last) = ("000.env", format!("{:03}.env", MORE - 1));
    let times =
        |names: &[String], wanted: &str| names.iter().filter(|name| *name == wanted).count();

    // The lab is the last to read it.
    let opens = Opens::of(&folder)?;
    lab.expect(&UP).await?;
    let names = opens.now()?;
    let readers = times(&names, first);
    ensure!(
        readers > 1 && times(&names, &last) == readers,
        "{readers} have read {first}, {} {last}",
        times(&names, &last)
    );

    let mut up = lab.spawn(&UP)?;
    let mut names = Vec::new();
    while times(&names, first) < readers {
        names.extend(tokio::select! {
            opened = opens.next() => opened?,
            ended = up.wait() => bail!("up: {} before the lab has read the file", ended?),
        });
    }
    let begun = names.len();
    status(lab).await?;
    names.extend(opens.now()?);
    let meanwhile = names.len() - begun;
    ensure!(
        times(&names, &last) < readers,
        "no answer came before the lab had read the whole file"
    );
    let ended = up.wait().await?;
    std::fs::write(file, before)?;
    ensure!(ended.success(), "up: {ended}");
    Ok(format!("{meanwhile} of {MORE} files read"))
}

/// Asks without a program between, which would take its own time.
async fn status(lab: &Lab<'_>) -> Result<()> {
    let mut socket = UnixStream::connect(lab.state().join("control.sock")).await?;
    let request = Envelope {
        v: VERSION,
        request: Request::Status,
    };
    socket.write_all(&line(&request)?).await?;
    let mut said = String::new();
    BufReader::new(socket).read_line(&mut said).await?;
    ensure!(said.contains("\"instances\""), "{said}");
    Ok(())
}
