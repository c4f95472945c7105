//! The file for `docker stack deploy`, generated from the Compose file and its `x-swarm` fields.
//!
//! It works on the file as it is written: what only means something to Docker is carried over, and `${VARIABLES}` stay variables for
//! `docker stack deploy` to replace. What a Swarm refuses or ignores is left out, and said so at the top; what it needs and Compose
//! does not have is worked out, with the reasons in `docs/architecture.md`, "On a Swarm".

mod declared;
mod deploy;
mod document;
mod extension;
mod ports;
mod service;
mod stated;
mod storage;
mod tmpfs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::diagnostic::{Diagnostic, Source};
use super::node::{Node, Value};
use super::reader::Reader;
use declared::{configs, networks, secrets, volumes};
use document::{Entry, Item, entry, push};
use extension::Extension;
use storage::Stores;
pub use storage::{Contents, Find, Found};

/// The version that `docker stack deploy` wants to read first: the first that has `pids`.
const VERSION: &str = "3.9";

/// Reads `files` as [`super::load`] does, and the files of the project that services mount, and writes the Swarm file.
///
/// # Errors
/// Everything that is wrong, in the order of the files; never empty.
pub fn swarm(
    files: &[PathBuf],
    env_files: &[PathBuf],
    env: &BTreeMap<String, String>,
) -> Result<String, Vec<Diagnostic>> {
    let gathered = super::gather(files, env_files, env)?;
    generate(gathered.sources, &gathered.dir, &gathered.variables, &find)
}

/// The pure part of [`swarm`].
///
/// # Errors
/// Everything that is wrong, in the order of the files; never empty.
pub fn generate(
    mut sources: Vec<Source>,
    dir: &Path,
    env: &BTreeMap<String, String>,
    find: Find<'_>,
) -> Result<String, Vec<Diagnostic>> {
    for source in &mut sources {
        super::one_line_end(&mut source.text);
    }
    let mut reader = Reader::new(&sources, dir, env);
    reader.for_swarm = true;
    let text = reader.merged().and_then(|mut raw| {
        let mut read = raw.clone();
        reader.substitute(&mut read);
        reader.extend(&mut read);
        reader.extend(&mut raw);
        let project = reader.project(&read)?;
        let extension = reader.swarm_file(read.get("x-swarm"), &project.volumes);
        // What is wrong for a lab is wrong for a Swarm; what follows relies on its being right.
        reader
            .found
            .is_empty()
            .then(|| reader.stack(&raw, &read, &extension, find))
    });
    let found = reader.ended();
    match text {
        Some(text) if found.is_empty() => Ok(text),
        _ => Err(found),
    }
}

impl Reader<'_> {
    fn stack(&mut self, raw: &Node, read: &Node, extension: &Extension, find: Find<'_>) -> String {
        let mut stores = Stores::default();
        let mut services = Vec::new();
        let mut present = Vec::new();
        let mut omitted = Vec::new();
        for (name, raw, read) in pairs(raw.get("services"), read.get("services")) {
            if self.off.contains_key(name) {
                omitted.push(format!("service {name}: none of its profiles is on"));
                continue;
            }
            if self.swarm_service(name, read) {
                omitted.push(format!("service {name}: x-swarm says so"));
                continue;
            }
            present.push(raw);
            services.push(self.swarm_entry(name, raw, read, extension, find, &mut stores));
        }
        if services.is_empty() {
            self.error(read.at, "x-swarm leaves every service out", "leave one in");
        }
        let mut entries = vec![
            entry("version", Item::text(VERSION)),
            entry("services", Item::Map(services)),
        ];
        push(&mut entries, "networks", networks(raw.get("networks")));
        push(
            &mut entries,
            "volumes",
            volumes(raw.get("volumes"), &stores),
        );
        let made = configs(&stores, extension);
        let made = self.with_files(read.get("configs"), raw.get("configs"), made);
        push(&mut entries, "configs", made);
        let made = secrets(&stores, extension);
        let made = self.with_files(read.get("secrets"), raw.get("secrets"), made);
        push(&mut entries, "secrets", made);
        let mut left_out = service::left_out(&present);
        left_out.extend(declared::left_out(raw.get("networks")));
        let mut text = self.header(&left_out, omitted, &stores, extension, read);
        text.push('\n');
        text.push_str(&document::write(&entries));
        text
    }

    /// What the file itself declares as configs or secrets, and what was `made` of its mounts.
    fn with_files(&mut self, read: Option<&Node>, raw: Option<&Node>, made: Vec<Entry>) -> Item {
        let mut entries: Vec<Entry> = Vec::new();
        for (name, raw, read) in pairs(raw, read) {
            if raw.get("file").is_none() {
                self.error(
                    read.at,
                    format!("`{name}` is from no file, and a Swarm takes nothing else"),
                    "write it into a file: { file: ./PATH }",
                );
            }
            if made.iter().any(|entry| entry.key == name) {
                self.error(
                    read.at,
                    format!("`{name}` is also the name of a file that a service mounts"),
                    "rename one of the two",
                );
            }
            entries.push(entry(name, Item::carried(name, raw)));
        }
        entries.extend(made);
        Item::Map(entries)
    }

    /// Where the file comes from, what it wants and what it lacks.
    fn header(
        &self,
        left_out: &[String],
        omitted: Vec<String>,
        stores: &Stores,
        extension: &Extension,
        read: &Node,
    ) -> String {
        let name = |source: &Source| {
            source
                .path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default()
        };
        let names: Vec<String> = self.sources.iter().map(name).collect();
        let mut lines = vec![
            format!("Generated from {} and its x-swarm fields: change those, not this file.", names.join(", ")),
            "Made by `netns-setup config --format swarm`, for `docker stack deploy --compose-file`.".to_owned(),
        ];
        lines.extend(
            extension
                .command
                .as_ref()
                .map(|command| format!("Deployed by `{command}`.")),
        );
        if !stores.secrets.is_empty() {
            lines.push("Wants SECRETS_DIR, a folder with a file for each of the secrets below, and each one's hash in NAME_HASH:".to_owned());
            lines.push("what is in a secret cannot change under one name.".to_owned());
        }
        let mut what = omitted;
        what.extend(left_out.iter().cloned());
        if read.get("x-flows").is_some() {
            what.push("x-flows: a Swarm's networks keep outsiders out, and let their members reach each other's ports".to_owned());
        }
        if !what.is_empty() {
            lines.push("Left out:".to_owned());
            lines.extend(what.into_iter().map(|what| format!("  {what}")));
        }
        lines.iter().map(|line| format!("# {line}\n")).collect()
    }
}

/// The entries of a mapping, as written and as read.
fn pairs<'n>(raw: Option<&'n Node>, read: Option<&'n Node>) -> Vec<(&'n str, &'n Node, &'n Node)> {
    match (raw.map(|node| &node.value), read.map(|node| &node.value)) {
        (Some(Value::Map(raw)), Some(Value::Map(read))) => raw
            .iter()
            .zip(read)
            .map(|((key, raw), (_, read))| (key.name.as_str(), raw, read))
            .collect(),
        _ => Vec::new(),
    }
}

/// A path of this machine.
fn find(path: &Path) -> std::io::Result<Found> {
    use std::os::unix::fs::PermissionsExt as _;

    let contents = |path: &Path| -> std::io::Result<Contents> {
        Ok(Contents {
            bytes: std::fs::read(path)?,
            executable: std::fs::metadata(path)?.permissions().mode() & 0o111 != 0,
        })
    };
    if !std::fs::metadata(path)?.is_dir() {
        return Ok(Found::File(contents(path)?));
    }
    let mut files = BTreeMap::new();
    for item in std::fs::read_dir(path)? {
        let item = item?;
        if item.path().is_file() {
            files.insert(
                item.file_name().to_string_lossy().into_owned(),
                contents(&item.path())?,
            );
        }
    }
    Ok(Found::Folder(files))
}

#[cfg(test)]
mod refusals_tests;
#[cfg(test)]
mod tests;
