//! What stands here for what Docker Compose has and this program has not: said below the refusal of a word.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The line of help for a command line that was refused; `None`: Compose does not have it either.
pub(super) fn instead(error: &clap::Error) -> Option<&'static str> {
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => verb(word(ContextKind::InvalidSubcommand)?),
        ErrorKind::UnknownArgument => option(word(ContextKind::InvalidArg)?),
        _ => None,
    }
}

fn verb(verb: &str) -> Option<&'static str> {
    Some(match verb {
        "build" | "create" | "watch" => {
            "`up` builds and starts; on a lab that runs, what has changed"
        }
        "pull" | "push" | "images" | "commit" | "export" => {
            "images are not run here: `config --images` names them"
        }
        "rm" => "`down` removes everything, `scale SERVICE=0` one service",
        "pause" | "unpause" => "`stop` and `start`, or `kill -s STOP` and `kill -s CONT`",
        "attach" => "`logs -f` shows what it writes, `exec` runs a program beside it",
        "volumes" => "`config --volumes` names them, `down` says where they are",
        _ => return None,
    })
}

fn option(option: &str) -> Option<&'static str> {
    let (name, _) = option.split_once('=').unwrap_or((option, ""));
    Some(match name {
        "-u" | "--user" => {
            "a sandbox has one user, and no root; `exec --privileged` runs the machine's programs in its network"
        }
        "--since" | "--until" | "-t" | "--timestamps" => {
            "logs are what the programs wrote, without times: `-n LINES` shows the last; `events --since` tells when what happened"
        }
        "--pull" | "--quiet-pull" | "--rmi" | "--platform" => {
            "images are not run here: there are none to pull or to remove"
        }
        "--dry-run" => "`config --format plan` prints every step that `up` takes",
        "--no-start" => "`up --until STEP` builds the network, and starts nothing",
        "--abort-on-container-exit" | "--abort-on-container-failure" | "--exit-code-from" => {
            "`up -d`, then `wait SERVICE`, whose exit code is the service's"
        }
        "--attach" | "--no-attach" | "--attach-dependencies" | "--no-log-prefix" => {
            "`up -d`, then `logs -f SERVICE`"
        }
        "-P" | "--service-ports" | "--publish" => {
            "a one-off publishes no port: the services' own are published"
        }
        "--volume" => "write the volume into the Compose file",
        "--project-directory" => "paths are relative to the folder of the first Compose file",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::args::Cli;
    use super::*;

    #[test]
    fn words_of_compose_lead_to_ours() {
        let said = |line: &str| {
            let words = std::iter::once("netns-setup").chain(line.split(' '));
            instead(&Cli::try_parse_from(words).unwrap_err())
        };
        assert!(said("pull").unwrap().contains("config --images"));
        assert!(
            said("exec -u root web id")
                .unwrap()
                .contains("--privileged")
        );
        assert!(said("logs --since=5m web").unwrap().contains("events"));
        assert_eq!((said("pulll"), said("up --nonsense")), (None, None));
    }
}
