//! Every option of every verb of Docker Compose is here with the same meaning, or what to do instead is said of it.

use clap::{Arg, Command, CommandFactory as _, Parser as _};

use super::instead;
use crate::cli::args::Cli;

/// Verbs with their options, as `docker compose VERB --help` of 2.26 and 2.40 lists them; one before `=` takes a value. Without a
/// verb: the program's. Of verbs that are not here the options do not matter.
const COMPOSE: &[(&str, &str)] = &[
    (
        "",
        "--all-resources --ansi= --compatibility --dry-run --env-file= -f,--file= --parallel= --profile= --progress= --project-directory= -p,--project-name= --no-ansi --verbose -v,--version --workdir=",
    ),
    ("alpha", ""),
    ("attach", ""),
    ("bridge", ""),
    ("build", ""),
    ("commit", ""),
    (
        "config",
        "--environment --format= --hash= --images --lock-image-digests --models --networks --no-consistency --no-env-resolution --no-interpolate --no-normalize --no-path-resolution -o,--output= --profiles -q,--quiet --resolve-image-digests --services --variables --volumes",
    ),
    ("convert", ""),
    ("cp", "--all -a,--archive -L,--follow-link --index="),
    ("create", ""),
    ("down", "--remove-orphans --rmi= -t,--timeout= -v,--volumes"),
    ("events", "--json --since= --until="),
    (
        "exec",
        "-d,--detach -e,--env= --index= -i,--interactive -T,--no-TTY -T,--no-tty --privileged -t,--tty -u,--user= -w,--workdir=",
    ),
    ("export", ""),
    ("images", ""),
    ("kill", "--remove-orphans -s,--signal="),
    (
        "logs",
        "-f,--follow --index= --no-color --no-log-prefix --since= -n,--tail= -t,--timestamps --until=",
    ),
    ("ls", "-a,--all --filter= --format= -q,--quiet"),
    ("pause", ""),
    ("port", "--index= --protocol="),
    (
        "ps",
        "-a,--all --filter= --format= --no-trunc --orphans -q,--quiet --services --status=",
    ),
    ("publish", ""),
    ("pull", ""),
    ("push", ""),
    ("restart", "--no-deps -t,--timeout="),
    ("rm", ""),
    (
        "run",
        "--build --cap-add= --cap-drop= -d,--detach --entrypoint= -e,--env= --env-from-file= -i,--interactive -l,--label= --name= -T,--no-TTY -T,--no-tty --no-deps -p,--publish= --pull= -q,--quiet --quiet-build --quiet-pull --remove-orphans --rm -P,--service-ports -t,--tty --use-aliases -u,--user= -v,--volume= -w,--workdir=",
    ),
    ("scale", "--no-deps"),
    ("start", "--wait --wait-timeout="),
    ("stats", "-a,--all --format= --no-stream --no-trunc"),
    ("stop", "-t,--timeout="),
    ("top", ""),
    ("unpause", ""),
    (
        "up",
        "--abort-on-container-exit --abort-on-container-failure --always-recreate-deps --attach= --attach-dependencies --build -d,--detach --exit-code-from= --force-recreate --menu --no-attach= --no-build --no-color --no-deps --no-log-prefix --no-recreate --no-start --pull= --quiet-build --quiet-pull --remove-orphans -V,--renew-anon-volumes --scale= -t,--timeout= --timestamps --wait --wait-timeout= -w,--watch -y,--yes",
    ),
    ("version", "-f,--format= --short"),
    ("volumes", ""),
    ("wait", "--down-project"),
    ("watch", ""),
];

/// Verbs that the names of services may follow.
const OF_SERVICES: &[&str] = &[
    "build", "config", "create", "down", "events", "images", "kill", "logs", "pause", "port", "ps",
    "pull", "push", "restart", "rm", "run", "start", "stats", "stop", "top", "unpause", "up",
    "wait", "watch",
];

/// The argument of a verb, or of the program, that is written so.
fn known<'c>(verb: &'c Command, form: &str) -> Option<&'c Arg> {
    verb.get_arguments().find(|arg| {
        let long = form.strip_prefix("--");
        let short = form.strip_prefix('-').and_then(|rest| rest.chars().next());
        match long {
            Some(long) => {
                let aliases = arg.get_all_aliases().unwrap_or_default();
                arg.get_long() == Some(long) || aliases.contains(&long)
            }
            None => short.is_some() && arg.get_short() == short,
        }
    })
}

/// What is said when it is typed.
fn hint(verb: &str, form: &str, takes_value: bool) -> Option<&'static str> {
    let mut words: Vec<String> = Vec::new();
    words.extend((!verb.is_empty()).then(|| verb.to_owned()));
    words.push(form.to_owned());
    words.extend(takes_value.then(|| "80:80".to_owned()));
    let all = std::iter::once("netns-setup".to_owned()).chain(words.clone());
    instead(&Cli::try_parse_from(all).err()?, &words)
}

#[test]
fn no_option_of_compose_is_left_without_a_word() {
    let mut cli = Cli::command();
    cli.build();
    let (mut looked, mut wrong) = (0, Vec::new());
    for (verb, options) in COMPOSE {
        let command = match *verb {
            "" => Some(&cli),
            verb => cli.find_subcommand(verb),
        };
        let Some(command) = command else {
            if super::verb(verb).is_none() {
                wrong.push((*verb).to_owned());
            }
            continue;
        };
        for option in options.split_whitespace() {
            let takes_value = option.ends_with('=');
            let forms: Vec<&str> = option.trim_end_matches('=').split(',').collect();
            let arg = known(command, forms[forms.len() - 1]);
            let differs = arg.is_some_and(|arg| arg.get_action().takes_values() != takes_value);
            for form in &forms {
                looked += 1;
                // By its short form the same is meant as by its long one.
                let same = known(command, form).map(Arg::get_id) == arg.map(Arg::get_id);
                let is_there = arg.is_some() && same && !differs;
                if !is_there && hint(verb, form, takes_value).is_none() {
                    wrong.push(format!("{verb} {form}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(looked > 120, "only {looked} were looked at");
}

#[test]
fn a_service_may_be_named_wherever_compose_takes_one() {
    let cli = Cli::command();
    for verb in OF_SERVICES {
        if cli.find_subcommand(verb).is_none() {
            continue; // of which the other test has seen to it that something is said
        }
        let parsed = Cli::try_parse_from(["netns-setup", verb, "web"]);
        let told = hint(verb, "web", false);
        assert!(parsed.is_ok() || told.is_some(), "{verb} web");
    }
}

#[test]
fn our_word_stands_alone() {
    for (line, guess) in [
        ("create", "'secret'"),
        ("exec -u root web id", "-- -u"),
        ("run -d web", "-- -d"),
        ("ps --statuses", "--status"),
    ] {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let all = std::iter::once("netns-setup".to_owned()).chain(words.clone());
        let mut error = Cli::try_parse_from(all).unwrap_err();
        let of_clap = error.to_string();
        assert!(of_clap.contains(guess), "{line}: {of_clap}");
        if instead(&error, &words).is_some() {
            super::without_guesses(&mut error);
            let left = error.to_string();
            assert!(
                left.contains("error: ") && !left.contains("Usage"),
                "{left}"
            );
            assert!(!left.contains(guess), "{left}");
        } else {
            assert!(line.starts_with("ps"), "{line}");
        }
    }
}
