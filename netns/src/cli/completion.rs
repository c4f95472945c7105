//! `completion`: a script that teaches a shell the verbs and flags.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::args::Cli;
use super::failure::Failure;
use super::terminal::out;

/// `completion`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup completion bash > /etc/bash_completion.d/netns-setup
  netns-setup completion zsh > ~/.zfunc/_netns-setup
  netns-setup completion fish > ~/.config/fish/completions/netns-setup.fish
  source <(netns-setup completion bash)          in this shell only")]
pub(super) struct Completion {
    /// Which shell
    #[arg(value_parser = clap::value_parser!(Shell))]
    pub shell: Shell,
}

pub(super) fn run(completion: &Completion) -> Result<u8, Failure> {
    out(&script(completion.shell))?;
    Ok(0)
}

fn script(shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "netns-setup", &mut text);
    let text = String::from_utf8_lossy(&text);
    match shell {
        // clap_complete 4.6 calls a verb by one name where it is recognised and by another where its flags are, if there is a
        // hyphen in the program's: nothing would be completed behind a verb.
        Shell::Bash => text.replace("netns__subcmd__setup", "netns__setup"),
        _ => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::process::Command;

    use super::*;

    #[test]
    fn every_shells_script_knows_the_verbs() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell);
            assert!(
                script.contains("stats") && script.contains("no-stream"),
                "{shell}"
            );
            assert!(!script.contains("sandbox-init"), "{shell}");
        }
    }

    /// What bash offers for the last of these words, by the script's own function.
    fn offered(words: &[&str]) -> BTreeSet<String> {
        let typed = words.join(" ");
        let call = format!(
            "COMP_WORDS=({typed}{}); COMP_CWORD={}; function=$(complete -p netns-setup | sed 's/.* -F //; s/ .*//'); $function netns-setup \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            if words.last() == Some(&"") { " ''" } else { "" },
            words.len() - 1,
        );
        let text = format!("set -e\n{}\n{call}\n", script(Shell::Bash));
        let run = |options: &[&str]| {
            let mut bash = Command::new("bash");
            bash.args(["--norc", "--noprofile"]).args(options);
            let output = bash.args(["-c", &text]).output().expect("bash is there");
            assert!(output.status.success(), "{options:?}: {output:?}");
            String::from_utf8(output.stdout).expect("it prints text")
        };
        run(&["-n"]);
        run(&[]).lines().map(str::to_owned).collect()
    }

    #[test]
    fn bash_completes_what_there_is_and_nothing_hidden() {
        let some = |words: &[&str]| words.iter().copied().map(str::to_owned).collect();
        let st: BTreeSet<String> = some(&["start", "stats", "stop"]);
        assert_eq!(offered(&["netns-setup", "st"]), st);
        let verbs: BTreeSet<String> = offered(&["netns-setup", ""])
            .into_iter()
            .filter(|word| !word.starts_with('-'))
            .collect();
        let mut cli = Cli::command();
        cli.build();
        let shown = cli.get_subcommands().filter(|verb| !verb.is_hide_set());
        let shown: BTreeSet<String> = shown.map(|verb| verb.get_name().to_owned()).collect();
        assert_eq!(verbs, shown);
        let follow = offered(&["netns-setup", "logs", "--fo"]);
        assert_eq!(follow, some(&["--follow"]));
    }
}
