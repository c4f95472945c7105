//! The raw way, end to end: a lab of its own is brought up from the real Compose file, beside whatever else runs, and tried
//! from outside and inside.
//!
//! Not a set of independent tests but one story after another, since a lab is brought up once and looked at from many sides:
//! hence no libtest harness. Run by root it is told twice, the second time by an ordinary user. It touches nothing of the host;
//! that nothing is left on it is part of what it checks.

#![expect(clippy::print_stdout, reason = "it prints what a test harness prints")]

mod dial;
mod faults;
mod instance;
mod outages;
mod policy;
mod refusals;
mod residue;
mod sandbox;
mod setting;
mod shop;
mod steps;

use std::process::ExitCode;

use setting::Setting;
use steps::Steps;

/// What `cargo test -- FILTER` has to be part of for this test to run.
const NAME: &str = "the_raw_lab";

fn main() -> ExitCode {
    if let Some(targets) = std::env::var_os(dial::VARIABLE) {
        return dial::main(&targets.to_string_lossy());
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        println!("{NAME}: test");
        return ExitCode::SUCCESS;
    }
    let mut steps = Steps::begin();
    if arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .all(|filter| NAME.contains(filter.as_str()))
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        runtime
            .expect("a runtime starts")
            .block_on(tell(&mut steps));
    }
    steps.end()
}

async fn tell(steps: &mut Steps) {
    let setting = match Setting::find() {
        Ok(setting) => setting,
        Err(error) => return steps.fail("the programs are there", &error),
    };
    refusals::tell(steps, &setting).await;
    faults::tell(steps, &setting).await;
    shop::tell(steps, &setting).await;
    if setting.is_root() {
        match setting.for_ordinary_user() {
            Ok(story) => steps.retell(story),
            Err(error) => steps.fail("the story is told again by an ordinary user", &error),
        }
    }
}
