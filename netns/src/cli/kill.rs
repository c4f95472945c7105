//! `kill`: a signal to instances' programs.

use clap::Args;
use nix::sys::signal::Signal;

use super::args::Global;
use super::failure::Failure;
use super::steer::steer;
use crate::lab::protocol::Steer;

/// `kill`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
SIGKILL, and the service's own stop signal, stop an instance as `stop` does:
it stays so until it is started. Any other signal is only sent. A program that
is the first process of its sandbox does not get a signal that it has no
handler for (as in Docker), but for SIGKILL and SIGSTOP.

Examples:
  netns-setup kill product-service
  netns-setup kill -s HUP redis")]
pub(super) struct Kill {
    /// Signal to send, by name or number
    #[arg(short, long, value_name = "SIGNAL", default_value = "SIGKILL", value_parser = signal)]
    pub signal: Signal,
    /// Services, or single instances [default: all]
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

pub(super) fn run(global: &Global, kill: &Kill) -> Result<u8, Failure> {
    let signal = kill.signal as i32;
    steer(global, Steer::Kill { signal }, &kill.services, None)
}

/// Parses `SIGHUP`, `HUP`, `hup` or `1`.
fn signal(text: &str) -> Result<Signal, String> {
    let name = text.to_uppercase();
    let known = match name.parse::<i32>() {
        Ok(number) => Signal::try_from(number).ok(),
        Err(_) => name.parse().or_else(|_| format!("SIG{name}").parse()).ok(),
    };
    known.ok_or_else(|| format!("{text:?} is not a signal; `kill -l` of the shell lists them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_with_and_without_sig_and_numbers() {
        for text in ["SIGHUP", "hup", "HUP", "1"] {
            assert_eq!(signal(text), Ok(Signal::SIGHUP));
        }
        assert!(signal("SIGNOTHING").is_err() && signal("99").is_err());
    }
}
