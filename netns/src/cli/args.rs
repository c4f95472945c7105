//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  netns-setup                       bring it up, show the logs; Ctrl-C: down
  netns-setup up -d                 in the background; returns when all is healthy
  netns-setup up -d --scale product-service=3
  netns-setup ps                    what runs, where, since when
  netns-setup logs -f order-service follow one service's log
  netns-setup exec postgres psql -U postgres
  netns-setup secret admin-token    the token for changes to the catalogue
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
    Up(Up),
    /// Stop everything, dependents first
    Down(Down),
    /// Show what runs
    Ps(Json),
    /// Show what the instances have written
    Logs(Logs),
    /// Run a program inside an instance's sandbox
    Exec(Exec),
    /// Check the Compose file and print it as understood
    Config(Config),
    /// Say what this machine lacks, and install it
    Doctor(Doctor),
    /// Print a secret, such as admin-token
    Secret(Secret),
    /// The second half of starting a sandbox; only ever run by the lab itself
    #[command(hide = true)]
    SandboxInit,
}

/// `up`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup up -d --wait-timeout 60
  netns-setup up --scale product-service=3 --scale order-service=2
  HTTP_PORT=8081 GATEWAY_PORT=3002 ADMIN_PORT=3003 netns-setup -p second up -d
                                    a second lab beside the first")]
pub(super) struct Up {
    /// Return when everything is healthy, leaving it running
    #[arg(short, long)]
    pub detach: bool,
    /// Number of instances of a service; may be given again
    #[arg(long, value_name = "SERVICE=N", value_parser = scale)]
    pub scale: Vec<(String, u32)>,
    /// Run what was built before
    #[arg(long)]
    pub no_build: bool,
    /// Run the binaries in this folder; builds nothing
    #[arg(long, value_name = "FOLDER", env = "NETNS_BIN_DIR", hide_env = true)]
    pub bin_dir: Option<PathBuf>,
    /// Cargo profile to build with
    #[arg(
        long,
        value_name = "PROFILE",
        default_value = "release",
        env = "NETNS_BUILD_PROFILE"
    )]
    pub profile: String,
    /// Give up when something is not healthy after so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = seconds)]
    pub wait_timeout: Duration,
}

impl Default for Up {
    fn default() -> Self {
        /// Parses nothing but the defaults (and the environment), so that they are stated once.
        #[derive(Parser)]
        struct Defaults {
            #[command(flatten)]
            up: Up,
        }
        Defaults::parse_from(["up"]).up
    }
}

/// `down`
#[derive(Debug, Clone, Args)]
pub(super) struct Down {
    /// Remove the volumes too: data and secrets are gone
    #[arg(short, long)]
    pub volumes: bool,
}

/// Commands that only choose their form.
#[derive(Debug, Clone, Args)]
pub(super) struct Json {
    /// For scripts
    #[arg(long)]
    pub json: bool,
}

/// `logs`
#[derive(Debug, Clone, Args)]
pub(super) struct Logs {
    /// Go on as more is written, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// Only so many lines of each, from the end
    #[arg(short = 'n', long, value_name = "LINES")]
    pub tail: Option<usize>,
    /// Services or instances [default: all]
    pub services: Vec<String>,
}

/// `exec`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup exec postgres psql -U postgres -c 'select 1'
  netns-setup exec redis redis-server --version
  netns-setup exec product-service-2 cat /etc/hosts
  echo 'select 1' | netns-setup exec postgres psql -U postgres")]
pub(super) struct Exec {
    /// No terminal of its own, even when this is one
    #[arg(short = 'T', long)]
    pub no_tty: bool,
    /// Service (its first instance that runs) or instance
    pub target: String,
    /// Program and arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub argv: Vec<String>,
}

/// `config`
#[derive(Debug, Clone, Args)]
pub(super) struct Config {
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Compose)]
    pub format: Format,
    /// For scripts
    #[arg(long)]
    pub json: bool,
    /// With --format plan: instances of a service; may be given again
    #[arg(long, value_name = "SERVICE=N", value_parser = scale)]
    pub scale: Vec<(String, u32)>,
    /// Print nothing: only check
    #[arg(short, long)]
    pub quiet: bool,
}

/// What `config` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// The services as understood
    Compose,
    /// The steps that build the lab, as `ip`, `sysctl` and `nft` commands
    Plan,
}

/// `doctor`
#[derive(Debug, Clone, Args)]
pub(super) struct Doctor {
    /// Install what is missing (Debian packages; as root or with sudo -n)
    #[arg(long)]
    pub install: bool,
    /// For scripts
    #[arg(long)]
    pub json: bool,
}

/// `secret`
#[derive(Debug, Clone, Args)]
pub(super) struct Secret {
    /// Its name, as in admin-token; without it: the names
    pub name: Option<String>,
}

fn scale(text: &str) -> Result<(String, u32), String> {
    let (service, count) = text
        .split_once('=')
        .ok_or("expected SERVICE=N, as in product-service=3")?;
    let count = count
        .parse()
        .map_err(|_| format!("{count:?} is not a number of instances"))?;
    Ok((service.to_owned(), count))
}

fn seconds(text: &str) -> Result<Duration, String> {
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
