//! What `scale`, and `up` on a lab that runs, have in common: they ask the lab to become something else.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};

use super::failure::{Code, Failure};
use super::parting::{GOES_ON, Parting};
use super::project::{Loaded, diagnostics};
use super::steer::{Ended, ask};
use super::{built, doctor, up};
use crate::columns::choice;
use crate::compose::{Port, Project};
use crate::lab::listen;
use crate::lab::protocol::{Change, FileNow, Recreate, Request, Status};

/// The services of these names, all when there are none; with what they depend on, near or far, unless `alone`.
pub(super) fn selected(
    project: &Project,
    names: &[String],
    alone: bool,
) -> Result<BTreeSet<String>, Failure> {
    if names.is_empty() {
        return Ok(project.services.keys().cloned().collect());
    }
    let mut selected = BTreeSet::new();
    let mut next: Vec<&str> = names.iter().map(String::as_str).collect();
    while let Some(name) = next.pop() {
        let service = project
            .services
            .get(name)
            .ok_or_else(|| no_service(project, name))?;
        if selected.insert(name.to_owned()) && !alone {
            next.extend(service.depends_on.keys().map(String::as_str));
        }
    }
    Ok(selected)
}

/// Nothing has that name.
pub(super) fn no_service(project: &Project, name: &str) -> Failure {
    let known = choice("the services are", project.services.keys());
    Failure::new(
        Code::Failed,
        format!("error: no service is named {name}{known}"),
    )
}

/// Asks for other numbers of instances.
pub(super) fn scale(
    loaded: &Loaded,
    status: &Status,
    scale: BTreeMap<String, u32>,
    services: BTreeSet<String>,
    wait_ms: Option<u64>,
) -> Result<Ended, Failure> {
    send(
        loaded,
        status,
        Change {
            scale,
            services,
            recreate: Recreate::None,
            wait_ms,
            ..Change::default()
        },
    )
}

/// Asks for what the file says now.
pub(super) fn apply(
    loaded: &Loaded,
    status: &Status,
    up: &up::Up,
    services: BTreeSet<String>,
) -> Result<Ended, Failure> {
    let project = &loaded.project;
    doctor::preflight(project, &loaded.state)?;
    let asked: BTreeMap<String, u32> = up.scale.iter().cloned().collect();
    let binaries = built::binaries(up, project)?;
    let file = FileNow {
        sources: project
            .sources
            .iter()
            .map(|source| Ok((std::path::absolute(&source.path)?, source.text.clone())))
            .collect::<std::io::Result<_>>()?,
        dir: project.dir.clone(),
        environment: project.variables.clone(),
        binaries,
    };
    let replicas = services.iter().filter_map(|name| {
        let service = project.services.get(name)?;
        Some((name.clone(), service.replicas))
    });
    let scale = replicas.chain(asked).collect();
    send(
        loaded,
        status,
        Change {
            file: Some(file),
            scale,
            anew: up.anew(&services),
            services,
            recreate: up.recreate(),
            ports: Vec::new(),
            wait_ms: up.wait_ms(),
        },
    )
}

/// Sends it with the host's sockets for ports that the lab does not publish yet.
fn send(loaded: &Loaded, status: &Status, mut change: Change) -> Result<Ended, Failure> {
    let project = &loaded.project;
    let is_published = |port: &&Port| {
        status
            .published
            .iter()
            .any(|other| (other.host_ip, other.host_port) == (port.host_ip, port.host_port))
    };
    let come = change
        .scale
        .iter()
        .filter(|(_, count)| **count > 0)
        .filter_map(|(name, _)| project.services.get(name))
        .flat_map(|service| &service.ports);
    let ports: Vec<&Port> = come.filter(|port| !is_published(port)).collect();
    let sockets = listen::listen_on(project, &ports)
        .map_err(|found| Failure::new(Code::Environment, diagnostics(&found)))?;
    change.ports = sockets.iter().map(|(on, _)| *on).collect();
    let names: Vec<String> = change
        .scale
        .iter()
        .map(|(service, count)| format!("{service}-{count}"))
        .collect();
    let fds: Vec<BorrowedFd<'_>> = sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
    let request = Request::Change(Box::new(change));
    let _parting = Parting::with(GOES_ON)?;
    ask(&loaded.state, request, &fds, &names, &mut |_, _| false)
}
