//! The four Dockerfiles have one builder, to the letter: else each service is compiled by itself, in a cache of its own.

use std::path::Path;

use test_support::SERVICES;

/// Where the stage begins that is each service's own.
const OWN: &str = "FROM ${RUNTIME_IMAGE}";

/// What is tested is what is locked, and what is shipped is what is small.
#[test]
fn what_is_built_is_locked_and_for_distribution() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docker/build.sh");
    let script = std::fs::read_to_string(script).expect("build.sh");
    let mut lines = script.lines();
    let build = lines.find(|line| line.starts_with("cargo "));
    let words: Vec<&str> = build.expect("a build").split(' ').collect();
    assert!(words.starts_with(&["cargo", "build", "--profile", "dist", "--locked"]));
    assert!(!lines.any(|line| line.starts_with("cargo ")), "one build");
}

#[test]
fn the_builder_is_the_same_in_each() {
    let builder_of = |service: &str| {
        let path = format!("../../docker/{service}.Dockerfile");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let text = std::fs::read_to_string(path).expect("a Dockerfile a service");
        let (builder, _) = text.split_once(OWN).expect("a builder, then the rest");
        builder.to_owned()
    };
    let builder = builder_of(SERVICES[0]);
    for service in SERVICES {
        assert_eq!(builder, builder_of(service), "{service}");
    }
    // A cache without a name of ours is shared with whoever mounts one at the same path, and build.sh removes what is not ours.
    let caches: Vec<&str> = builder
        .split("--mount=")
        .filter(|mount| mount.starts_with("type=cache,"))
        .collect();
    assert_eq!(caches.len(), 2, "{builder}");
    for cache in caches {
        assert!(cache.contains(",id=underlay-"), "{cache}");
    }
}
