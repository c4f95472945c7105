//! `tmpfs`: `docker stack deploy` takes the key and forgets it, so what it asks for is written as mounts.

use super::super::node::{Node, Value};
use super::super::reader::Reader;
use super::super::units;
use super::document::{Item, entry};

impl Reader<'_> {
    /// The mounts for `tmpfs` of a service: `/path` or `/path:size=64m`, one or a list.
    pub(super) fn memory(&mut self, name: &str, read: &Node) -> Vec<Item> {
        let single = [read.clone()];
        let items = match &read.value {
            Value::List(items) => items.as_slice(),
            _ => &single,
        };
        let mut mounts = Vec::new();
        for item in items {
            let Value::Scalar(text) = &item.value else {
                continue; // refused by the reader
            };
            let (path, options) = text.split_once(':').unwrap_or((text, ""));
            let mut size = None;
            for option in options.split(',') {
                match option.split_once('=').unwrap_or((option, "")) {
                    ("size", value) => size = units::bytes(value),
                    // What a Swarm's tmpfs is anyway.
                    ("" | "rw" | "nosuid" | "nodev", _) => {}
                    ("mode", mode) if is_everybodys(mode) => {}
                    _ => self.untold(name, item, option),
                }
            }
            mounts.push(mount(path, size));
        }
        mounts
    }

    /// The same in the long form of `volumes`.
    pub(super) fn long_memory(&mut self, name: &str, read: &Node) -> Option<Item> {
        let text = |node: Option<&Node>| match &node?.value {
            Value::Scalar(text) => Some(text.clone()),
            _ => None,
        };
        let options = read.get("tmpfs");
        let mode = options.and_then(|node| node.get("mode"));
        if let (Some(node), Some(mode)) = (mode, text(mode))
            && !is_everybodys(&mode)
        {
            self.untold(name, node, &format!("mode={mode}"));
        }
        let size = text(options.and_then(|node| node.get("size")));
        Some(mount(
            &text(read.get("target"))?,
            size.and_then(|size| units::bytes(&size)),
        ))
    }

    fn untold(&mut self, name: &str, node: &Node, option: &str) {
        self.error(
            node.at,
            format!("`{name}` has a tmpfs with `{option}`, which a Swarm cannot be told"),
            "leave it out: a Swarm's tmpfs has mode 1777 and, if said, a size",
        );
    }
}

fn is_everybodys(mode: &str) -> bool {
    matches!(mode, "1777" | "01777" | "0o1777")
}

fn mount(target: &str, size: Option<u64>) -> Item {
    let mut entries = vec![
        entry("type", Item::text("tmpfs")),
        entry("target", Item::text(target)),
    ];
    if let Some(size) = size {
        let size = entry("size", Item::plain(&size));
        entries.push(entry("tmpfs", Item::Map(vec![size])));
    }
    Item::Map(entries)
}
