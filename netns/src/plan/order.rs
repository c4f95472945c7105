//! The order in which services start.

use std::collections::BTreeSet;

use crate::compose::Project;

/// Every service behind what it depends on; among those that may start, by name (Kahn, "Topological sorting of large networks", 1962).
pub(super) fn start_order(project: &Project) -> Vec<String> {
    let mut waiting: BTreeSet<&str> = project.services.keys().map(String::as_str).collect();
    let mut order = Vec::new();
    while let Some(next) = waiting.iter().copied().find(|name| {
        project.services[*name]
            .depends_on
            .keys()
            .all(|on| !waiting.contains(on.as_str()))
    }) {
        waiting.remove(next);
        order.push(next.to_owned());
    }
    // The reader has refused cycles, so nothing waits any more; if it did, it would still have to be stopped.
    order.extend(waiting.into_iter().map(str::to_owned));
    order
}
