//! Labs of two users and of root side by side, with one name, one file and the same addresses: none of them meets another.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use test_support::eventually;

use crate::holdings::Holdings;
use crate::residue::Snapshot;
use crate::setting::{Lab, Setting, User, said};
use crate::steps::Steps;

/// Ordinary users as the one who is told the stories again, without a name or anything on this machine.
const USERS: [u32; 2] = [61_235, 61_236];
/// What each lab is called.
const NAME: &str = "neighbours";
const PORT: u16 = 8000;
/// How long an address may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Says whose it is to whoever calls, and keeps that as a secret, in a volume and in its log.
const FILE: &str = r#"
x-flows: ["world -> web:8000"]
services:
  web:
    entrypoint: [/usr/bin/perl, -MIO::Socket::INET, -e, '$$SIG{TERM} = sub { exit 0 };
      open $$f, ">", "/data/word"; print $$f $$ENV{OWNER}; close $$f; print STDERR "$$ENV{OWNER}\n";
      $$s = IO::Socket::INET->new(LocalPort => 8000, Listen => 9, ReuseAddr => 1) or die $$!;
      while ($$c = $$s->accept) { print $$c $$ENV{OWNER}; close $$c }']
    environment: { OWNER: "${OWNER}" }
    networks: { front: { ipv4_address: "${FRONTEND_PREFIX}.10" } }
    ports: ["127.0.0.1:${HTTP_PORT}:8000"]
    secrets: [word]
    volumes: ["data:/data"]
networks:
  front: { ipam: { config: [ { subnet: "${FRONTEND_PREFIX}.0/24" } ] } }
secrets: { word: { environment: OWNER } }
volumes: { data: }
"#;

/// Root's story: only root can be several users.
pub(crate) async fn tell(steps: &mut Steps, setting: &Setting) {
    if !setting.is_root() {
        return;
    }
    let prepared = async {
        let before = Snapshot::take()?;
        let file = setting.folder(NAME)?.join("compose.yaml");
        std::fs::write(&file, FILE)?;
        let users = [setting.user(USERS[0])?, setting.user(USERS[1])?];
        let roots = Lab::new(setting, NAME, file.clone())?;
        let of = |user: &User| {
            let lab = Lab::new(setting, NAME, file.clone())?;
            lab.with_prefixes_of(&roots).of(user)
        };
        let labs = [of(&users[0])?, of(&users[1])?, roots];
        for (lab, word) in labs.iter().zip(WORDS) {
            lab.up_with("OWNER", word, &[]).await.context(word)?;
        }
        Ok((before, users, labs))
    };
    let Some((before, users, labs)) = steps
        .step(
            "labs of two users and of root, of one name and with the same addresses, come up",
            prepared,
        )
        .await
    else {
        return;
    };
    steps
        .step(
            "each lists its own lab, and its own processes",
            sees_its_own(&users, &labs),
        )
        .await;
    steps
        .step(
            "each address leads to one's own instance, root's from the host",
            answers_its_own(&labs),
        )
        .await;
    steps
        .step(
            "nobody gets at another's lab: socket, secrets, volumes, logs, processes, namespaces",
            is_locked_out(&users, &labs),
        )
        .await;
    steps
        .step(
            "the end of one, in order or by `kill -9`, is not felt by the others",
            ends_alone(&labs, &before),
        )
        .await;
}

/// What each lab says, and keeps secret.
const WORDS: [&str; 3] = ["first", "second", "root"];

async fn sees_its_own(users: &[User; 2], labs: &[Lab<'_>; 3]) -> Result<()> {
    let mut first_processes = Vec::new();
    for (lab, owner) in labs.iter().zip([Some(&users[0]), Some(&users[1]), None]) {
        let listed: Value = serde_json::from_str(&lab.expect(&["ls", "--all", "--json"]).await?)?;
        let own: Vec<&Value> = listed
            .as_array()
            .into_iter()
            .flatten()
            .filter(|one| owner.is_some() || one["name"] == NAME)
            .collect();
        let state = lab.state();
        ensure!(
            own.len() == 1 && own[0]["state_dir"].as_str().map(Path::new) == Some(&state),
            "in {}: {listed}",
            state.display()
        );
        first_processes.push(lab.first_process().await?);
        let web = lab.instance("web-1").await?;
        let status = std::fs::read_to_string(format!("/proc/{}/status", web.pid.context("pid")?))?;
        // Root's sandboxes are a user's of their own.
        let user = owner.map_or(65532, |owner| owner.id);
        ensure!(
            status.contains(&format!("\nUid:\t{user}\t{user}\t")),
            "{status}"
        );
    }
    first_processes.sort_unstable();
    first_processes.dedup();
    ensure!(first_processes.len() == 3, "{first_processes:?}");
    Ok(())
}

async fn answers_its_own(labs: &[Lab<'_>; 3]) -> Result<()> {
    let mut addresses = Vec::new();
    for (lab, word) in labs.iter().zip(WORDS) {
        says((Ipv4Addr::LOCALHOST, lab.http_port), word).await?;
        let script = "cat /run/secrets/word /data/word";
        let kept = lab
            .expect(&["exec", "-T", "web", "/bin/sh", "-c", script])
            .await?;
        ensure!(kept == format!("{word}{word}"), "{word}: {kept}");
        addresses.push(lab.instance("web-1").await?.address);
        let links = lab.expect(&["exec", "router", "ip", "-o", "link"]).await?;
        ensure!(links.matches(" v-web-1@").count() == 1, "{word}: {links}");
    }
    addresses.dedup();
    let [address] = &addresses[..] else {
        anyhow::bail!("not one address: {addresses:?}");
    };
    says((address.parse()?, PORT), "root").await
}

/// Calls until that is said there: an instance does not listen the moment it runs.
async fn says(to: (Ipv4Addr, u16), word: &str) -> Result<()> {
    eventually("it answers", || async {
        let mut text = String::new();
        let address = SocketAddr::from(to);
        TcpStream::connect_timeout(&address, PATIENCE)?.read_to_string(&mut text)?;
        ensure!(text == word, "{address} says {text:?}, not {word}");
        Ok(())
    })
    .await
}

async fn is_locked_out(users: &[User; 2], labs: &[Lab<'_>; 3]) -> Result<()> {
    for (visitor, own) in users.iter().zip(labs) {
        let owners = users.iter().map(|user| format!("user {}", user.id));
        for (other, owner) in labs.iter().zip(owners.chain(["root".to_owned()])) {
            let is_own = other.state() == own.state();
            for (what, attempt) in attempts(visitor, other).await? {
                let output = run(attempt).await?;
                ensure!(
                    output.status.success() == is_own,
                    "user {} and {}: {what}: {}",
                    visitor.id,
                    other.state().display(),
                    said(&output)
                );
            }
            if is_own {
                continue;
            }
            let base = other.state();
            let base = base.parent().context("a base")?.to_string_lossy();
            for verb in [
                &["ps"][..],
                &["exec", "-T", "web", "true"],
                &["stop"],
                &["stats"],
                &["logs"],
                &["down"],
                &["ls", "--all"],
            ] {
                let told = own
                    .refused(1, &[&["--state-dir", &base], verb].concat())
                    .await?;
                // Not that it is not up, which this user cannot know.
                ensure!(
                    told.contains(&format!("belongs to {owner}"))
                        && told.contains("`sudo")
                        && told.contains("--state-dir"),
                    "user {} {verb:?}: {told}",
                    visitor.id
                );
            }
        }
    }
    Ok(())
}

/// What whoever owns a lab can do without netns-setup, and nobody else but root.
async fn attempts(visitor: &User, lab: &Lab<'_>) -> Result<Vec<(&'static str, Command)>> {
    let state = lab.state();
    let pid = lab.first_process().await?.to_string();
    let at = |below: &str| state.join(below);
    let secret = find(&state.join("run"), "word").context("the secret's file")?;
    let ask = "exit !IO::Socket::UNIX->new(shift)";
    let socket = at("control.sock");
    let cat = |path: &dyn AsRef<Path>| visitor.program("cat", &[path]);
    Ok(vec![
        ("list it", visitor.program("ls", &[&state])),
        ("read its log", cat(&at("logs/web-1.log"))),
        ("read its volume", cat(&at("volumes/data/word"))),
        ("read its secret", cat(&secret)),
        (
            "ask its control socket",
            visitor.program("perl", &[&"-MIO::Socket::UNIX", &"-e", &ask, &socket]),
        ),
        ("signal it", visitor.program("kill", &[&"-0", &pid])),
        (
            "enter it",
            visitor.program(
                "nsenter",
                &[
                    &"--user",
                    &"--net",
                    &"--preserve-credentials",
                    &"--target",
                    &pid,
                    &"true",
                ],
            ),
        ),
        ("read its environment", cat(&format!("/proc/{pid}/environ"))),
    ])
}

/// A file of that name, below.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths = entries.map(|entry| entry.path());
    paths.find_map(|path| match path.is_dir() {
        true => find(&path, name),
        false => path.ends_with(name).then_some(path),
    })
}

async fn run(command: Command) -> Result<std::process::Output> {
    Ok(tokio::process::Command::from(command).output().await?)
}

async fn ends_alone(labs: &[Lab<'_>; 3], before: &Snapshot) -> Result<()> {
    let [first, second, roots] = labs;
    let (of_second, of_root) = (second.instances().await?, roots.instances().await?);
    let held = Holdings::of(first.first_process().await?)?;
    first.expect(&["down", "--volumes"]).await?;
    held.are_gone().await?;
    ensure!(
        second.instances().await? == of_second,
        "felt by the second user's"
    );
    says((Ipv4Addr::LOCALHOST, second.http_port), "second").await?;

    let pid = second.first_process().await?;
    let held = Holdings::of(pid)?;
    kill(Pid::from_raw(pid), Signal::SIGKILL)?;
    held.are_gone().await?;
    ensure!(roots.instances().await? == of_root, "felt by root's");
    says((Ipv4Addr::LOCALHOST, roots.http_port), "root").await?;
    roots.expect(&["down", "--volumes"]).await?;
    for lab in labs {
        before
            .is_all_there_is(&Default::default(), &lab.state())
            .await?;
    }
    Ok(())
}
