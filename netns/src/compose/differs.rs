//! What runs here otherwise than on Docker: read over, and said as a warning, since what differs may matter to whoever runs it.

use super::docker_only::Scope;
use super::image::{self, Hint};
use super::model::{Run, Server};
use super::node::Node;
use super::reader::Reader;

/// A scope, a key, what is different here, and what to do where that matters.
const TABLE: &[(Scope, &str, &str, &str)] = &[
    (
        Scope::Service,
        "cpuset",
        "what runs here may run on every processor",
        "`cpus` limits how much of them it gets",
    ),
    (
        Scope::Service,
        "memswap_limit",
        "here it may swap as much as its limit of memory, as where Docker is told nothing",
        "`mem_limit` limits both",
    ),
];

/// What is different about a key, and what to do.
pub(super) fn told(scope: Scope, key: &str) -> Option<(&'static str, &'static str)> {
    TABLE
        .iter()
        .find(|(at, name, ..)| *at == scope && *name == key)
        .map(|(.., differs, remedy)| (*differs, *remedy))
}

/// The sandbox's user, by number and by name.
const SANDBOX: [&str; 2] = ["65532", "nonroot"];

/// User and group of a server in its official images, Debian's and Alpine's: nothing is different when a file names them.
fn own(server: Server) -> &'static [&'static str] {
    match server {
        Server::Postgres => &["postgres", "999", "70"],
        Server::Redis => &["redis", "valkey", "999", "1000"],
    }
}

impl Reader<'_> {
    /// `user`, as written. There is one in a sandbox; that it is another one than the file's is said, unless the file names the user
    /// that the image would take without being told.
    pub(super) fn user(&mut self, node: &Node, run: &Run, image: Option<&str>) -> Option<String> {
        let user = self.text(node, "user")?.to_owned();
        let server = match (run, image.map(image::hint)) {
            (&Run::Server(server), _) | (_, Some(Hint::Official(server))) => Some(server),
            _ => None,
        };
        let is_own = |part: &str| {
            SANDBOX.contains(&part) || server.is_some_and(|server| own(server).contains(&part))
        };
        let name = user.split(':').next().unwrap_or_default();
        if matches!(name, "root" | "0") {
            self.warn(
                node.at,
                format!("user is `{user}`, and nothing is root in a sandbox: what runs is user 65532, without any capability"),
                "remove it if the program needs no root; what does need it fails here",
            );
        } else if !user.is_empty() && !user.split(':').all(is_own) {
            self.warn(
                node.at,
                format!("user is `{user}`, and what runs in a sandbox is its one user, 65532"),
                "on this machine its files belong to whoever brings the lab up, or to 65532 where that is root",
            );
        }
        Some(user)
    }

    /// `init`. The lab itself ends a program that does not handle its stop signal; but the orphans of a PID namespace go to its first
    /// process (`pid_namespaces(7)`), and that is the program.
    pub(super) fn init(&mut self, node: &Node) {
        if self.boolean(node, "init") == Some(true) {
            self.warn(
                node.at,
                "init is true, and here the program itself is PID 1: what its children leave behind stays a zombie until it collects it",
                "where that matters run it under an init of this machine: x-netns: { run: { exec: [tini, --, PROGRAM, ARGUMENT] } }",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::{docker_only, unsupported};

    #[test]
    fn no_key_stands_in_two_tables() {
        for (scope, key, differs, remedy) in TABLE {
            assert!(!docker_only::contains(*scope, key), "{key}");
            assert!(unsupported::remedy(*scope, key).is_none(), "{key}");
            assert!(!differs.is_empty() && !remedy.is_empty(), "{key}");
        }
    }
}
