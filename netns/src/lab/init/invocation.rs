//! What is run: program, variables and working directory, of an instance and of what is run beside it. Pure.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::machine::Machine;
use super::official;
use crate::compose::{Healthcheck, Run, Server, Service};
use crate::kernel::cgroup::Membership;
use crate::kernel::sandbox::{ExecSpec, ProcessLimits, SandboxSpec};
use crate::lab::SANDBOX_PATH;
use crate::lab::protocol::Exec;
use crate::plan::Instance;

/// The program that asks the instance for its health.
#[must_use]
pub(super) fn health_check(sandbox: &SandboxSpec, check: &Healthcheck) -> ExecSpec {
    let exec = Exec {
        argv: check.test.clone(),
        ..Exec::default()
    };
    program(sandbox, exec)
}

/// A further program in the instance's sandbox.
#[must_use]
pub(super) fn program(sandbox: &SandboxSpec, exec: Exec) -> ExecSpec {
    let mut env = sandbox.env.clone();
    env.extend(exec.env);
    ExecSpec {
        name: sandbox.name.clone(),
        argv: exec.argv,
        env,
        cwd: exec.cwd.unwrap_or_else(|| sandbox.cwd.clone()),
        limits: sandbox.limits,
        group: sandbox.group.clone(),
        terminal: exec.terminal,
    }
}

/// A program of the machine in the network namespace `name`.
#[must_use]
pub(super) fn visitor(name: &str, exec: Exec) -> ExecSpec {
    let mut env = BTreeMap::from([
        ("PATH".to_owned(), SANDBOX_PATH.to_owned()),
        ("HOME".to_owned(), "/".to_owned()),
    ]);
    env.extend(exec.env);
    ExecSpec {
        name: name.to_owned(),
        argv: exec.argv,
        env,
        cwd: exec.cwd.unwrap_or_else(|| PathBuf::from("/")),
        limits: ProcessLimits::default(),
        group: Membership::default(),
        terminal: exec.terminal,
    }
}

/// Has the service run something else, as `docker run` does: an entrypoint replaces the command too, a command only itself.
pub(super) fn override_program(
    service: &mut Service,
    entrypoint: Option<Vec<String>>,
    command: Vec<String>,
) {
    if let Some(entrypoint) = entrypoint {
        service.entrypoint = Some(entrypoint);
        service.command = None;
    }
    if !command.is_empty() {
        service.command = Some(command);
    }
    let (entrypoint, command) = (&service.entrypoint, &service.command);
    if let Run::Exec { argv } = &mut service.run
        && (entrypoint.is_some() || command.is_some())
    {
        let words = entrypoint.iter().chain(command).flatten();
        *argv = words.cloned().collect();
    }
}

/// Entrypoint and command, with those of the image it stands for where the file is silent.
pub(super) fn argv(service: &Service) -> Vec<String> {
    match &service.run {
        Run::Exec { argv } => argv.clone(),
        Run::Server(server) => official::argv(*server, service),
        Run::Cargo { package } => {
            let binary = vec![format!("/app/{package}")];
            let entrypoint = service.entrypoint.as_ref().unwrap_or(&binary);
            [
                entrypoint.as_slice(),
                service.command.as_deref().unwrap_or_default(),
            ]
            .concat()
        }
    }
}

pub(super) fn environment(
    service: &Service,
    instance: &Instance,
    machine: &Machine<'_>,
) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::from([
        ("PATH".to_owned(), SANDBOX_PATH.to_owned()),
        ("HOME".to_owned(), "/tmp".to_owned()),
        ("HOSTNAME".to_owned(), instance.hostname.clone()),
    ]);
    if service.run == Run::Server(Server::Postgres) {
        environment.insert("PGDATA".to_owned(), "/var/lib/postgresql/data".to_owned());
        if let Some(programs) = &machine.postgres_programs {
            environment.insert(
                "PATH".to_owned(),
                format!("{}:{SANDBOX_PATH}", programs.display()),
            );
        }
    }
    environment.extend(service.environment.clone());
    environment
}

pub(super) fn working_folder(service: &Service) -> PathBuf {
    let default = if service.run == Run::Server(Server::Redis) {
        "/data"
    } else {
        "/"
    };
    service
        .working_dir
        .clone()
        .unwrap_or_else(|| PathBuf::from(default))
}
