//! `completion`: a script by which a shell asks this program what could stand at the cursor.

use std::ffi::OsString;

use clap::{Args, Command, CommandFactory, FromArgMatches};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::Shells;

use super::args::{Cli, Global};
use super::failure::{Code, Failure};
use super::project;
use super::terminal::out;

/// The shells there is a script for, and what has the program answer one of them.
const SHELLS: [&str; 5] = ["bash", "zsh", "fish", "elvish", "powershell"];
const ASKED_BY: &str = "NETNS_COMPLETE";

/// `completion`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup completion bash > /etc/bash_completion.d/netns-setup
  netns-setup completion zsh > ~/.zfunc/_netns-setup
  netns-setup completion fish > ~/.config/fish/completions/netns-setup.fish
  source <(netns-setup completion bash)          in this shell only

Verbs, options and their values are completed, and the services of the Compose
file. The script calls netns-setup, which is to be on the PATH.")]
pub(super) struct Completion {
    /// Which shell
    #[arg(value_parser = SHELLS)]
    pub shell: String,
}

pub(super) fn run(completion: &Completion) -> Result<u8, Failure> {
    out(&script(&completion.shell)?)?;
    Ok(0)
}

fn script(shell: &str) -> Result<String, Failure> {
    let name = "netns-setup";
    let mut text = Vec::new();
    let builtins = Shells::builtins();
    let completer = builtins.completer(shell);
    let completer = completer.ok_or_else(|| {
        Failure::new(
            Code::Usage,
            format!("error: there is no script for {shell}"),
        ) // clap has seen to it
    })?;
    completer.write_registration(ASKED_BY, name, name, name, &mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// If it is a shell's script that has called this program, answers it and ends.
pub(super) fn intercept() {
    CompleteEnv::with_factory(command).var(ASKED_BY).complete();
}

/// The command line, where services stand with those of the Compose file.
fn command() -> Command {
    Cli::command().mut_subcommands(|verb| {
        verb.mut_args(|arg| {
            let names = arg.get_value_names().unwrap_or_default();
            match names.first().map(clap::builder::Str::as_str) {
                Some("SERVICE" | "TARGET") => arg.add(ArgValueCandidates::new(|| services(""))),
                Some("SERVICE=N") => arg.add(ArgValueCandidates::new(|| services("="))),
                _ => arg,
            }
        })
    })
}

/// The services of the file that the words before the cursor mean; none where it cannot be read.
fn services(suffix: &str) -> Vec<CompletionCandidate> {
    let words = std::env::args_os().skip_while(|word| word != "--").skip(1);
    let services = project::services(&global(words)).unwrap_or_default();
    let services = services.into_iter();
    services
        .map(|name| CompletionCandidate::new(format!("{name}{suffix}")))
        .collect()
}

/// The options of every command among these words, however many others there are.
fn global(words: impl Iterator<Item = OsString>) -> Global {
    let command = Cli::command().ignore_errors(true);
    let found = command.try_get_matches_from(words).ok();
    found
        .and_then(|found| Global::from_arg_matches(&found).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_has_a_script_that_asks_this_program() {
        for shell in SHELLS {
            let script = script(shell).unwrap();
            assert!(
                script.contains(ASKED_BY) && script.contains("netns-setup"),
                "{shell}"
            );
        }
        assert!(script("tcsh").is_err());
    }

    #[test]
    fn options_are_found_among_words_that_are_not_complete() {
        let words = "netns-setup -f a.yaml --project-name shop logs --tail";
        let found = global(words.split(' ').map(OsString::from));
        assert_eq!(found.project_name.as_deref(), Some("shop"));
        assert_eq!(found.files, ["a.yaml"].map(std::path::PathBuf::from));
        assert_eq!(global(std::iter::empty()).project_name, None);
    }
}
