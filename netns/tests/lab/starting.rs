//! Programs that do not come to run: nothing of them stays, and nobody else waits for them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::groups::own_groups;
use crate::residue::Snapshot;
use crate::setting::{Lab, Setting, UP, said};
use crate::steps::{Steps, now};

const FILE: &str = r#"
services:
  steady:
    entrypoint: [/bin/sh, -c, "exec sleep 3600"]
    stop_grace_period: 100ms
    networks: [only]
    deploy: { resources: { limits: { memory: 64M } } }
  slow:
    entrypoint: [/programs/slow]
    volumes: ["./programs:/programs:ro"]
    stop_grace_period: 1s
    networks: [only]
networks:
  only:
    ipam: { config: [ { subnet: 10.77.3.0/24 } ] }
"#;

/// More than any pool of threads that a lab starts programs by.
const HANGING: usize = 9;
/// What does not wait for those is done within this, however loaded the machine is.
const AT_ONCE: Duration = Duration::from_secs(8);
/// `down` and an interrupted `exec` end within this: what hangs is given up on after two seconds.
const GIVEN_UP: Duration = Duration::from_secs(15);

pub(crate) async fn tell(steps: &mut Steps, setting: &Setting) {
    let lab = match lab(setting) {
        Ok(lab) => lab,
        Err(error) => return steps.fail("a Compose file with a program of its own", &error),
    };
    let up = [&UP[..], &["--scale", "slow=0"]].concat();
    if steps
        .step("a small lab comes up", async { lab.expect(&up).await })
        .await
        .is_none()
    {
        return;
    }
    steps
        .step(
            "a one-off instance that cannot be executed leaves no control group",
            not_executed(&lab),
        )
        .await;
    steps
        .step(
            "a one-off instance whose end could not be carried out whole is not brought back by the next change",
            not_dismissed(&lab),
        )
        .await;
    steps
        .step(
            "programs whose start hangs keep nobody waiting, neither `exec` nor `down`",
            hang(&lab),
        )
        .await;
}

fn lab(setting: &Setting) -> Result<Lab<'_>> {
    use std::os::unix::fs::PermissionsExt;
    let folder = setting.folder("starting")?;
    let program = setting.folder("starting/programs")?.join("slow");
    std::fs::write(&program, "#!/bin/sh\nexec sleep 3600\n")?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    let file = folder.join("compose.yaml");
    std::fs::write(&file, FILE)?;
    Lab::new(setting, "starting", file)
}

/// The groups of the lab's instances.
fn instance_groups(lab: &Lab<'_>) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for group in own_groups(&lab.state()) {
        for entry in std::fs::read_dir(group)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

async fn not_executed(lab: &Lab<'_>) -> Result<()> {
    let before = instance_groups(lab)?;
    for _ in 0..5 {
        let run = ["run", "-T", "--entrypoint", "/nowhere", "steady"];
        let said = lab.refused(127, &run).await?;
        ensure!(said.contains("/nowhere"), "{said}");
        // The command returns when its program has been collected: there is nothing to wait for.
        let now = instance_groups(lab)?;
        ensure!(now == before, "{before:#?}, then {now:#?}");
    }
    Ok(())
}

/// What is in the way of the names that others know: a folder among the files.
async fn not_dismissed(lab: &Lab<'_>) -> Result<()> {
    let before = links(lab).await?;
    let are = |count: usize| async move {
        test_support::eventually("the router's links", || async {
            let now = links(lab).await?;
            ensure!(now == count, "{now}, not {count}");
            Ok(())
        })
        .await
    };
    let mut asker = lab.spawn(&["run", "-T", "--name", "late", "steady"])?;
    are(before + 1).await?;
    let obstacle = lab.state().join("run/hosts/obstacle");
    std::fs::create_dir(&obstacle)?;
    asker.kill().await?;
    are(before).await?;
    let run = [
        "run",
        "-T",
        "--name",
        "other",
        "--entrypoint",
        "/bin/true",
        "steady",
    ];
    let said = lab.refused(1, &run).await?;
    ensure!(said.contains("has not come"), "{said}");
    std::fs::remove_dir(&obstacle)?;
    lab.expect(&run).await?;
    are(before).await
}

async fn hang(lab: &Lab<'_>) -> Result<()> {
    let before = Snapshot::take()?;
    let mut lease = Lease::on(&lab.file().with_file_name("programs").join("slow"))?;
    let scale = format!("slow={HANGING}");
    lab.expect(&["scale", "--no-wait", &scale]).await?;
    lease.is_asked_for()?;
    let began = now();
    let echo = lab.exec("steady", &["/bin/echo", "here"]).await?;
    ensure!(said(&echo).contains("here"), "{}", said(&echo));
    ensure!(began.elapsed() < AT_ONCE, "exec: {:?}", began.elapsed());
    let starting = lab.instances().await?;
    let starting = starting.iter().filter(|one| one.state == "starting");
    ensure!(starting.count() == HANGING, "they do not hang");

    // Of one that hangs nothing stays when whoever asked for it goes.
    let before_it = links(lab).await?;
    let mut asker = lab.spawn(&["run", "-T", "slow"])?;
    test_support::eventually("the one-off instance's link is there", || async {
        ensure!(links(lab).await? == before_it + 1);
        Ok(())
    })
    .await?;
    asker.kill().await?;
    test_support::eventually("it is gone", || async {
        ensure!(links(lab).await? == before_it);
        Ok(())
    })
    .await?;

    let began = now();
    lab.expect(&["down"]).await?;
    ensure!(began.elapsed() < GIVEN_UP, "down: {:?}", began.elapsed());
    lease.is_held()?;
    before
        .is_all_there_is(&Default::default(), &lab.state())
        .await
}

/// How many links the router has.
async fn links(lab: &Lab<'_>) -> Result<usize> {
    let output = lab.exec("router", &["ip", "-o", "link"]).await?;
    ensure!(output.status.success(), "{}", said(&output));
    Ok(String::from_utf8(output.stdout)?.lines().count())
}

/// A file that whoever opens it waits for: its owner has a lease on it and does not give it back (`F_SETLEASE` in `fcntl(2)`). After
/// 45 s the kernel takes the lease away (`/proc/sys/fs/lease-break-time`), and the one who has it ends.
struct Lease {
    holder: Child,
    told: BufReader<std::process::ChildStdout>,
}

/// 1024 is `F_SETLEASE`, and 1 `F_WRLCK`.
const HOLDER: &str = r#"
    $| = 1; $SIG{IO} = sub { print "asked\n" }; open F, "+<", $ARGV[0] or die $!;
    fcntl(F, 1024, 1) or die $!; print "held\n"; $end = time + 60; sleep 1 while time < $end;
"#;

impl Lease {
    fn on(file: &Path) -> Result<Self> {
        let mut holder = Command::new("perl")
            .args(["-e", HOLDER])
            .arg(file)
            .stdout(Stdio::piped())
            .spawn()
            .context("perl")?;
        let told = holder.stdout.take().context("its output")?;
        let mut lease = Self {
            holder,
            told: BufReader::new(told),
        };
        lease.says("held")?;
        Ok(lease)
    }

    fn says(&mut self, word: &str) -> Result<()> {
        let mut line = String::new();
        self.told.read_line(&mut line)?;
        ensure!(line.trim() == word, "the lease: {line:?}");
        Ok(())
    }

    /// Waits until somebody wants to open the file.
    fn is_asked_for(&mut self) -> Result<()> {
        self.says("asked")
    }

    /// Nobody who opened the file has been let in: the kernel lists the lease as one that is being broken.
    fn is_held(&self) -> Result<()> {
        let locks = std::fs::read_to_string("/proc/locks")?;
        let pid = format!(" {} ", self.holder.id());
        let lease = locks
            .lines()
            .find(|line| line.contains("LEASE") && line.contains(&pid));
        ensure!(
            lease.is_some_and(|line| line.contains("BREAKING")),
            "the lease is gone: {lease:?}"
        );
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = self.holder.kill(); // it may have ended
        let _ = self.holder.wait();
    }
}
