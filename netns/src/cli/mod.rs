//! The command line: reads it, does what it asks, says how it went.

mod args;
mod config;
mod doctor;
mod down;
mod exec;
mod failure;
mod kill;
mod logs;
mod progress;
mod project;
mod ps;
mod pty;
mod restart;
mod secret;
mod start;
mod steer;
mod stop;
mod summary;
mod terminal;
mod until;
mod up;
mod uplink;
mod wait;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use failure::Failure;

/// Runs the program; `main` in all but name.
#[must_use]
pub fn run() -> ExitCode {
    // A sandbox's helper is this same program and has nothing to do with the command line.
    if let Some(code) = crate::kernel::sandbox::intercept() {
        return code;
    }
    // Nor has the guardian of a lab's control groups.
    if let Some(code) = crate::kernel::cgroup::guardian::intercept() {
        return code;
    }
    let cli = Cli::parse();
    match dispatch(&cli) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            if !failure.message.is_empty() {
                terminal::say(failure.message.trim_end());
            }
            ExitCode::from(failure.code)
        }
    }
}

fn dispatch(cli: &Cli) -> Result<u8, Failure> {
    let global = &cli.global;
    match &cli.command {
        None => up::run(global, &up::Up::default()),
        Some(Command::Up(up)) => up::run(global, up),
        Some(Command::Down(down)) => down::run(global, down),
        Some(Command::Stop(stop)) => stop::run(global, stop),
        Some(Command::Start(start)) => start::run(global, start),
        Some(Command::Restart(restart)) => restart::run(global, restart),
        Some(Command::Kill(kill)) => kill::run(global, kill),
        Some(Command::Wait(wait)) => wait::run(global, wait),
        Some(Command::Ps(form)) => ps::run(global, form),
        Some(Command::Logs(logs)) => logs::run(global, logs),
        Some(Command::Exec(exec)) => exec::run(global, exec),
        Some(Command::Config(config)) => config::run(global, config),
        Some(Command::Doctor(doctor)) => doctor::run(doctor),
        Some(Command::Secret(secret)) => secret::run(global, secret),
        Some(Command::SandboxInit) => Err(Failure::new(
            failure::Code::Usage,
            "error: sandbox-init is the lab's own",
        )),
    }
}
