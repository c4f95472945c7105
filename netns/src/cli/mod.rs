//! The command line: reads it, does what it asks, says how it went.

mod amount;
mod args;
mod built;
mod change;
mod completion;
mod config;
mod cp;
mod doctor;
mod down;
mod elsewhere;
mod events;
mod exec;
mod failure;
mod files;
mod held_back;
mod inside;
mod kill;
mod logs;
mod ls;
mod moment;
mod output;
mod pack;
#[cfg(test)]
mod pages;
mod parting;
mod pause;
mod port;
mod progress;
mod project;
mod ps;
mod pty;
mod reader;
mod remarks;
mod restart;
mod run;
mod scale;
mod secret;
mod start;
mod stats;
mod steer;
mod stop;
mod stranger;
mod streams;
mod summary;
mod terminal;
mod top;
mod turn;
mod unpack;
mod until;
mod up;
mod uplink;
mod version;
mod wait;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use failure::{Code, Failure};

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
    completion::intercept();
    let cli = Cli::try_parse().unwrap_or_else(|mut error| {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let instead = elsewhere::instead(&error, &words);
        if instead.is_some() {
            elsewhere::without_guesses(&mut error);
        }
        let printed = error.print();
        // What is no complaint, as help, is an answer.
        if let (Err(failed), false) = (printed, error.use_stderr()) {
            if failed.kind() == std::io::ErrorKind::BrokenPipe {
                reader::leave();
            }
            terminal::complain(&format!("error: {}", terminal::unprinted(&failed)));
            std::process::exit(i32::from(Code::Failed as u8));
        }
        if let Some(instead) = instead {
            terminal::complain(&format!(" = help: {instead}"));
        }
        std::process::exit(error.exit_code())
    });
    match dispatch(&cli) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            if !failure.message.is_empty() {
                terminal::complain(failure.message.trim_end());
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
        Some(Command::Scale(scale)) => scale::run(global, scale),
        Some(Command::Stop(stop)) => stop::run(global, stop),
        Some(Command::Start(start)) => start::run(global, start),
        Some(Command::Restart(restart)) => restart::run(global, restart),
        Some(Command::Kill(kill)) => kill::run(global, kill),
        Some(Command::Pause(pause)) => pause::pause(global, pause),
        Some(Command::Unpause(unpause)) => pause::unpause(global, unpause),
        Some(Command::Wait(wait)) => wait::run(global, wait),
        Some(Command::Ps(form)) => ps::run(global, form),
        Some(Command::Logs(logs)) => logs::run(global, logs),
        Some(Command::Run(run)) => run::run(global, run),
        Some(Command::Exec(exec)) => exec::run(global, exec),
        Some(Command::Cp(cp)) => cp::run(global, cp),
        Some(Command::Top(top)) => top::run(global, top),
        Some(Command::Stats(stats)) => stats::run(global, stats),
        Some(Command::Events(events)) => events::run(global, events),
        Some(Command::Port(port)) => port::run(global, port),
        Some(Command::Ls(ls)) => ls::run(global, ls),
        Some(Command::Version(version)) => version::run(version),
        Some(Command::Completion(completion)) => completion::run(completion),
        Some(Command::Config(config)) => config::run(global, config),
        Some(Command::Doctor(doctor)) => doctor::run(global, doctor),
        Some(Command::Secret(secret)) => secret::run(global, secret),
    }
}
