//! Keys that mean something else here than on Docker: said, understood in other words, or refused.

use std::collections::BTreeMap;
use std::path::Path;

use super::foreign::{bad, good};
use super::*;

/// The warnings of a service with `key`, as `line:column: what`.
fn warnings(key: &str) -> Vec<String> {
    let project = good(&format!("services:\n  a: {{{key}}}\n"));
    let told = project.warnings.iter().map(|told| {
        assert!(!told.remedy.is_empty());
        format!("{}:{}: {}", told.line, told.column, told.message)
    });
    told.collect()
}

#[test]
fn what_runs_otherwise_than_on_docker_is_said() {
    for (key, says) in [
        ("command: x, cpuset: '0'", "2:19: service `a` has `cpuset`"),
        (
            "command: x, memswap_limit: 1g",
            "2:19: service `a` has `memswap_limit`",
        ),
        ("command: x, init: true", "2:25: init is true"),
        (
            "command: x, user: root",
            "2:25: user is `root`, and nothing",
        ),
        (
            "command: x, user: '0:0'",
            "2:25: user is `0:0`, and nothing",
        ),
        (
            "command: x, user: '1000:1000'",
            "2:25: user is `1000:1000`, and what",
        ),
        ("command: x, user: redis", "2:25: user is `redis`"),
        ("image: redis, user: postgres", "2:27: user is `postgres`"),
        (
            "image: redis, user: 'redis:root'",
            "2:27: user is `redis:root`",
        ),
        (
            "command: x, deploy: {restart_policy: {max_attempts: 3}}",
            "2:45: max_attempts bounds",
        ),
    ] {
        let told = warnings(key);
        assert!(
            told.len() == 1 && told[0].starts_with(says),
            "{key}: {told:?}"
        );
    }
    for key in [
        "command: x, init: false",
        "command: x, user: ''",
        "command: x, user: '65532:65532'",
        "image: redis:8-alpine, user: redis",
        "image: valkey/valkey, user: '999:1000'",
        "image: postgres:17, user: postgres:postgres",
        "image: postgres:17, entrypoint: sh, user: '70'",
        "command: x, deploy: {restart_policy: {condition: any, delay: 5s, window: 1m, max_attempts: 0}}",
        "command: x, volumes: [{type: volume, target: /t, volume: {nocopy: true}}]",
    ] {
        assert_eq!(warnings(key), [""; 0], "{key}");
    }
}

#[test]
fn what_is_said_in_other_words_is_understood() {
    let service = |key: &str| {
        let mut project = good(&format!("services: {{a: {{command: x, {key}}}}}"));
        project.services.remove("a").unwrap()
    };
    for (key, cpus) in [
        ("cpu_quota: 50000", Some(0.5)),
        ("cpu_quota: 50000, cpu_period: 25000", Some(2.0)),
        ("cpu_quota: -1, cpu_period: 25000", None),
        ("cpu_quota: -1, cpus: 0.25", Some(0.25)),
        ("cpu_period: 25000", None),
    ] {
        assert_eq!(service(key).limits.cpus, cpus, "{key}");
    }
    let on_failure = |max_retries| Restart::OnFailure { max_retries };
    for (key, restart) in [
        ("deploy: {restart_policy: {}}", Restart::Always),
        (
            "restart: always, deploy: {restart_policy: {condition: none}}",
            Restart::No,
        ),
        (
            "restart: 'no', deploy: {restart_policy: {condition: any}}",
            Restart::Always,
        ),
        (
            "deploy: {restart_policy: {condition: on-failure, max_attempts: 3}}",
            on_failure(Some(3)),
        ),
        (
            "deploy: {restart_policy: {condition: on-failure, max_attempts: 0}}",
            on_failure(None),
        ),
        (
            "restart: unless-stopped, deploy: {restart_policy: }",
            Restart::UnlessStopped,
        ),
    ] {
        assert_eq!(service(key).restart, restart, "{key}");
    }
    for (key, says) in [
        ("cpus: 1, cpu_quota: 5000", "limited twice"),
        (
            "deploy: {resources: {limits: {cpus: 1}}}, cpu_quota: 5000",
            "limited twice",
        ),
        ("cpu_quota: 999", "cpu_quota is `999`"),
        ("cpu_period: 50ms", "cpu_period is `50ms`"),
        (
            "deploy: {restart_policy: {condition: always}}",
            "write none, on-failure or any",
        ),
    ] {
        let found = bad(&format!("services: {{a: {{command: x, {key}}}}}"));
        assert!(found.len() == 1 && found[0].contains(says), "{found:?}");
    }
}

#[test]
fn a_volume_that_would_be_an_empty_folder_is_refused() {
    for (options, remedy) in [
        (
            "{type: none, o: bind, device: /srv/x}",
            "volumes: [\"/srv/x:/TARGET\"]",
        ),
        (
            "{type: tmpfs, device: tmpfs, o: size=1m}",
            "tmpfs: [/TARGET]",
        ),
        (
            "{type: nfs, o: addr=10.0.0.1, device: ':/x'}",
            "mount it on this machine",
        ),
    ] {
        let text = format!(
            "services: {{a: {{image: redis, volumes: ['v:/v']}}}}\nvolumes: {{v: {{driver_opts: {options}}}}}\n"
        );
        let found = bad(&text);
        assert!(
            found.len() == 1 && found[0].starts_with("2:") && found[0].contains(remedy),
            "{found:?}"
        );
        // A Swarm's hosts can mount it.
        let source = Source {
            path: "c.yml".into(),
            text,
        };
        let nothing = |_: &Path| -> std::io::Result<Found> { unreachable!() };
        generate(
            vec![source],
            Path::new("/stack"),
            &BTreeMap::new(),
            &nothing,
        )
        .unwrap();
    }
    let found = bad(
        "services: {a: {image: redis, volumes: [{type: volume, source: v, target: /v, volume: {subpath: x}}]}}\nvolumes: {v: }\n",
    );
    assert!(
        found.len() == 1 && found[0].contains("mount the whole volume"),
        "{found:?}"
    );
}
