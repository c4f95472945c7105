//! The raw way, end to end: a lab of its own is brought up from the real Compose file, beside whatever else runs, and tried
//! from outside and inside.
//!
//! Not a set of independent tests but one story after another, since a lab is brought up once and looked at from many sides:
//! hence no libtest harness. Run by root they are told twice, the second time by an ordinary user. They touch nothing of the host;
//! that nothing is left on it is part of what they check.

#![expect(clippy::print_stdout, reason = "it prints what a test harness prints")]

mod backup;
mod codes;
mod confinement;
mod copying;
mod cycles;
mod delegation;
mod dial;
mod examples;
mod faults;
mod following;
mod foreign;
mod groups;
mod holdings;
mod instance;
mod kills;
mod leaving;
mod lifecycle;
mod limits;
mod looking;
mod machine;
mod manual;
mod names;
mod neighbours;
mod outages;
mod playhost;
mod policy;
mod probe;
mod refusals;
mod residue;
mod robustness;
mod rotation;
mod sandbox;
mod scaling;
mod setting;
mod shop;
mod starting;
mod steps;
mod tables;
mod terminal;
mod uplink;
mod watching;

use std::process::ExitCode;

use setting::Setting;
use steps::Steps;

/// A story: told from its beginning to its end in labs of its own.
#[derive(Clone, Copy)]
enum Story {
    Refusals,
    Codes,
    Names,
    Doctor,
    Examples,
    Foreign,
    Faults,
    Following,
    Leaving,
    Limits,
    Starting,
    Looking,
    Residue,
    Lifecycle,
    Robustness,
    Cycles,
    Shop,
    Backup,
    Rotation,
    Uplink,
    Neighbours,
    Confinement,
    Manual,
}

/// Every story with the name that `cargo test --test lab FILTER` chooses it by, in the order of telling.
const STORIES: &[(&str, Story)] = &[
    ("refusals", Story::Refusals),
    ("codes", Story::Codes),
    ("names", Story::Names),
    ("doctor", Story::Doctor),
    ("examples", Story::Examples),
    ("foreign", Story::Foreign),
    ("faults", Story::Faults),
    ("following", Story::Following),
    ("leaving", Story::Leaving),
    ("limits", Story::Limits),
    ("starting", Story::Starting),
    ("looking", Story::Looking),
    ("residue", Story::Residue),
    ("lifecycle", Story::Lifecycle),
    ("robustness", Story::Robustness),
    ("cycles", Story::Cycles),
    ("shop", Story::Shop),
    ("backup", Story::Backup),
    ("rotation", Story::Rotation),
    ("uplink", Story::Uplink),
    ("neighbours", Story::Neighbours),
    ("confinement", Story::Confinement),
    ("manual", Story::Manual),
];

impl Story {
    async fn tell(self, steps: &mut Steps, setting: &Setting) {
        match self {
            Self::Refusals => refusals::tell(steps, setting).await,
            Self::Codes => codes::tell(steps, setting).await,
            Self::Names => names::tell(steps, setting).await,
            Self::Doctor => machine::tell(steps, setting).await,
            Self::Examples => examples::tell(steps, setting).await,
            Self::Foreign => foreign::tell(steps, setting).await,
            Self::Faults => faults::tell(steps, setting).await,
            Self::Following => following::tell(steps, setting).await,
            Self::Leaving => leaving::tell(steps, setting).await,
            Self::Limits => limits::tell(steps, setting).await,
            Self::Starting => starting::tell(steps, setting).await,
            Self::Looking => looking::tell(steps, setting).await,
            Self::Residue => kills::tell(steps, setting).await,
            Self::Lifecycle => lifecycle::tell(steps, setting).await,
            Self::Robustness => robustness::tell(steps, setting).await,
            Self::Cycles => cycles::tell(steps, setting).await,
            Self::Shop => shop::tell(steps, setting).await,
            Self::Backup => backup::tell(steps, setting).await,
            Self::Rotation => rotation::tell(steps, setting).await,
            Self::Uplink => uplink::tell(steps, setting).await,
            Self::Neighbours => neighbours::tell(steps, setting).await,
            Self::Confinement => confinement::tell(steps, setting).await,
            Self::Manual => manual::tell(steps, setting).await,
        }
    }
}

fn main() -> ExitCode {
    if let Some(targets) = std::env::var_os(dial::VARIABLE) {
        return dial::main(&targets.to_string_lossy());
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((first, rest)) if first == probe::ARGUMENT => return probe::main(rest),
        Some((first, rest)) if first == probe::caller::ARGUMENT => {
            return probe::caller::main(rest);
        }
        _ => {}
    }
    if arguments.iter().any(|argument| argument == "--list") {
        for (name, _) in STORIES {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let chosen: Vec<Story> = STORIES
        .iter()
        .filter(|(name, _)| {
            filters.is_empty() || filters.iter().any(|filter| name.contains(filter))
        })
        .map(|(_, story)| *story)
        .collect();
    let is_root = nix::unistd::Uid::effective().is_root();
    let mut steps = Steps::begin(if is_root { "root" } else { "user" });
    if !chosen.is_empty() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        runtime
            .expect("a runtime starts")
            .block_on(tell(&chosen, &filters, &mut steps));
    }
    steps.end()
}

async fn tell(chosen: &[Story], filters: &[&str], steps: &mut Steps) {
    let setting = match Setting::find() {
        Ok(setting) => setting,
        Err(error) => return steps.fail("the programs are there", &error),
    };
    for story in chosen {
        story.tell(steps, &setting).await;
    }
    if setting.is_root() {
        match setting.for_ordinary_user() {
            Ok(mut retelling) => {
                retelling.args(filters);
                steps.retell(retelling);
            }
            Err(error) => steps.fail("the stories are told again by an ordinary user", &error),
        }
    }
}
