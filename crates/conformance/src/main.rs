//! Checks a running shop against its public contract: `conformance http://localhost:8080`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use conformance::Shop;

/// Checks a running shop against its public contract; exits with 1 when it departs from it.
#[derive(Parser)]
struct Arguments {
    /// The gateway
    #[arg(default_value = "http://localhost:8080")]
    base_url: String,
    /// Tries the admin rules too (`netns-setup secret admin-token` prints it)
    #[arg(long, env = "ADMIN_TOKEN", hide_env_values = true)]
    admin_token: Option<String>,
    /// Prints one JSON document instead of lines
    #[arg(long)]
    json: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match check(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("conformance: {error:#}");
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::print_stdout, reason = "the report is this program's output")]
async fn check(arguments: Arguments) -> Result<bool> {
    let shop = Shop::new(&arguments.base_url, arguments.admin_token)?;
    let report = conformance::run(&shop, |verdict| {
        if !arguments.json {
            println!("{verdict}");
        }
    })
    .await;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{report}");
    }
    Ok(report.failed == 0)
}
