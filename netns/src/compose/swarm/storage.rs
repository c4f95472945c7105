//! `volumes`: named ones stay, those that hold secrets become secrets, files of the project become configs.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::super::node::{Node, Value};
use super::super::reader::Reader;
use super::document::{Item, entry};
use super::extension::{Extension, SecretFiles};

/// What a config may hold (swarmkit's limit in every engine).
const LARGEST: usize = 500 << 10;

/// A path of the project, as it was found.
#[derive(Clone, Debug)]
pub enum Found {
    /// A file.
    File(Contents),
    /// A folder: its files by name. Folders in it are not followed.
    Folder(BTreeMap<String, Contents>),
}

/// A file's contents.
#[derive(Clone, Debug)]
pub struct Contents {
    /// What is in it.
    pub bytes: Vec<u8>,
    /// Whether somebody may execute it.
    pub executable: bool,
}

/// What reads the paths that services mount.
pub type Find<'a> = &'a dyn Fn(&Path) -> io::Result<Found>;

/// What the file declares at its end, gathered on the way.
#[derive(Debug, Default)]
pub(super) struct Stores {
    /// Named volumes in use.
    pub(super) volumes: BTreeSet<String>,
    /// Secrets in use.
    pub(super) secrets: BTreeSet<String>,
    /// Configs by name: the path as the generated file states it, and the hash of the contents.
    pub(super) configs: BTreeMap<String, (String, String)>,
}

/// What one service mounts.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    pub(super) volumes: Vec<Item>,
    pub(super) secrets: Vec<Item>,
    pub(super) configs: Vec<Item>,
    /// Whether one of the volumes is named, and written to.
    pub(super) keeps_data: bool,
}

/// One entry of `volumes`, read.
struct Mount<'n> {
    source: &'n str,
    target: &'n str,
    read_only: bool,
}

impl Reader<'_> {
    /// What a service mounts.
    pub(super) fn storage(
        &mut self,
        name: &str,
        raw: &Node,
        read: &Node,
        extension: &Extension,
        find: Find<'_>,
        stores: &mut Stores,
    ) -> Mounts {
        let mut mounts = Mounts::default();
        let (Value::List(raw), Value::List(read)) = (&raw.value, &read.value) else {
            return mounts;
        };
        for (raw, read) in raw.iter().zip(read) {
            let (Some(written), Some(meant)) = (mount(raw), mount(read)) else {
                mounts.volumes.extend(self.long_memory(name, read));
                continue;
            };
            if let Some(files) = extension.secrets.get(meant.source) {
                if !meant.read_only {
                    self.error(
                        read.at,
                        format!("`{name}` may write to the volume `{}`, which is secrets on a Swarm", meant.source),
                        "mount it read-only (`:ro`), or leave the service out: x-swarm: { omit: true }",
                    );
                }
                mounts.secrets.extend(secrets(files, meant.target));
                stores
                    .secrets
                    .extend(files.files.iter().map(|(secret, _)| secret.clone()));
            } else if !meant.source.starts_with(['/', '.', '~']) {
                stores.volumes.insert(meant.source.to_owned());
                mounts.keeps_data |= !meant.read_only && !self.has_driver(meant.source);
                mounts.volumes.push(kept(raw));
            } else if meant.source.starts_with('/') {
                // A path that every host has, such as a socket or a device's folder: the file's author answers for it.
                mounts.volumes.push(kept(raw));
            } else if !meant.read_only {
                self.error(
                    read.at,
                    format!("`{name}` may write to {}, a folder of this machine, which a Swarm's other hosts do not have", meant.source),
                    "use a named volume, or mount it read-only: its files become configs",
                );
            } else {
                let path = self.host_path(meant.source);
                match find(&path) {
                    Ok(Found::File(contents)) => {
                        self.config(
                            read,
                            written.source,
                            meant.target,
                            &contents,
                            stores,
                            &mut mounts,
                        );
                    }
                    Ok(Found::Folder(files)) => {
                        for (file, contents) in files {
                            let source = format!("{}/{file}", written.source.trim_end_matches('/'));
                            let target = format!("{}/{file}", meant.target.trim_end_matches('/'));
                            self.config(read, &source, &target, &contents, stores, &mut mounts);
                        }
                    }
                    Err(error) => self.error(
                        read.at,
                        format!(
                            "`{name}` mounts {}, which cannot be read: {error}",
                            path.display()
                        ),
                        "a Swarm's hosts get its contents as configs: correct the path",
                    ),
                }
            }
        }
        mounts
    }

    /// Whether a volume is more than a folder of one host.
    fn has_driver(&self, volume: &str) -> bool {
        self.places.contains_key(&format!("driver:{volume}"))
    }

    fn config(
        &mut self,
        at: &Node,
        source: &str,
        target: &str,
        contents: &Contents,
        stores: &mut Stores,
        mounts: &mut Mounts,
    ) {
        if contents.bytes.len() > LARGEST {
            self.error(
                at.at,
                format!("{source} is larger than a Swarm's config may be, 500 KiB"),
                "build it into the image",
            );
        }
        let path = Path::new(source);
        let part = |path: Option<&Path>| {
            path.and_then(Path::file_name)
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default()
        };
        let short = part(Some(path));
        let taken = |name: &str| {
            stores
                .configs
                .get(name)
                .is_some_and(|(path, _)| path != source)
        };
        let name = if taken(&short) {
            format!("{}-{short}", part(path.parent()))
        } else {
            short
        };
        if taken(&name) {
            self.error(
                at.at,
                format!("{source} and another file would both be the config `{name}`"),
                "rename one of the files",
            );
        }
        stores
            .configs
            .insert(name.clone(), (source.to_owned(), hash(&contents.bytes)));
        mounts.configs.push(Item::Map(vec![
            entry("source", Item::text(name)),
            entry("target", Item::text(target)),
            entry(
                "mode",
                Item::plain(if contents.executable { "0555" } else { "0444" }),
            ),
        ]));
    }
}

/// A mount as it stands in the file, less what only Compose knows.
fn kept(raw: &Node) -> Item {
    match Item::carried("", raw) {
        Item::Map(entries) => {
            let known = ["type", "source", "target", "read_only"];
            Item::Map(
                entries
                    .into_iter()
                    .filter(|entry| known.contains(&entry.key.as_str()))
                    .collect(),
            )
        }
        item => item,
    }
}

/// The files of a volume as a service's secrets. Swarm puts them into /run/secrets unless their target is a whole path.
fn secrets(files: &SecretFiles, folder: &str) -> Vec<Item> {
    let folder = folder.trim_end_matches('/');
    let secrets = files.files.iter().map(|(secret, file)| {
        let target = match folder {
            "/run/secrets" => file.clone(),
            folder => format!("{folder}/{file}"),
        };
        let mut entries = vec![
            entry("source", Item::text(secret)),
            entry("target", Item::text(target)),
        ];
        let mode = match files.uid {
            Some(uid) => {
                entries.push(entry("uid", Item::text(uid.to_string())));
                "0400"
            }
            None => "0444",
        };
        entries.push(entry("mode", Item::plain(mode)));
        Item::Map(entries)
    });
    secrets.collect()
}

/// The first half of SHA-256 is plenty to tell the versions of one file apart; a quarter keeps names within Docker's 64 characters.
fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// `SOURCE:TARGET[:OPTIONS]` or the long form; none for a tmpfs.
fn mount(node: &Node) -> Option<Mount<'_>> {
    let text = |key: &str| match &node.get(key)?.value {
        Value::Scalar(text) => Some(text.as_str()),
        _ => None,
    };
    match &node.value {
        Value::Map(_) => Some(Mount {
            source: text("source")?,
            target: text("target")?,
            read_only: text("read_only") == Some("true"),
        }),
        Value::Scalar(short) => {
            let (rest, last) = super::ports::split(short)?;
            Some(match super::ports::split(rest) {
                Some((source, target)) => Mount {
                    source,
                    target,
                    read_only: last.split(',').any(|option| option == "ro"),
                },
                None => Mount {
                    source: rest,
                    target: last,
                    read_only: false,
                },
            })
        }
        _ => None,
    }
}
