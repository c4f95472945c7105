//! What stands here for what Docker Compose has and this program has not: said below the refusal of a word.

mod options;
#[cfg(test)]
mod reference;

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::args::Cli;
use options::option;

/// Takes clap's guesses, and the usage it makes up of them, out of a refusal: it knows this program's words, not what people mean by
/// Compose's.
pub(super) fn without_guesses(error: &mut clap::Error) {
    for guess in [
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedArg,
        ContextKind::SuggestedValue,
        ContextKind::Suggested,
        ContextKind::Usage,
    ] {
        error.remove(guess);
    }
}

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
        ErrorKind::UnknownArgument => {
            option(asked.unwrap_or_default(), word(ContextKind::InvalidArg)?)
        }
        ErrorKind::InvalidValue => {
            let is_form = word(ContextKind::InvalidArg)?.starts_with("--format");
            (is_form && asked != Some("config"))
                .then_some("--format is table or json; of JSON, jq chooses fields")
        }
        ErrorKind::TooManyValues => word(ContextKind::InvalidArg)?
            .starts_with("--orphans")
            .then_some("what the file has no more is listed until `up` removes it"),
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
        "pull" | "push" | "publish" | "images" | "commit" | "export" => {
            "images are not run here: `config --images` names them"
        }
        "rm" => "`down` removes everything, `scale SERVICE=0` one service",
        "attach" => "`logs -f` shows what it writes, `exec` runs a program beside it",
        "convert" => "`config`, by its old name",
        "bridge" => "`config --format swarm` prints the file for a Swarm",
        "alpha" => "what Compose only tries out is not here",
        "volumes" => "`config --volumes` names them, `down` says where they are",
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
        assert!(said("up -d -t 3").unwrap().contains("stop_grace_period"));
        assert!(said("run -p 80:80 web true").unwrap().contains("port"));
        for (line, words) in [
            ("ps --format {{.Name}}", "jq"),
            ("run -d web", "&"),
            ("ps --orphans=false", "`up` removes"),
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
