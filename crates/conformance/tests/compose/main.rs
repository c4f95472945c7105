//! The Compose way, end to end: `docker compose up` on a real engine, tried from outside and inside.
//!
//! One story after another, since a stack is brought up once and looked at from many sides: hence no libtest harness. Every
//! stack has a project name, ports and subnets of its own, so that it stands beside whatever else the engine runs, and nothing of
//! it stays but the images.
//!
//! `cargo test -p conformance --test compose -- shop` tells one story. Where no engine answers all are skipped, by name, unless
//! `REQUIRE_DOCKER` is set; `TAG` names images that are there and are tried instead of new ones.

#![expect(clippy::print_stdout, reason = "it prints what a test harness prints")]

mod backup;
#[expect(
    dead_code,
    reason = "customers of a Swarm turn to other hosts; here is one"
)]
#[path = "../shared/customers.rs"]
mod customers;
mod docker;
mod documented;
mod egress;
mod engine;
mod flat;
mod hardening;
#[path = "../shared/held.rs"]
mod held;
mod images;
#[path = "../shared/instead.rs"]
mod instead;
mod leftovers;
#[path = "../shared/members.rs"]
mod members;
mod old;
mod preflight;
mod promises;
mod reach;
#[path = "../shared/renewal.rs"]
mod renewal;
mod restarts;
mod rotation;
#[path = "../shared/rows.rs"]
mod rows;
mod secrets;
mod shop;
mod shopper;
mod stack;
mod start_order;
mod unfit;
#[path = "../shared/untagged.rs"]
mod untagged;

use std::process::ExitCode;

use engine::Engine;
use test_support::Steps;

/// A story: told from its beginning to its end in stacks of its own.
#[derive(Clone, Copy)]
enum Story {
    Images,
    Shop,
    Backup,
    Flat,
    Old,
}

/// Every story with the name that a filter chooses it by, in the order of telling.
const STORIES: &[(&str, Story)] = &[
    ("images", Story::Images),
    ("shop", Story::Shop),
    ("backup", Story::Backup),
    ("flat", Story::Flat),
    ("old", Story::Old),
];

impl Story {
    async fn tell(self, steps: &mut Steps, engine: &Engine) {
        match self {
            Self::Images => images::tell(steps, engine).await,
            Self::Shop => shop::tell(steps, engine).await,
            Self::Backup => backup::tell(steps, engine).await,
            Self::Flat => flat::tell(steps, engine).await,
            Self::Old => old::tell(steps, engine).await,
        }
    }
}

fn main() -> ExitCode {
    if std::env::var_os(egress::VARIABLE).is_some() {
        return egress::main();
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        for (name, _) in STORIES {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let chosen = |name: &str| {
        filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()))
    };
    let chosen: Vec<_> = STORIES.iter().filter(|(name, _)| chosen(name)).collect();
    let mut steps = Steps::begin("compose");
    if !chosen.is_empty() {
        // One thread: what it starts dies with it (see `docker`).
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime
            .expect("a runtime starts")
            .block_on(tell(&chosen, &mut steps));
    }
    steps.end()
}

async fn tell(chosen: &[&(&str, Story)], steps: &mut Steps) {
    let engine = match Engine::find().await {
        Ok(engine) => engine,
        Err(why) => {
            for (name, _) in chosen {
                steps.lacks(name, "no Docker engine answers");
            }
            println!("{why:#}\nto try them: sudo sh docker/engine.sh, then make test");
            return;
        }
    };
    steps.figure("engine", &engine.version);
    let made = async {
        leftovers::sweep().await?;
        engine.has_images().await
    };
    if steps.step("the images are there", made).await.is_none() {
        return;
    }
    for (_, story) in chosen {
        story.tell(steps, &engine).await;
    }
}
