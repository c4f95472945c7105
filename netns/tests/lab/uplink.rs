//! The host's own way to the instances of a lab that root runs; and that an ordinary user's lab has none.

mod docker;
mod killed;
mod limits;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use netns_setup::plan::link_name;
use nix::net::if_::if_nametoindex;
use test_support::eventually;

use crate::dial::Dialled;
use crate::playhost::{NEIGHBOUR, OWN, PlayHost};
use crate::setting::{Lab, Setting, said};
use crate::steps::Steps;
use limits::{no_way_out, only_adds};

/// Two tiers that the world may enter, and an instance beside that it may not. Each says its name to whoever calls.
const FILE: &str = r#"
x-flows: ["world -> web:8000", "world -> api:8000", "web -> db:8000"]
networks:
  front: { ipam: { config: [ { subnet: "${FRONTEND_PREFIX}.0/24" } ] } }
  back: { ipam: { config: [ { subnet: "${BACKEND_PREFIX}.0/24" } ] } }
x-server: &server
  entrypoint: [/usr/bin/perl, -MIO::Socket::INET, -e, '$$SIG{TERM} = sub { exit 0 };
    $$s = IO::Socket::INET->new(LocalPort => 8000, Listen => 9, ReuseAddr => 1) or die $$!;
    while ($$c = $$s->accept) { print $$c $$ENV{NAME}; close $$c }']
services:
  web: { <<: *server, environment: { NAME: web }, networks: { front: { ipv4_address: "${FRONTEND_PREFIX}.10" } }, ports: ["${HTTP_PORT}:8000"] }
  api: { <<: *server, environment: { NAME: api }, networks: { back: { ipv4_address: "${BACKEND_PREFIX}.10" } } }
  db: { <<: *server, environment: { NAME: db }, networks: { back: { ipv4_address: "${BACKEND_PREFIX}.20" } } }
"#;
const PORT: u16 = 8000;
/// Where every listener of the played host and its neighbour listens.
const LISTENED: u16 = 7000;

pub(crate) async fn tell(steps: &mut Steps, setting: &Setting) {
    let file = match file(setting) {
        Ok(file) => file,
        Err(error) => return steps.fail("a small Compose file", &error),
    };
    if !setting.is_root() {
        let nothing = no_link(setting, &file);
        steps
            .step("an ordinary user's lab has no link on the host", nothing)
            .await;
        return;
    }
    let Some(play) = steps
        .step("a network that plays the host", async { PlayHost::new() })
        .await
    else {
        return;
    };
    steps
        .step(
            "the host reaches what is open to the world by its own address, and changes in nothing else",
            reaches(setting, &file, &play),
        )
        .await;
    steps
        .step(
            "labs side by side do not meet",
            side_by_side(setting, &file, &play),
        )
        .await;
    steps
        .step(
            "what the host has already stays its own",
            shadowed(setting, &file, &play),
        )
        .await;
    steps
        .step("--no-uplink makes none", declined(setting, &file, &play))
        .await;
    steps
        .step(
            "kill -9 of the first process or of the launcher, at any point, leaves no link and no route",
            killed::tell(setting, &file, &play),
        )
        .await;
    docker::tell(steps, setting, &file).await;
}

fn file(setting: &Setting) -> Result<PathBuf> {
    let file = setting.folder("uplink")?.join("compose.yaml");
    std::fs::write(&file, FILE)?;
    Ok(file)
}

/// A lab of this file that takes the played host for its own.
fn lab<'a>(setting: &'a Setting, name: &str, file: &Path, play: &PlayHost) -> Result<Lab<'a>> {
    Ok(Lab::new(setting, name, file.to_owned())?.on(play.host.path()))
}

/// `web`'s, `api`'s and `db`'s address.
async fn addresses(lab: &Lab<'_>) -> Result<[Ipv4Addr; 3]> {
    let mut found = [Ipv4Addr::UNSPECIFIED; 3];
    for (name, address) in ["web-1", "api-1", "db-1"].into_iter().zip(&mut found) {
        *address = lab.instance(name).await?.address.parse()?;
    }
    Ok(found)
}

/// Calls until the program listens, which it may not yet when its lab is up: it has no health check.
async fn answers(play: &PlayHost, address: impl Into<SocketAddr>, name: &str) -> Result<()> {
    let address = address.into();
    eventually("it answers", || async {
        let said = play
            .host
            .call(address)
            .with_context(|| address.to_string())?;
        ensure!(said == name, "{address} says {said:?}, not {name}");
        Ok(())
    })
    .await
}

async fn reaches(setting: &Setting, file: &Path, play: &PlayHost) -> Result<()> {
    let before = play.host.everything()?;
    let lab = lab(setting, "uplink", file, play)?;
    let told = lab.up(&[]).await?;
    let [web, api, db] = addresses(&lab).await?;
    let also = format!("from this host also: http://{api}:{PORT}, http://{web}:{PORT}");
    let in_order = format!("from this host also: http://{web}:{PORT}, http://{api}:{PORT}");
    for text in [told, said(&lab.run(&["ps"]).await?)] {
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(line.contains(&also) || line.contains(&in_order), "{text}");
        ensure!(!text.contains("note:"), "{text}");
    }
    answers(play, (web, PORT), "web").await?;
    answers(play, (api, PORT), "api").await?;
    answers(play, (Ipv4Addr::LOCALHOST, lab.http_port), "web").await?;

    let uplink = lab.status().await?["uplink"].clone();
    let [host, router] = ["host", "router"].map(|field| uplink[field].as_str().unwrap_or_default());
    let (host, router): (Ipv4Addr, Ipv4Addr) = (host.parse()?, router.parse()?);
    let link = uplink["link"].as_str().context("link")?;
    only_adds(&before, &play.host.everything()?, link)?;

    // Nothing else is open to the host, nor anything at all to who comes by another address of it.
    let gateway = Ipv4Addr::from_bits(web.to_bits() & !0xff | 1);
    for (address, port) in [
        (web, PORT + 1),
        (db, PORT),
        (gateway, LISTENED),
        (router, LISTENED),
    ] {
        let dialled = play
            .host
            .dial_from(Ipv4Addr::UNSPECIFIED, (address, port))?;
        ensure!(
            dialled == Dialled::Closed,
            "host to {address}:{port}: {dialled:?}"
        );
    }
    for (network, source) in [(&play.host, OWN), (&play.neighbour, NEIGHBOUR)] {
        let dialled = network.dial_from(source, (web, PORT))?;
        ensure!(dialled == Dialled::Closed, "from {source}: {dialled:?}");
    }
    no_way_out(
        &lab,
        play,
        &[host, router, OWN, NEIGHBOUR, Ipv4Addr::new(203, 0, 113, 1)],
    )
    .await?;

    lab.expect(&["down"]).await?;
    ensure!(
        play.host.everything()? == before,
        "not all is as it was the moment `down` returns"
    );
    Ok(())
}

async fn side_by_side(setting: &Setting, file: &Path, play: &PlayHost) -> Result<()> {
    let before = play.host.everything()?;
    let first = lab(setting, "uplink-a", file, play)?;
    first.up(&[]).await?;
    // With loose filtering from here on, and other subnets.
    play.host
        .shell("sysctl -qw net.ipv4.conf.all.rp_filter=2")?;
    let other = lab(setting, "uplink-b", file, play)?;
    let told = other.up(&[]).await?;
    ensure!(!told.contains("note:"), "{told}");
    // With the first's subnets.
    let same = lab(setting, "uplink-c", file, play)?.with_prefixes_of(&first);
    let told = same.up(&[]).await?;
    let link = first.status().await?["uplink"]["link"]
        .as_str()
        .context("link")?
        .to_owned();
    let notes: Vec<&str> = told
        .lines()
        .filter(|line| line.starts_with("note:"))
        .collect();
    ensure!(
        notes.len() == 2 && notes.iter().all(|note| note.contains(&link)),
        "{told}"
    );
    ensure!(!told.contains("from this host also"), "{told}");
    ensure!(same.status().await?["uplink"].is_null(), "{told}");
    for one in [&first, &other] {
        let [web, api, db] = addresses(one).await?;
        answers(play, (web, PORT), "web").await?;
        answers(play, (api, PORT), "api").await?;
        let dialled = play.host.dial_from(Ipv4Addr::UNSPECIFIED, (db, PORT))?;
        ensure!(dialled == Dialled::Closed, "{dialled:?}");
    }
    for one in [&first, &other, &same] {
        answers(play, (Ipv4Addr::LOCALHOST, one.http_port), "web").await?;
        one.expect(&["down"]).await?;
    }
    play.host
        .shell("sysctl -qw net.ipv4.conf.all.rp_filter=1")?;
    ensure!(play.host.everything()? == before, "not all is as it was");
    Ok(())
}

async fn shadowed(setting: &Setting, file: &Path, play: &PlayHost) -> Result<()> {
    let lab = lab(setting, "uplink", file, play)?;
    let [front, _] = lab.prefixes();
    // As Docker would have it: a bridge without anybody in it, whose route wins all the same.
    play.host.shell(&format!(
        "ip link add br-own type bridge; ip link set br-own up; ip addr add {front}.1/24 dev br-own"
    ))?;
    let told = lab.up(&[]).await?;
    let notes: Vec<&str> = told
        .lines()
        .filter(|line| line.starts_with("note:"))
        .collect();
    ensure!(
        notes.len() == 1 && notes[0].contains("front") && notes[0].contains("br-own has"),
        "{told}"
    );
    let [web, api, _] = addresses(&lab).await?;
    answers(play, (api, PORT), "api").await?;
    answers(play, (Ipv4Addr::LOCALHOST, lab.http_port), "web").await?;
    let way = play.host.shell(&format!("ip route get {web}"))?;
    ensure!(way.contains("br-own"), "{way}");
    let also = said(&lab.run(&["ps"]).await?);
    ensure!(
        also.contains(&api.to_string()) && !also.contains(&format!("http://{web}")),
        "{also}"
    );
    lab.expect(&["down"]).await?;
    play.host.shell("ip link del br-own").map(drop)
}

async fn declined(setting: &Setting, file: &Path, play: &PlayHost) -> Result<()> {
    let before = play.host.everything()?;
    let lab = lab(setting, "uplink", file, play)?;
    for (with, arguments) in [("", &["--no-uplink"][..]), ("1", &[])] {
        let told = lab.up_with("NETNS_NO_UPLINK", with, arguments).await?;
        ensure!(
            !told.contains("from this host also") && !told.contains("note:"),
            "{told}"
        );
        ensure!(lab.status().await?["uplink"].is_null());
        ensure!(play.host.everything()? == before, "the host has changed");
        answers(play, (Ipv4Addr::LOCALHOST, lab.http_port), "web").await?;
        lab.expect(&["down"]).await?;
    }
    Ok(())
}

/// On this machine itself, where an ordinary user may change nothing.
async fn no_link(setting: &Setting, file: &Path) -> Result<()> {
    let lab = Lab::new(setting, "uplink", file.to_owned())?;
    let told = lab.up(&[]).await?;
    ensure!(
        !told.contains("from this host also") && !told.contains("note:"),
        "{told}"
    );
    ensure!(lab.status().await?["uplink"].is_null());
    let link = link_name(&lab.name, &lab.state().to_string_lossy());
    ensure!(if_nametoindex(link.as_str()).is_err(), "{link} is there");
    let mut routes = std::process::Command::new("ip");
    let routes = routes.args(["route", "show", "table", "all"]).output()?;
    for prefix in lab.prefixes() {
        ensure!(
            !String::from_utf8_lossy(&routes.stdout).contains(&prefix),
            "a route to {prefix}"
        );
    }
    lab.expect(&["down"]).await.map(drop)
}
