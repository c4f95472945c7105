//! What the pages tell people to type exists: targets of the Makefile, verbs and flags, services, volumes, scripts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Parser;
use clap::error::ErrorKind;

use super::args::{Cli, Command};
use crate::compose;

/// All but docs/raw.md, whose commands a story of the lab runs.
const PAGES: &[&str] = &[
    "README.md",
    "docs/api.md",
    "docs/architecture.md",
    "docs/configuration.md",
    "docs/operations.md",
    "docs/troubleshooting.md",
];
/// Verbs of Compose that services follow, and options of theirs that a value follows.
const OF_SERVICES: &[&str] = &[
    "exec", "kill", "logs", "ps", "restart", "run", "start", "stop", "top", "up",
];
const WITH_VALUE: &[&str] = &["--entrypoint", "--scale", "--tail", "-n", "-s", "-e"];

/// What a lab has beside the services.
const NODES: &[&str] = &["router", "world"];

fn project() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(project().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What there is.
struct There {
    targets: BTreeSet<String>,
    services: BTreeSet<String>,
    volumes: BTreeSet<String>,
}

impl There {
    fn look() -> Self {
        let file = project().join("docker-compose.yml");
        let stack = compose::load(&[file], &[], &BTreeMap::new()).expect("the Compose file");
        let makefile = read("Makefile");
        let targets = makefile.lines().filter_map(|line| {
            let (name, _) = line.split_once(':')?;
            let is_name = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
            (!name.is_empty() && name.bytes().all(is_name)).then(|| name.to_owned())
        });
        Self {
            targets: targets.collect(),
            services: stack.services.into_keys().collect(),
            volumes: stack.volumes,
        }
    }

    /// What is wrong with a command, if something is.
    fn misses(&self, command: &str) -> Option<String> {
        let words: Vec<&str> = command
            .split_whitespace()
            .map(|word| word.trim_matches(['"', '\'']))
            .skip_while(|word| word.contains('=') || ["sudo", "$", "#"].contains(word))
            .collect();
        let stack = words.iter().find_map(|word| self.of_stack(word));
        let script = words.iter().find(|word| {
            let is_ours = word.starts_with("docker/") || word.starts_with("netns/");
            is_ours
                && word.ends_with(".sh")
                && !word.contains('*')
                && !project().join(word).is_file()
        });
        match *words.first()? {
            "make" => {
                let mut wanted = words[1..].iter().filter(|word| !word.contains('='));
                wanted
                    .find(|word| !self.targets.contains(**word) && is_plain(word))
                    .map(|word| format!("the Makefile has no {word}"))
            }
            "netns-setup" => self.misses_raw(&words),
            "docker" if words.get(1) == Some(&"compose") => self.misses_compose(&words[2..]),
            _ => None,
        }
        .or(stack)
        .or(script.map(|script| format!("there is no {script}")))
    }

    fn misses_raw(&self, words: &[&str]) -> Option<String> {
        // VERB and the like stand for something else.
        let words = words.iter().take_while(|word| **word != "...");
        let words: Vec<&str> = words.copied().collect();
        if words.contains(&"VERB") || words.iter().any(|word| word.contains('|')) {
            return None;
        }
        let cli = match Cli::try_parse_from(&words) {
            Ok(cli) => cli,
            Err(error) => {
                let is_asked = [ErrorKind::DisplayHelp, ErrorKind::DisplayVersion];
                // A verb alone is named, not typed.
                let is_named =
                    words.len() == 2 && error.kind() == ErrorKind::MissingRequiredArgument;
                return (!is_asked.contains(&error.kind()) && !is_named).then(|| error.to_string());
            }
        };
        let named = match cli.command? {
            Command::Restart(restart) => restart.services,
            Command::Start(start) => start.services,
            Command::Stop(stop) => stop.services,
            Command::Logs(logs) => logs.services,
            Command::Top(top) => top.services,
            Command::Kill(kill) => kill.services,
            Command::Wait(wait) => wait.services,
            Command::Stats(stats) => stats.services,
            Command::Up(up) => up.services,
            Command::Exec(exec) => vec![exec.target],
            Command::Port(port) => vec![port.service],
            Command::Scale(scale) => scale.scale.into_iter().map(|(name, _)| name).collect(),
            _ => return None,
        };
        self.unknown(named.iter().map(String::as_str))
    }

    fn misses_compose(&self, words: &[&str]) -> Option<String> {
        let (verb, rest) = words.split_first()?;
        if !OF_SERVICES.contains(verb) {
            return None;
        }
        let mut named = Vec::new();
        let mut rest = rest.iter();
        while let Some(word) = rest.next() {
            if WITH_VALUE.contains(word) {
                rest.next();
            } else if !word.starts_with('-') {
                named.push(*word);
                if ["exec", "run"].contains(verb) {
                    break; // what follows is the program's
                }
            }
        }
        self.unknown(named.into_iter())
    }

    fn unknown<'w>(&self, mut named: impl Iterator<Item = &'w str>) -> Option<String> {
        let is_known = |name: &str| {
            let instance = name.rsplit_once('-').filter(|(_, number)| {
                number.bytes().all(|byte| byte.is_ascii_digit()) && !number.is_empty()
            });
            self.services.contains(name)
                || NODES.contains(&name)
                || instance.is_some_and(|(service, _)| self.services.contains(service))
        };
        named
            .find(|name| is_plain(name) && !is_known(name))
            .map(|name| format!("the Compose file has no service {name}"))
    }

    /// A name of the Swarm's stack: a service's, or a volume's.
    fn of_stack(&self, word: &str) -> Option<String> {
        let name = word.strip_prefix("underlay_")?;
        let name = name.split('=').next().unwrap_or(name);
        let is_there = self.services.contains(name) || self.volumes.contains(name);
        (is_plain(name) && !is_there).then(|| format!("the stack has no {name}"))
    }
}

/// Not a word that stands for another, as SERVICE does.
fn is_plain(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_lowercase())
}

/// What is typed on a page: the code in its lines, and lines behind a prompt.
fn typed(page: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_block = false;
    page.lines().enumerate().flat_map(move |(number, line)| {
        let mut found = Vec::new();
        if line.starts_with("```") {
            is_block = !is_block;
        } else if is_block {
            let prompt = line.strip_prefix("$ ").or(line.strip_prefix("# "));
            let bare = ["make ", "netns-setup ", "docker ", "docker/"];
            let is_bare = bare.iter().any(|start| line.starts_with(start));
            found.extend(prompt.or_else(|| is_bare.then_some(line)));
        } else {
            found.extend(line.split('`').skip(1).step_by(2));
        }
        found.into_iter().flat_map(move |code| {
            let code = code.split("  #").next().unwrap_or(code);
            let parts = code.split([';', '|', '&']).map(str::trim);
            parts.map(move |part| (number + 1, part))
        })
    })
}

#[test]
fn what_the_pages_tell_to_type_exists() {
    let there = There::look();
    let (mut looked, mut wrong) = (0, Vec::new());
    for name in PAGES {
        let page = read(name);
        for (line, command) in typed(&page) {
            looked += usize::from(command.contains(' '));
            if let Some(misses) = there.misses(command) {
                wrong.push(format!("{name}:{line}: `{command}`: {misses}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(looked > 200, "only {looked} commands were seen");
}

#[test]
fn what_does_not_exist_is_seen() {
    let there = There::look();
    for (command, told) in [
        ("make swarm-upp", "no swarm-upp"),
        ("TAG=v2 make bakcup TO=x", "no bakcup"),
        ("netns-setup restrat order-service", "restrat"),
        ("netns-setup ps --jsn", "--jsn"),
        ("netns-setup restart order-servce", "order-servce"),
        ("netns-setup scale product=3", "no service product"),
        ("docker compose logs --tail 20 reddis", "reddis"),
        ("docker compose exec -T posgres psql", "posgres"),
        ("docker service scale underlay_product=3", "no product"),
        (
            "docker volume rm underlay_postgres-date",
            "no postgres-date",
        ),
        ("sudo sh docker/engin.sh", "docker/engin.sh"),
    ] {
        let misses = there.misses(command).unwrap_or_default();
        assert!(misses.contains(told), "{command}: {misses:?}");
    }
    for command in [
        "TAG=v2 make swarm-up",
        "netns-setup up -d",
        "netns-setup exec order-service-1 ls",
        "docker compose run --rm --no-deps --entrypoint cat secrets /x",
        "docker volume rm underlay_redis-data",
        "sudo sh docker/engine.sh",
    ] {
        assert_eq!(there.misses(command), None, "{command}");
    }
}
