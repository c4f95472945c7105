//! What files of others say, and what is made of it.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::plan::{Scale, plan};

pub(super) fn read_with(text: &str, env: &[(&str, &str)]) -> Result<Project, Vec<Diagnostic>> {
    let source = Source {
        path: "c.yml".into(),
        text: text.to_owned(),
    };
    let env = env
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    read(vec![source], Path::new("/stack"), &env.collect())
}

pub(super) fn good(text: &str) -> Project {
    read_with(text, &[]).unwrap_or_else(|found| panic!("{}", found[0]))
}

/// Every error as `line:column message; remedy`.
pub(super) fn bad(text: &str) -> Vec<String> {
    let found = read_with(text, &[]).expect_err(text);
    found
        .iter()
        .map(|found| {
            format!(
                "{}:{} {}; {}",
                found.line, found.column, found.message, found.remedy
            )
        })
        .collect()
}

#[test]
fn an_image_alone_is_refused_with_the_line_to_add() {
    for (service, expected) in [
        (
            "image: nginx:1",
            "2:3 service `a` does not say what this machine should run (its image `nginx:1` is a hint only: images are not run); add a line such as: x-netns: { run: { exec: [nginx, -g, \"daemon off;\"] } }",
        ),
        (
            "build: .",
            "2:3 service `a` does not say what this machine should run; add a line such as: x-netns: { run: { exec: [PROGRAM, ARGUMENT] } }",
        ),
        (
            "image: mariadb, command: --safe",
            "2:3 service `a` has arguments (`--safe`) for a program of its image, and images are not run; add a line such as: x-netns: { run: { exec: [mariadbd, --safe] } }",
        ),
        (
            "image: bitnami/postgresql",
            "2:3 service `a` has the image `bitnami/postgresql`, whose variables and folders are not the official image's; write those of the official image, and add: x-netns: { run: { server: postgres } }",
        ),
    ] {
        let text = format!("services:\n  a: {{ {service} }}\n");
        assert_eq!(bad(&text), [expected]);
        let (_, line) = expected.split_once("x-netns").unwrap();
        let text = format!("services:\n  a: {{ {service}, x-netns{line} }}\n");
        assert!(read_with(&text, &[]).is_ok(), "the remedy is none: {text}");
    }
}

#[test]
fn a_variable_that_is_not_set_is_empty_and_told_once() {
    let project = good(
        "services:\n  a: {image: redis, working_dir: \"<$NO>\", hostname: \"h${NO}\"}\n  b: {image: redis, working_dir: $NO2}\n",
    );
    assert_eq!(
        project.services["a"].working_dir.as_deref(),
        Some(Path::new("<>"))
    );
    let told: Vec<String> = project.warnings.iter().map(Diagnostic::warning).collect();
    assert_eq!(
        told,
        [
            "warning: c.yml:2:34: the variable `NO` is not set; an empty text takes its place",
            "warning: c.yml:3:34: the variable `NO2` is not set; an empty text takes its place",
        ]
    );
}

#[test]
fn extends_lays_a_service_on_another() {
    let project = good(
        "services:\n  c: {extends: b, command: [redis-server], environment: {X: c}}\n  a: {image: redis, environment: [X=a, Y=a], expose: [1]}\n  b: {extends: {service: a}, user: b}\n",
    );
    let c = &project.services["c"];
    assert_eq!(
        (
            c.image.as_deref(),
            c.user.as_deref(),
            c.environment["X"].as_str(),
            c.environment["Y"].as_str()
        ),
        (Some("redis"), Some("b"), "c", "a")
    );
    let cycle = bad("services:\n  a: {extends: b}\n  b: {extends: a}\n");
    assert!(
        cycle.contains(&"3:16 extends of `a` comes back to itself; remove one of these".to_owned()),
        "{cycle:?}"
    );
    assert!(
        bad("services: {a: {extends: {service: b, file: x.yml}}}")
            .join(
                "
"
            )
            .contains("several --file")
    );
}

#[test]
fn profiles_turn_services_on() {
    let text = "services:\n  a: {image: redis, depends_on: {d: {condition: service_started, required: false}}}\n  d: {image: redis, profiles: [debug]}\nx-flows: [a -> d:1]\n";
    let names = |env: &[(&str, &str)]| -> Vec<String> {
        let project = read_with(text, env).unwrap();
        project.services.into_keys().collect()
    };
    assert_eq!(names(&[]), ["a"]);
    for on in ["debug", "x, debug", "*"] {
        assert_eq!(names(&[("COMPOSE_PROFILES", on)]), ["a", "d"]);
    }
    assert_eq!(
        bad(
            "services:\n  a: {image: redis, depends_on: [d]}\n  d: {image: redis, profiles: [debug]}\n"
        ),
        [
            "2:34 `a` depends on `d`, whose profiles are off; turn one on: --profile NAME, or COMPOSE_PROFILES=NAME"
        ]
    );
}

#[test]
fn names_follow_networks_and_links() {
    let project = good(
        "services:\n  a: {image: redis, container_name: box, networks: {x: {aliases: [in-x]}, y: }}\n  b: {image: redis, networks: [x], links: ['a:linked']}\n  c: {image: redis, networks: [y], extra_hosts: ['far=10.9.9.9']}\nnetworks: {x: , y: }\n",
    );
    let plan = plan(&project, &Scale::new()).unwrap();
    let known = |instance: &str| -> Vec<String> {
        let hosts = &plan.instance(instance).unwrap().hosts;
        hosts[1..]
            .iter()
            .map(|entry| entry.names.join(" "))
            .collect()
    };
    assert_eq!(known("b-1"), ["a a-1 box in-x linked"]);
    assert_eq!(known("c-1"), ["a a-1 box", "far"]);
}

#[test]
fn secrets_and_configs_are_files() {
    let text = "services:\n  a: {image: redis, secrets: [s, {source: t, target: u, mode: 0400}], configs: [c]}\nsecrets: {s: {file: s.txt}, t: {environment: T}}\nconfigs: {c: {content: 'hi $T'}}\n";
    let project = read_with(text, &[("T", "hush")]).unwrap();
    let files: Vec<String> = project.services["a"]
        .files
        .iter()
        .map(|file| file.target.display().to_string())
        .collect();
    assert_eq!(files, ["/run/secrets/s", "/run/secrets/u", "/c"]);
    assert_eq!(
        project.secrets["s"].source,
        FileSource::File("/stack/s.txt".into())
    );
    assert_eq!(
        project.secrets["t"].content.as_ref().unwrap().expose(),
        "hush"
    );
    assert_eq!(
        project.configs["c"].content.as_ref().unwrap().expose(),
        "hi hush"
    );
    // A secret is in nothing that is printed.
    assert!(
        !format!(
            "{:?}{}",
            project.secrets,
            canonical_yaml(&Project {
                configs: BTreeMap::new(),
                ..project.clone()
            })
        )
        .contains("hush")
    );
    for (wrong, says) in [
        (
            "{s: {file: x, environment: T}}",
            "says not exactly one thing",
        ),
        ("{s: {environment: NONE}}", "which is not set"),
        ("{s: {external: true}}", "is external"),
        ("{t: {file: x}}", "secret `s` is not declared"),
    ] {
        let found = bad(&format!(
            "services: {{a: {{image: redis, secrets: [s]}}}}\nsecrets: {wrong}\n"
        ));
        assert!(found.join("\n").contains(says), "{found:?}");
    }
}

#[test]
fn what_a_lab_cannot_give_is_refused_with_what_to_do() {
    for (key, says) in [
        ("privileged: true", "a sandbox has no privileges"),
        ("devices: [/dev/kvm]", "no devices of the machine"),
        ("pid: host", "a PID namespace of its own"),
        (
            "volumes_from: [b]",
            "write the volumes of that service out here",
        ),
        ("sysctls: [kernel.shmmax=1]", "the rest is the machine's"),
        ("ports: ['53:53/udp']", "only tcp can be published"),
    ] {
        let found = bad(&format!("services: {{a: {{image: redis, {key}}}}}"));
        assert!(found[0].contains(says), "{found:?}");
    }
    assert!(
        bad("include: [x.yml]\nservices: {a: {image: redis}}")[0].contains("-f a.yaml -f b.yaml")
    );
}
