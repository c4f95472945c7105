//! What stands here for what Docker Compose has and this program has not: said below the refusal of a word.

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::args::Cli;

/// The line of help for words that were refused; `None`: Compose does not have them either.
pub(super) fn instead(error: &clap::Error, words: &[String]) -> Option<&'static str> {
    let mut words = words.iter().map(String::as_str);
    let asked = words.find(|word| Cli::command().find_subcommand(word).is_some());
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => verb(word(ContextKind::InvalidSubcommand)?),
        ErrorKind::UnknownArgument => option(asked.unwrap_or("up"), word(ContextKind::InvalidArg)?),
        ErrorKind::InvalidValue => {
            let is_form = word(ContextKind::InvalidArg)?.starts_with("--format");
            (is_form && asked != Some("config"))
                .then_some("--format is table or json; of JSON, jq chooses fields")
        }
        ErrorKind::ValueValidation if asked == Some("run") => {
            let is_name = word(ContextKind::InvalidArg)?.contains("--project-name");
            is_name.then_some("-p is the project's name everywhere; a one-off publishes no port")
        }
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

fn option(verb: &str, option: &str) -> Option<&'static str> {
    let (name, _) = option.split_once('=').unwrap_or((option, ""));
    Some(match (verb, name) {
        ("exec" | "run", "-u" | "--user") => {
            "a sandbox has one user, and no root; `exec --privileged` runs the machine's programs in its network"
        }
        ("logs", "--since" | "--until" | "-t" | "--timestamps") => {
            "logs are what the programs wrote, without times: `-n LINES` shows the last; `events --since` tells when what happened"
        }
        ("ps", "--filter" | "--status" | "--no-trunc" | "--orphans") => {
            "`ps --json` has every field of every instance, to be chosen from by jq"
        }
        ("ls", "--filter") => "`ls --json` has every field of every lab, to be chosen from by jq",
        ("kill", "--remove-orphans") => {
            "nothing is left of services that the file has no more: `up` removes them"
        }
        ("config", "--hash") => "`up` finds by itself what has changed, and starts that anew",
        ("config", "--profiles") => {
            "`profiles:` in the file names them; `--profile NAME config --services` shows who is on"
        }
        ("up", "-t" | "--timeout") => {
            "`stop_grace_period` of a service says how long it may take; `stop`, `restart` and `down` take -t"
        }
        ("up", "--no-color") => "NO_COLOR=1 in the environment does without colours",
        ("up", "--no-start") => "`up --until STEP` builds the network, and starts nothing",
        (
            "up",
            "--abort-on-container-exit" | "--abort-on-container-failure" | "--exit-code-from",
        ) => "`up -d`, then `wait SERVICE`, whose exit code is the service's",
        ("up", "--attach" | "--no-attach" | "--attach-dependencies" | "--no-log-prefix") => {
            "`up -d`, then `logs -f SERVICE`"
        }
        ("run", "-P" | "--service-ports" | "--publish") => {
            "a one-off publishes no port: the services' own are published"
        }
        ("run", "-v" | "--volume") => "write the volume into the Compose file",
        (_, "--pull" | "--quiet-pull" | "--rmi" | "--platform") => {
            "images are not run here: there are none to pull or to remove"
        }
        (_, "--dry-run") => "`config --format plan` prints every step that `up` takes",
        (_, "--project-directory") => "paths are relative to the folder of the first Compose file",
        (_, "--ansi") => "colours are for terminals; NO_COLOR=1 does without there too",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn words_of_compose_lead_to_ours() {
        let said = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let all = std::iter::once("netns-setup".to_owned()).chain(words.clone());
            instead(&Cli::try_parse_from(all).unwrap_err(), &words)
        };
        assert!(said("pull").unwrap().contains("config --images"));
        assert!(
            said("exec -u root web id")
                .unwrap()
                .contains("--privileged")
        );
        assert!(said("logs --since=5m web").unwrap().contains("events"));
        assert!(said("up -d -t 3").unwrap().contains("stop_grace_period"));
        assert!(said("run -p 80:80 web true").unwrap().contains("port"));
        for (line, words) in [
            ("ps --format {{.Name}}", "jq"),
            ("ls --filter name=x", "ls --json"),
            ("kill --remove-orphans web", "`up` removes"),
            ("config --hash *", "starts that anew"),
            ("config --profiles", "--profile NAME"),
        ] {
            assert!(
                said(line).is_some_and(|said| said.contains(words)),
                "{line}"
            );
        }
        assert_eq!(said("config --format xml"), None);
        assert_eq!((said("-p Shop ps"), said("stats -t")), (None, None));
        assert_eq!((said("pulll"), said("up --nonsense")), (None, None));
    }
}
