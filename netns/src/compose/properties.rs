//! What must hold of any file: it is read or refused at a place that exists in it, in reasonable time, and what `config` prints of it
//! is the same project.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use super::*;

fn env() -> BTreeMap<String, String> {
    BTreeMap::from([("SET".to_owned(), "a value".to_owned())])
}

fn read_text(text: &str) -> Result<Project, Vec<Diagnostic>> {
    let source = Source {
        path: "c.yml".into(),
        text: text.to_owned(),
    };
    read(vec![source], Path::new("/stack"), &env())
}

/// A service's keys and what each may be, as JSON, which is YAML.
fn keys() -> Vec<(&'static str, Vec<Value>)> {
    vec![
        (
            "image",
            vec![
                json!("redis:7"),
                json!("quay.io/x/postgres@sha256:0"),
                json!("nginx"),
            ],
        ),
        (
            "command",
            vec![
                json!("sh -c 'sleep $$1'"),
                json!(["sleep", "1"]),
                json!([]),
                json!("--port 1"),
            ],
        ),
        (
            "entrypoint",
            vec![json!(["/bin/sh", "-c"]), json!(""), json!("env sh")],
        ),
        (
            "x-netns",
            vec![
                json!({"run": {"exec": ["sleep", "$$5", "a: b"]}}),
                json!({"run": {"cargo": "shop"}}),
                json!({"tier": "one"}),
                json!({"tier": "two", "run": {"server": "valkey"}}),
            ],
        ),
        (
            "environment",
            vec![
                json!({"A": "${SET}", "B": "$$x", "C": null, "SET": null, "D": "", "E": " x: #\t\u{85}\u{1}"}),
                json!(["A=1=2", "SET", "X"]),
            ],
        ),
        (
            "ports",
            vec![
                json!(["8080:80"]),
                json!(["127.0.0.1:81-83:1-3", "[::1]:90:90"]),
                json!([{"target": 5, "published": "7000", "host_ip": "0.0.0.0"}]),
            ],
        ),
        ("expose", vec![json!(["1-3", 9]), json!(["1-65535"])]),
        (
            "depends_on",
            vec![
                json!(["b"]),
                json!({"b": {"condition": "service_completed_successfully", "required": false, "restart": true}}),
                json!({"off": {"condition": "service_started", "required": false}}),
            ],
        ),
        (
            "healthcheck",
            vec![
                json!({"test": "exit $$?", "interval": "1m30s", "start_interval": "1.5ms"}),
                json!({"test": ["CMD", "true"], "timeout": "0.123456789s", "retries": 7}),
                json!({"disable": true}),
            ],
        ),
        (
            "restart",
            vec![
                json!("no"),
                json!(false),
                json!("always"),
                json!("on-failure:3"),
                json!("on-failure"),
                json!("unless-stopped"),
            ],
        ),
        (
            "stop_signal",
            vec![json!("SIGINT"), json!("USR1"), json!(15)],
        ),
        (
            "stop_grace_period",
            vec![json!("1h2m3s"), json!("0.5us"), json!("0")],
        ),
        (
            "volumes",
            vec![
                json!(["data:/data:ro", "./x:/x", "~/y:/y", "/anonymous"]),
                json!([{"type": "tmpfs", "target": "/t", "tmpfs": {"size": "1m", "mode": "0700"}}, {"type": "volume", "target": "/v"}, {"type": "bind", "source": ".", "target": "/b", "read_only": true}]),
            ],
        ),
        (
            "tmpfs",
            vec![json!("/tmp:size=64k,mode=1777"), json!(["/a", "/c:ro"])],
        ),
        ("shm_size", vec![json!("1.5g"), json!(4096)]),
        (
            "secrets",
            vec![json!(["s", {"source": "t", "target": "u"}])],
        ),
        (
            "configs",
            vec![json!(["c"]), json!([{"source": "c", "target": "/etc/c"}])],
        ),
        (
            "deploy",
            vec![
                json!({"replicas": 3, "resources": {"limits": {"cpus": "0.25", "memory": "1.5k", "pids": 9}}}),
                json!({"replicas": 0}),
                json!({"restart_policy": {"condition": "on-failure", "max_attempts": 2, "delay": "1s"}}),
                json!({"restart_policy": {}}),
            ],
        ),
        ("scale", vec![json!(2)]),
        ("cpus", vec![json!(1.75)]),
        ("cpu_quota", vec![json!(33333), json!(-1)]),
        ("cpu_period", vec![json!(7000)]),
        ("init", vec![json!(true), json!(false)]),
        ("memswap_limit", vec![json!("1g")]),
        (
            "ulimits",
            vec![
                json!({"nofile": {"soft": 1, "hard": 2}}),
                json!({"nofile": -1, "core": 0}),
            ],
        ),
        (
            "sysctls",
            vec![
                json!(["net.core.somaxconn=1"]),
                json!({"net.ipv4.tcp_syncookies": 0}),
            ],
        ),
        ("user", vec![json!("$$me"), json!(1000)]),
        ("working_dir", vec![json!("/w"), json!("w")]),
        ("hostname", vec![json!("h")]),
        ("container_name", vec![json!("again")]),
        ("links", vec![json!(["b:other", "b"])]),
        (
            "extra_hosts",
            vec![json!(["h:10.0.0.1"]), json!({"i": "10.0.0.2"})],
        ),
        (
            "networks",
            vec![
                json!(["one"]),
                json!(["two", "one"]),
                json!({"two": {"aliases": ["z", "y", "z"]}, "one": {"ipv4_address": "10.1.0.9", "aliases": ["x"]}}),
            ],
        ),
        ("network_mode", vec![json!("none")]),
        ("profiles", vec![json!([])]),
        ("extends", vec![json!("b"), json!({"service": "b"})]),
        ("unknown", vec![json!(1)]),
    ]
}

/// A service with some of the keys.
fn service() -> impl Strategy<Value = Value> {
    let keys = keys();
    let count = keys.len();
    let some = prop::collection::btree_set(0..count, 0..6);
    some.prop_flat_map(move |chosen| {
        let values: Vec<_> = chosen
            .iter()
            .map(|index| select(keys[*index].1.clone()))
            .collect();
        let names: Vec<&str> = chosen.iter().map(|index| keys[*index].0).collect();
        values.prop_map(move |values| {
            let entries = names.iter().map(|name| (*name).to_owned()).zip(values);
            Value::Object(entries.collect::<Map<_, _>>())
        })
    })
}

/// Every service runs something, so that most files are read.
fn running(mut service: Value) -> Value {
    let fields = service.as_object_mut().unwrap();
    if !["image", "command", "entrypoint", "x-netns", "extends"]
        .iter()
        .any(|key| fields.contains_key(*key))
    {
        fields.insert("command".into(), json!(["sleep", "1"]));
    }
    service
}

fn file() -> impl Strategy<Value = Value> {
    let flows = select(vec![
        json!(null),
        json!([]),
        json!(["a -> b:80, b:81/udp", "world -> a:80", "off -> b:1"]),
    ]);
    (service(), service(), flows).prop_map(|(a, b, flows)| {
        let mut file = json!({
            "name": "Some Name",
            "services": { "a": running(a), "b": running(b), "off": { "image": "nginx", "profiles": ["debug"] } },
            "networks": { "one": { "ipam": { "config": [{ "subnet": "10.1.0.0/24", "ip_range": "10.1.0.128/25" }] } }, "two": null },
            "volumes": { "data": null },
            "secrets": { "s": { "file": "./s$$" }, "t": { "environment": "SET" } },
            "configs": { "c": { "content": "${SET}\n$$" } },
        });
        if !flows.is_null() {
            file["x-flows"] = flows;
        }
        file
    })
}

/// The same project, places in the file apart.
fn assert_same(project: &Project) -> Result<(), TestCaseError> {
    let printed = canonical_yaml(project);
    match read_text(&printed) {
        Ok(again) => {
            prop_assert_eq!(
                serde_json::to_value(&again).unwrap(),
                serde_json::to_value(project).unwrap(),
                "{}",
                printed
            );
            prop_assert_eq!(canonical_yaml(&again), printed);
            let content = |project: &Project| -> Vec<Option<Hidden>> {
                let given = project.secrets.values().chain(project.configs.values());
                given.map(|given| given.content.clone()).collect()
            };
            prop_assert!(content(&again) == content(project));
        }
        Err(found) => prop_assert!(false, "{}\n{}", found[0], printed),
    }
    Ok(())
}

/// Every error's place is in the file.
fn assert_placed(text: &str, found: &[Diagnostic]) -> Result<(), TestCaseError> {
    prop_assert!(!found.is_empty());
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = text.split('\n').collect();
    for diagnostic in found {
        let (line, column) = (diagnostic.line as usize, diagnostic.column as usize);
        prop_assert!((1..=lines.len()).contains(&line), "{}", diagnostic);
        prop_assert!(
            (1..=lines[line - 1].chars().count() + 1).contains(&column),
            "{}",
            diagnostic
        );
        prop_assert!(!diagnostic.message.is_empty() && !diagnostic.remedy.is_empty());
    }
    Ok(())
}

fn assert_sound(text: &str) -> Result<(), TestCaseError> {
    match read_text(text) {
        Ok(project) => assert_same(&project),
        Err(found) => assert_placed(text, &found),
    }
}

#[test]
fn our_own_files_are_printed_as_they_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in [
        "../docker-compose.yml",
        "examples/visits/compose.yaml",
        "examples/guestbook/compose.yaml",
        "fuzz/seeds/compose/everything.yaml",
    ] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let project = read_text(&text).unwrap_or_else(|found| panic!("{file}: {}", found[0]));
        assert_same(&project).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

#[test]
fn most_of_the_files_made_here_are_read() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let read = (0..300).filter(|_| {
        let file = file().new_tree(&mut runner).unwrap().current();
        read_text(&file.to_string()).is_ok()
    });
    assert!(
        read.count() > 75,
        "the generator makes hardly any good file"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_printed_is_the_same_project(file in file()) {
        assert_sound(&file.to_string())?;
        let block = yaml::document(&file);
        assert_sound(&block)?;
    }

    /// Whatever is done to a file, it is read or refused at a place that exists in it.
    #[test]
    fn a_file_with_anything_cut_out_or_put_in_is_read_or_refused(which in 0..3_usize, start in 0.0..1.0_f64, length in 0..60_usize, put in "[a-z0-9:{}, \n\r\t$&*!|>%@`'\"#~-]{0,8}") {
        let text = [
            include_str!("../../../docker-compose.yml"),
            include_str!("../../examples/guestbook/compose.yaml"),
            include_str!("../../fuzz/seeds/compose/everything.yaml"),
        ][which];
        let position = |target: usize| (0..=target.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place somewhere in the file")]
        let from = position((start * text.len() as f64) as usize);
        let changed = format!("{}{put}{}", &text[..from], &text[position(from + length).max(from)..]);
        assert_sound(&changed)?;
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        assert_sound(&text)?;
    }

    #[test]
    fn anything_that_looks_like_a_file_is_read_or_refused(text in "(services|networks|x-flows|a|ports|image|x-netns| |\n  |\n|: |- |\\[|\\]|\\{|\\}|, |&a |\\*a|<<|\"|'|80|\\$\\{|:-|\\}|redis|!!str |\\? |\\| |> |#|\r){0,40}") {
        assert_sound(&text)?;
    }
}
