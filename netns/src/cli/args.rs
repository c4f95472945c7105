//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};

use super::{
    completion, config, cp, doctor, down, events, exec, kill, logs, ls, pause, port, project, ps,
    restart, run, scale as scaling, secret, start, stats, stop, top, up, version, wait,
};

const EXAMPLES: &str = "\
Examples:
  netns-setup                       bring it up, show the logs; Ctrl-C: down
  netns-setup up -d                 in the background, once all is healthy
  netns-setup up -d --scale product-service=3
  netns-setup ps                    what runs, where, since when
  netns-setup logs -f order-service follow one service's log
  netns-setup exec postgres psql -U postgres
  netns-setup stats                 what each instance uses
  netns-setup secret admin-token    the token for changes to the catalogue
  netns-setup scale product-service=3
  netns-setup restart order-service
  netns-setup down                  stop everything; volumes stay
  netns-setup down --volumes        ... and forget data and logs

Exit codes:
  0 done   1 failed   2 wrong usage   64 the Compose file is wrong
  69 the machine lacks something, or a port is taken (see `doctor`)
  130 interrupted
  exec, run: the exit code of the program; 126: it cannot be executed,
  127: there is no such program; wait: that of the last that ended";

/// Under which heading `--help` lists what every command takes.
const GLOBAL: &str = "Options of every command";

/// Runs a Compose file on Linux kernel primitives, without Docker and without root.
///
/// Without a command: `up`.
#[derive(Debug, Parser)]
#[command(name = "netns-setup", version, after_help = EXAMPLES, max_term_width = 80)]
pub(super) struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Global {
    /// Compose file, - for standard input; may be given again, later ones override [default: those of COMPOSE_FILE, else compose.yaml or docker-compose.yml here or above, and compose.override.yaml beside it]
    #[arg(short, long = "file", value_name = "FILE", action = ArgAction::Append, help_heading = GLOBAL)]
    pub files: Vec<PathBuf>,
    /// Name that keeps two labs apart [default: COMPOSE_PROJECT_NAME, else the file's `name`, else the folder's]
    #[arg(
        short,
        long,
        value_name = "NAME",
        global = true,
        help_heading = GLOBAL,
        value_parser = project::name
    )]
    pub project_name: Option<String>,
    /// File with variables, in place of `.env`; may be given again, later ones override
    #[arg(long, value_name = "FILE", action = ArgAction::Append, global = true, help_heading = GLOBAL)]
    pub env_file: Vec<PathBuf>,
    /// Turn services with this profile on; may be given again
    #[arg(long, value_name = "NAME", action = ArgAction::Append, global = true, help_heading = GLOBAL)]
    pub profile: Vec<String>,
    /// Folder for volumes, logs and control sockets [default: /var/lib/netns-setup as root, else ~/.local/state/netns-setup]
    #[arg(long, value_name = "FOLDER", global = true, help_heading = GLOBAL, env = crate::lab::state::STATE_DIR_VARIABLE, hide_env_values = true)]
    pub state_dir: Option<PathBuf>,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Build, start everything, wait until it is healthy
    Up(up::Up),
    /// Stop everything, dependents first
    Down(down::Down),
    /// Run more or fewer instances of services
    Scale(scaling::Scale),
    /// Stop services; they stay so until they are started
    Stop(stop::Stop),
    /// Start what was stopped, dependencies first
    Start(start::Start),
    /// Stop services and start them again
    Restart(restart::Restart),
    /// Send a signal to services
    Kill(kill::Kill),
    /// Halt services where they are
    Pause(pause::Pause),
    /// Let services go on that were paused
    Unpause(pause::Unpause),
    /// Wait until services have ended
    Wait(wait::Wait),
    /// Show what runs
    Ps(ps::Ps),
    /// Show what the instances have written
    Logs(logs::Logs),
    /// Run a program inside an instance's sandbox
    Exec(exec::Exec),
    /// Run a one-off instance of a service
    Run(run::Run),
    /// Copy files into and out of a sandbox
    Cp(cp::Cp),
    /// Show the processes of each instance
    Top(top::Top),
    /// Show what each instance uses: processor, memory, network
    Stats(stats::Stats),
    /// Show what happens, as it happens
    Events(events::Events),
    /// Print where on this machine a service's port answers
    Port(port::Port),
    /// List this user's labs
    Ls(ls::Ls),
    /// Check the Compose file and print it as understood
    Config(config::Config),
    /// Say what this machine lacks, and install it
    Doctor(doctor::Doctor),
    /// Print a secret, such as admin-token
    Secret(secret::Secret),
    /// Print this program's version
    Version(version::Version),
    /// Print a script that completes words in a shell
    Completion(completion::Completion),
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
    fn every_help_has_examples_and_fits_80_columns() {
        let mut cli = Cli::command();
        cli.build();
        let top = cli.render_long_help().to_string();
        for code in [
            "0 done", "1 failed", "2 wrong", "64 ", "69 ", "126", "127", "130",
        ] {
            assert!(top.contains(code), "exit code {code} is not documented");
        }
        let mut helps = vec![("netns-setup".to_owned(), top)];
        for command in cli
            .get_subcommands_mut()
            .filter(|command| command.get_name() != "help")
        {
            // clap folds what is longer, in the middle of our own lines.
            let own = command.get_after_help().map(ToString::to_string);
            for line in own.unwrap_or_default().lines() {
                assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
            }
            let help = command.render_long_help().to_string();
            helps.push((command.get_name().to_owned(), help));
        }
        for (name, help) in helps {
            assert!(help.contains("Examples:"), "{name}: no examples");
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{name}: {line}");
            }
        }
    }

    #[test]
    fn help_is_a_verb_too() {
        for words in [&["help"][..], &["help", "up"]] {
            let all = std::iter::once("netns-setup").chain(words.iter().copied());
            let shown = Cli::try_parse_from(all).unwrap_err();
            assert_eq!(shown.kind(), clap::error::ErrorKind::DisplayHelp);
            assert!(shown.to_string().contains("Examples:"), "{words:?}");
        }
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
    fn what_follows_the_service_of_run_is_the_programs() {
        let cli = Cli::try_parse_from(["netns-setup", "run", "--rm", "web", "-h", "db", "-p", "1"])
            .unwrap();
        let Some(Command::Run(run)) = cli.command else {
            panic!("{cli:?}")
        };
        assert!(run.rm);
        assert_eq!(run.words, ["web", "-h", "db", "-p", "1"]);
    }

    #[test]
    fn scale_wants_a_service_and_a_number() {
        assert_eq!(scale("a=3"), Ok(("a".to_owned(), 3)));
        assert!(scale("a").is_err() && scale("a=x").is_err() && scale("a=-1").is_err());
    }
}
