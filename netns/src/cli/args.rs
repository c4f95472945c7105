//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};

use super::{config, doctor, down, exec, kill, logs, restart, secret, start, stop, up, wait};

const EXAMPLES: &str = "\
Examples:
  netns-setup                       bring it up, show the logs; Ctrl-C: down
  netns-setup up -d                 in the background; returns when all is healthy
  netns-setup up -d --scale product-service=3
  netns-setup ps                    what runs, where, since when
  netns-setup logs -f order-service follow one service's log
  netns-setup exec postgres psql -U postgres
  netns-setup secret admin-token    the token for changes to the catalogue
  netns-setup restart order-service
  netns-setup down                  stop everything; volumes stay
  netns-setup down --volumes        ... and forget the data

Exit codes:
  0 done   1 failed   2 wrong usage   64 the Compose file is wrong
  69 the machine lacks something, or a port is taken (see `doctor`)
  130 interrupted
  exec: the exit code of the program; 126: it cannot be executed,
  127: there is no such program";

/// Runs a Compose file on Linux kernel primitives, without Docker and without root.
///
/// Without a command: `up`.
#[derive(Debug, Parser)]
#[command(name = "netns-setup", version, after_help = EXAMPLES, disable_help_subcommand = true, max_term_width = 80)]
pub(super) struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(super) struct Global {
    /// Compose file; may be given again, later ones override [default: compose.yaml or docker-compose.yml here or above]
    #[arg(short, long = "file", value_name = "FILE", action = ArgAction::Append)]
    pub files: Vec<PathBuf>,
    /// Name that keeps two labs apart [default: the folder's name]
    #[arg(
        short,
        long,
        value_name = "NAME",
        global = true,
        env = "COMPOSE_PROJECT_NAME",
        hide_env = true
    )]
    pub project_name: Option<String>,
    /// Folder for volumes, logs and control sockets [default: /var/lib/netns-setup as root, else ~/.local/state/netns-setup]
    #[arg(long, value_name = "FOLDER", global = true, env = crate::lab::state::STATE_DIR_VARIABLE)]
    pub state_dir: Option<PathBuf>,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Build, start everything, wait until it is healthy
    Up(up::Up),
    /// Stop everything, dependents first
    Down(down::Down),
    /// Stop services; they stay so until they are started
    Stop(stop::Stop),
    /// Start what was stopped, dependencies first
    Start(start::Start),
    /// Stop services and start them again
    Restart(restart::Restart),
    /// Send a signal to services
    Kill(kill::Kill),
    /// Wait until services have ended
    Wait(wait::Wait),
    /// Show what runs
    Ps(Json),
    /// Show what the instances have written
    Logs(logs::Logs),
    /// Run a program inside an instance's sandbox
    Exec(exec::Exec),
    /// Check the Compose file and print it as understood
    Config(config::Config),
    /// Say what this machine lacks, and install it
    Doctor(doctor::Doctor),
    /// Print a secret, such as admin-token
    Secret(secret::Secret),
    /// The second half of starting a sandbox; only ever run by the lab itself
    #[command(hide = true)]
    SandboxInit,
}

/// Commands that only choose their form.
#[derive(Debug, Clone, Args)]
pub(super) struct Json {
    /// For scripts
    #[arg(long)]
    pub json: bool,
}

/// Parses `SERVICE=N`.
///
/// # Errors
/// What was expected.
pub(super) fn scale(text: &str) -> Result<(String, u32), String> {
    let (service, count) = text
        .split_once('=')
        .ok_or("expected SERVICE=N, as in product-service=3")?;
    let count = count
        .parse()
        .map_err(|_| format!("{count:?} is not a number of instances"))?;
    Ok((service.to_owned(), count))
}

/// Parses `KEY` or `KEY=VALUE`.
///
/// # Errors
/// What was expected.
pub(super) fn variable(text: &str) -> Result<(String, Option<String>), String> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (text, None),
    };
    if key.is_empty() {
        return Err("expected KEY=VALUE, as in PGUSER=postgres".to_owned());
    }
    Ok((key.to_owned(), value))
}

/// Parses a number of seconds above 0.
///
/// # Errors
/// What was expected.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| format!("{text:?} is not a number of seconds above 0"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_programs_own_flags_reach_it() {
        let cli = Cli::try_parse_from([
            "netns-setup",
            "exec",
            "-T",
            "postgres",
            "psql",
            "-T",
            "--json",
        ])
        .unwrap();
        let Some(Command::Exec(exec)) = cli.command else {
            panic!("{cli:?}")
        };
        assert!(exec.no_tty);
        assert_eq!(
            (exec.target.as_str(), exec.argv.join(" ").as_str()),
            ("postgres", "psql -T --json")
        );
    }

    #[test]
    fn scale_wants_a_service_and_a_number() {
        assert_eq!(scale("a=3"), Ok(("a".to_owned(), 3)));
        assert!(scale("a").is_err() && scale("a=x").is_err() && scale("a=-1").is_err());
    }
}
