//! Entry point.

use std::process::ExitCode;

fn main() -> ExitCode {
    netns_setup::cli::run()
}
