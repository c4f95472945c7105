//! `completion`: a script that teaches a shell the verbs and flags, and the names in the lab that is up.

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
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shells_script_knows_the_verbs() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell);
            assert!(
                script.contains("stats") && script.contains("no-stream"),
                "{shell}"
            );
        }
    }
}
