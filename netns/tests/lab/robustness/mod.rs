//! What hangs, floods, falls silent or runs full beside a lab, or in it: the lab goes on, and answers.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use netns_setup::lab::protocol::MAX_REQUEST;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use test_support::eventually;

use crate::holdings::Holdings;
use crate::residue::Snapshot;
use crate::setting::{Lab, Setting, UP, said};
use crate::steps::{Steps, now};
use crate::terminal::end_of;

/// `deaf` heeds no stop signal, and its health check hangs unless its folder says that it is well; `writer` writes a line now and then, or as
/// fast as it can.
const FILE: &str = r#"
services:
  deaf:
    entrypoint: [/bin/sh, -c, "trap '' TERM INT; while :; do sleep 1; done"]
    healthcheck: { test: [CMD-SHELL, "[ -e /flags/well ] || sleep 3600"], interval: 1s, timeout: 1s, retries: 1 }
    stop_grace_period: 300ms
    volumes: ["./flags:/flags:ro"]
    networks: [only]
  writer:
    entrypoint:
      - /usr/bin/perl
      - -e
      - |
        $$SIG{TERM} = sub { exit 0 };
        while (1) {
          if (-e "/flags/fast") { syswrite STDOUT, ("x" x 99 . "\n") x 1000 for 1..100 }
          else { syswrite STDOUT, "line at " . time . "\n"; select undef, undef, undef, 0.05 }
        }
    volumes: ["./flags:/flags:ro", "data:/data"]
    stop_grace_period: 1s
    networks: [only]
networks:
  only:
    ipam: { config: [ { subnet: "${FRONTEND_PREFIX}.0/24" } ] }
volumes: { data: }
"#;

/// A lab that answers, answers within this, however loaded the machine is.
const AT_ONCE: Duration = Duration::from_secs(4);
const CLIENTS: usize = 200;

pub(crate) async fn tell(steps: &mut Steps, setting: &Setting) {
    let folder = match folder(setting) {
        Ok(folder) => folder,
        Err(error) => return steps.fail("a small Compose file", &error),
    };
    let file = folder.join("compose.yaml");
    let lab = match Lab::new(setting, "robust", file) {
        Ok(lab) => lab,
        Err(error) => return steps.fail("a lab", &error),
    };
    let up = async { lab.expect(&UP).await };
    if steps.step("a small lab comes up", up).await.is_none() {
        return;
    }
    let flags = folder.join("flags");
    steps
        .step(
            "clients that are silent, talk nonsense or do not listen keep nobody from being answered",
            clients(&lab),
        )
        .await;
    steps
        .step(
            "a health check that hangs makes one instance unhealthy and nothing else",
            hanging(&lab, &flags),
        )
        .await;
    if let Some(figure) = steps
        .step(
            "logs keep their size under a fast writer",
            flood(&lab, &flags),
        )
        .await
    {
        steps.figure("a log under a fast writer", figure);
    }
    steps
        .step(
            "two labs of one name, with the same addresses, do not see each other",
            twins(&lab, &folder),
        )
        .await;
    steps
        .step(
            "a lab that is stopped (SIGSTOP) is given up on",
            stopped(&lab),
        )
        .await;
    steps
        .step(
            "a service that heeds no signal is killed by `down`",
            async { lab.expect(&["down"]).await },
        )
        .await;
    steps
        .step(
            "a lab outlives the terminal it was started from, one in the foreground ends with it",
            terminals(&lab),
        )
        .await;
    steps
        .step(
            "a full disk costs log lines, which the log says, and nothing else",
            full(&lab, &folder),
        )
        .await;
}

fn folder(setting: &Setting) -> Result<PathBuf> {
    let folder = setting.folder("robust")?;
    setting.folder("robust/flags")?;
    std::fs::write(folder.join("compose.yaml"), FILE)?;
    std::fs::write(folder.join("flags/well"), "")?;
    Ok(folder)
}

/// Asks for the status and insists on an answer at once.
async fn answers(lab: &Lab<'_>) -> Result<()> {
    let began = now();
    lab.status().await?;
    ensure!(began.elapsed() < AT_ONCE, "ps took {:?}", began.elapsed());
    Ok(())
}

fn open_files(pid: i32) -> Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

async fn clients(lab: &Lab<'_>) -> Result<()> {
    let first = lab.first_process().await?;
    let before = open_files(first)?;
    let dial = || UnixStream::connect(lab.state().join("control.sock"));
    let silent = (0..CLIENTS)
        .map(|_| dial())
        .collect::<std::io::Result<Vec<_>>>()?;
    answers(lab).await.context("beside silent clients")?;
    let mut nonsense = dial()?;
    nonsense.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
    let mut said = String::new();
    BufReader::new(nonsense).read_line(&mut said)?;
    ensure!(
        said.contains("not a request"),
        "nonsense is answered: {said}"
    );
    let mut endless = dial()?;
    let piece = vec![b'x'; MAX_REQUEST / 4];
    let refused = (0..40).find_map(|_| endless.write_all(&piece).err());
    let refused = refused.context("ten requests' length without an end was taken in")?;
    let closed = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
    ensure!(closed.contains(&refused.kind()), "{refused}");
    // They ask, and do not listen.
    let mut deaf = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = dial()?;
        stream.write_all(b"{\"v\":1,\"request\":{\"do\":\"status\"}}\n")?;
        deaf.push(stream);
    }
    answers(lab)
        .await
        .context("beside clients that do not listen")?;
    drop(deaf);
    for mut stream in silent {
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        ensure!(stream.read(&mut [0])? == 0, "a silent client was answered");
    }
    eventually("the lab has closed what it opened for them", || async {
        let now = open_files(first)?;
        ensure!(now <= before, "{before} before, {now} now");
        Ok(())
    })
    .await
}

async fn hanging(lab: &Lab<'_>, flags: &Path) -> Result<()> {
    std::fs::remove_file(flags.join("well"))?;
    eventually("deaf is unhealthy", || async {
        answers(lab).await?;
        let deaf = lab.instance("deaf-1").await?;
        ensure!(deaf.state == "unhealthy", "{deaf:?}");
        Ok(())
    })
    .await?;
    let echo = lab.exec("writer", &["/bin/echo", "here"]).await?;
    ensure!(said(&echo).contains("here"), "exec: {}", said(&echo));
    std::fs::write(flags.join("well"), "")?;
    eventually("deaf is healthy again", || async {
        let deaf = lab.instance("deaf-1").await?;
        ensure!(deaf.state == "healthy", "{deaf:?}");
        Ok(())
    })
    .await
}

/// What the lab keeps of a log, which it looks at every 50 ms while it grows fast.
async fn flood(lab: &Lab<'_>, flags: &Path) -> Result<String> {
    const LIMIT: u64 = 10_000_000;
    let logs = lab.state().join("logs");
    let size = |name: &str| std::fs::metadata(logs.join(name)).map_or(0, |found| found.len());
    std::fs::write(flags.join("fast"), "")?;
    let (mut most, mut turned) = (0, 0);
    let mut last = 0;
    let watched = eventually("the log is turned over, again and again", || {
        let current = size("writer-1.log");
        turned += u32::from(current < last);
        (last, most) = (current, most.max(current));
        async move {
            ensure!(turned >= 8, "{turned} times");
            answers(lab).await
        }
    })
    .await;
    std::fs::remove_file(flags.join("fast"))?;
    watched?;
    eventually("the last of it is turned over", || async {
        ensure!(size("writer-1.log") <= LIMIT, "{}", size("writer-1.log"));
        Ok(())
    })
    .await?;
    for name in ["writer-1.log.1", "writer-1.log.2"] {
        ensure!(
            (1..=LIMIT).contains(&size(name)),
            "{name}: {} bytes",
            size(name)
        );
    }
    for entry in std::fs::read_dir(&logs)? {
        use std::os::unix::fs::PermissionsExt;
        let entry = entry?;
        let mode = entry.metadata()?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "{}: {mode:o}", entry.path().display());
        ensure!(!entry.path().ends_with("writer-1.log.0"), "left over");
    }
    Ok(format!(
        "turned over {turned} times, {} MB at most",
        most / 1_000_000
    ))
}

async fn twins(lab: &Lab<'_>, folder: &Path) -> Result<()> {
    let base = folder.join("twin");
    std::fs::create_dir_all(&base)?;
    let twin = lab.twin(&base)?;
    twin.expect(&UP).await?;
    let (ours, theirs) = (lab.instances().await?, twin.instances().await?);
    for (one, other) in ours.iter().zip(&theirs) {
        ensure!(one.address == other.address, "{one:?}, {other:?}");
        ensure!(one.pid != other.pid, "{one:?}, {other:?}");
    }
    for (which, word) in [(lab, "mine"), (&twin, "theirs")] {
        let script = format!("echo {word} >/data/word; cat /data/word; ls -d /proc/[0-9]* | wc -l");
        let told = said(&which.exec("writer", &["/bin/sh", "-c", &script]).await?);
        ensure!(told.contains(word), "{told}");
    }
    let read = said(&lab.exec("writer", &["/bin/cat", "/data/word"]).await?);
    ensure!(read.contains("mine"), "volumes are shared: {read}");
    let links = ["ip", "-o", "link"];
    let (mine, other) = (
        said(&lab.exec("router", &links).await?),
        said(&twin.exec("router", &links).await?),
    );
    // An instance's end has the same name and address in both: two of them would be the other's. (Only the first, as root, has an uplink.)
    for links in [&mine, &other] {
        let ends = links.matches(" v-writer-1@").count();
        ensure!(ends == 1, "{mine}\n{other}");
    }
    let holdings = Holdings::of(twin.first_process().await?)?;
    twin.expect(&["down", "--volumes"]).await?;
    holdings.are_gone().await?;
    ensure!(lab.instances().await? == ours, "the other's end was felt");
    let read = said(&lab.exec("writer", &["/bin/cat", "/data/word"]).await?);
    ensure!(
        read.contains("mine"),
        "the other's `down --volumes` was felt: {read}"
    );
    Ok(())
}

async fn stopped(lab: &Lab<'_>) -> Result<()> {
    let first = Pid::from_raw(lab.first_process().await?);
    kill(first, Signal::SIGSTOP)?;
    // Its streams are on their way to the lab, which holds them for as long as it does not take them in: no pipes, then.
    let errors = lab.state().join("errors");
    let mut exec = lab.command(&["exec", "-T", "writer", "/bin/true"]);
    exec.stdout(Stdio::null())
        .stderr(std::fs::File::create(&errors)?);
    let mut exec = exec.spawn()?;
    let tried = tokio::join!(lab.refused(1, &["ps"]), lab.refused(1, &["down"]));
    let ended = end_of(&mut exec).await;
    kill(first, Signal::SIGCONT)?;
    ensure!(ended?.code() == Some(1), "exec");
    for said in [tried.0?, tried.1?, std::fs::read_to_string(errors)?] {
        ensure!(
            said.contains("does not answer") && said.contains("help"),
            "{said}"
        );
    }
    answers(lab).await.context("after SIGCONT")
}

async fn terminals(lab: &Lab<'_>) -> Result<()> {
    let before = Snapshot::take()?;
    hung_up(lab, &["up", "-d"], "Everything is up")?;
    answers(lab).await.context("its terminal is gone")?;
    let of_lab = Holdings::of(lab.first_process().await?)?;
    lab.expect(&["down"]).await?;
    of_lab.are_gone().await?;

    let mut launcher = hung_up(lab, &["up"], "Ctrl-C takes it down")?;
    end_of(&mut launcher).await?;
    before
        .is_all_there_is(&Default::default(), &lab.state())
        .await
}

/// Runs netns-setup on a terminal of its own until that shows `text`, and closes the terminal.
fn hung_up(lab: &Lab<'_>, arguments: &[&str], text: &str) -> Result<std::process::Child> {
    let pair = openpty(None, None)?;
    // Held by this test alone, so that it closes.
    fcntl(&pair.master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    let command = lab.command(arguments);
    let mut session = Command::new("setsid");
    session
        .args(["--ctty", "--wait"])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .envs(
            command
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        )
        .stdin(Stdio::from(pair.slave.try_clone()?))
        .stdout(Stdio::from(pair.slave.try_clone()?))
        .stderr(Stdio::from(pair.slave));
    let mut child = session.spawn()?;
    drop(session);
    let shown = BufReader::new(std::fs::File::from(pair.master)).lines();
    let shows = shown.map_while(Result::ok).any(|line| line.contains(text));
    if arguments.contains(&"-d") {
        child.wait()?;
    }
    ensure!(shows, "its terminal does not show {text:?}");
    Ok(child)
}

/// On a file system of its own, in a mount namespace of its own: `$1` is its size, the rest netns-setup on the lab.
const FULL: &str = r#"
size=$1; shift
mount -t tmpfs -o size=$size,mode=0700 tmpfs "$NETNS_STATE_DIR"
fill() { cat /dev/zero >"$NETNS_STATE_DIR/filler" 2>/dev/null || :; }
until_ps() { i=0; while ! "$@" ps | grep -q "$word"; do i=$((i + 1)); [ $i -lt 100 ] || exit 3; sleep 0.1; done; }
"$@" up -d || exit 2
trap '"$@" down >/dev/null 2>&1' EXIT
fill
word='disk is full' until_ps "$@"
"$@" exec -T writer /bin/echo exec answers || exit 4
rm "$NETNS_STATE_DIR/filler"
i=0; until "$@" logs writer | sed -n '/the disk was full/,$p' | grep 'line at'; do i=$((i + 1)); [ $i -lt 100 ] || exit 5; sleep 0.1; done
fill
"$@" down || exit 6
fill
if "$@" up -d; then exit 7; fi
rm "$NETNS_STATE_DIR/filler"
"$@" up -d && echo up after that
"#;

async fn full(lab: &Lab<'_>, folder: &Path) -> Result<()> {
    let base = folder.join("small");
    std::fs::create_dir_all(&base)?;
    let before = Snapshot::take()?;
    let lab = lab.twin(&base)?;
    let command = lab.command(&[]);
    let mut script = Command::new("timeout");
    script.args(["60", "unshare", "--mount"]);
    if !nix::unistd::Uid::effective().is_root() {
        script.args(["--user", "--map-root-user"]);
    }
    script
        .args(["/bin/sh", "-c", FULL, "full", "4m"])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .envs(
            command
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        )
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || script.output()).await??;
    let told = said(&output);
    for words in [
        "exec answers",
        "line at",
        "No space left on device",
        "up after that",
    ] {
        ensure!(
            output.status.success() && told.contains(words),
            "no {words:?}: {told}"
        );
    }
    before
        .is_all_there_is(&Default::default(), &lab.state())
        .await
}
