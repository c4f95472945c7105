//! `extends` and `profiles`: which services there are, and what they start from.

use std::collections::BTreeSet;

use super::node::{Key, Node, Value};
use super::reader::Reader;

/// The profiles that are on, separated by commas; `*` is all of them.
pub const PROFILES: &str = "COMPOSE_PROFILES";

impl Reader<'_> {
    /// Lays every service that `extends` another one of the file on top of it.
    pub(super) fn extend(&mut self, root: &mut Node) {
        let Value::Map(fields) = &mut root.value else {
            return;
        };
        let Some((_, services)) = fields.iter_mut().find(|(key, _)| key.name == "services") else {
            return;
        };
        let Value::Map(entries) = &mut services.value else {
            return;
        };
        let mut done = BTreeSet::new();
        for index in 0..entries.len() {
            self.resolve(entries, index, &mut Vec::new(), &mut done);
        }
    }

    fn resolve(
        &mut self,
        entries: &mut Vec<(Key, Node)>,
        index: usize,
        path: &mut Vec<usize>,
        done: &mut BTreeSet<usize>,
    ) {
        if !done.insert(index) {
            return;
        }
        let Some(stated) = entries[index].1.get("extends").cloned() else {
            return;
        };
        let (name, file) = match &stated.value {
            Value::Map(_) => {
                let fields = self.fields(&stated, "extends", None, &["service", "file"]);
                let name = fields.get("service").map(|(_, node)| (*node).clone());
                (name, fields.get("file").map(|(key, _)| key.at))
            }
            _ => (Some(stated.clone()), None),
        };
        if let Some(at) = file {
            self.error(
                at,
                "a service of another file is extended, which is not supported",
                "copy that service here, or lay the files on top of each other with several --file",
            );
            return;
        }
        let Some(name) = name.as_ref().and_then(|node| self.text(node, "extends")) else {
            self.error(
                stated.at,
                "extends names no service",
                "write extends: SERVICE",
            );
            return;
        };
        let Some(base) = entries.iter().position(|(key, _)| key.name == name) else {
            self.error(
                stated.at,
                format!("extends names `{name}`, which is no service"),
                "name a service of this file",
            );
            return;
        };
        path.push(index);
        if path.contains(&base) {
            self.error(
                stated.at,
                format!("extends of `{name}` comes back to itself"),
                "remove one of these",
            );
            path.pop();
            return;
        }
        self.resolve(entries, base, path, done);
        path.pop();
        let own = entries[index].1.clone();
        let mut merged = entries[base].1.clone();
        merged.at = own.at;
        merged.merge(own);
        // The base's own `extends` has been followed.
        if let Value::Map(fields) = &mut merged.value {
            fields.retain(|(key, _)| key.name != "extends");
        }
        entries[index].1 = merged;
    }

    /// The profiles of a service, if none of them is on; one without `profiles` is always on.
    pub(super) fn off(&mut self, service: &Node) -> Option<Vec<String>> {
        let node = service.get("profiles")?;
        let on: BTreeSet<&str> = self
            .env
            .get(PROFILES)
            .map(|text| text.split(',').map(str::trim).collect())
            .unwrap_or_default();
        let profiles: Vec<&str> = self
            .items(node, "profiles")
            .iter()
            .filter_map(|item| self.text(item, "profiles"))
            .collect();
        let is_on = |profile: &&str| on.contains(profile) || on.contains("*");
        let is_off = !profiles.is_empty() && !profiles.iter().any(is_on);
        is_off.then(|| profiles.into_iter().map(str::to_owned).collect())
    }
}
