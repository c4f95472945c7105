//! Files that are too much: refused with a clear word, before they cost time or memory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::{Diagnostic, Project, Source, read};
use crate::plan::{Scale, plan};

fn read_text(text: String) -> Result<Project, Vec<Diagnostic>> {
    let source = Source {
        path: "c.yml".into(),
        text,
    };
    read(vec![source], Path::new("/stack"), &BTreeMap::new())
}

fn refused(text: String) -> String {
    read_text(text).expect_err("too much")[0].message.clone()
}

#[test]
fn each_of_these_is_refused() {
    let mut laughs = String::from("x-a: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]\n");
    for level in 1..9 {
        let last = format!("*a{}", level - 1);
        let _ = writeln!(
            laughs,
            "x-{level}: &a{level} [{}]",
            [last.as_str(); 10].join(", ")
        );
    }
    let mut scalars = format!("x-a: &a \"{}\"\nx-b: [", "x".repeat(500_000));
    scalars.push_str(&"*a, ".repeat(900));
    scalars.push(']');
    let services: String = (0..501)
        .map(|index| format!("  s{index}: {{image: redis}}\n"))
        .collect();
    let bad: String = (0..5000)
        .map(|index| format!("  s{index}: {{bad: 1}}\n"))
        .collect();
    let one = |keys: &str| format!("services: {{a: {{image: redis, {keys}}}}}");
    let net = |subnet: &str| {
        format!(
            "services: {{a: {{image: redis, networks: [n]}}}}\nnetworks: {{n: {{ipam: {{config: [{{subnet: {subnet}}}]}}}}}}"
        )
    };
    for (text, says) in [
        (
            laughs + "services: {a: {image: redis, x-b: *a8}}",
            "too deep or too large",
        ),
        (scalars, "too deep or too large"),
        ("[".repeat(100_000), "too deep or too large"),
        (
            format!("a: {}1{}", "{b: ".repeat(5000), "}".repeat(5000)),
            "too deep or too large",
        ),
        (
            one(&format!(
                "user: \"{}{}\"",
                "${A:-".repeat(5000),
                "}".repeat(5000)
            )),
            "nested more than 16 deep",
        ),
        (
            one("ports: [\"1-65535:1-65535\"]"),
            "more than 1000 ports are published",
        ),
        (
            one("ports: [\"1-600:1-600\", \"601-1200:1-600\"]"),
            "more than 1000 ports are published",
        ),
        (one("scale: 4294967296"), "scale is `4294967296`"),
        (
            one("deploy: {replicas: 99999999999999999999}"),
            "replicas is",
        ),
        (one("mem_limit: 99999999999999999999g"), "mem_limit is"),
        (
            one("stop_grace_period: 9999999999h"),
            "stop_grace_period is",
        ),
        (net("0.0.0.0/0"), "subnet is `0.0.0.0/0`"),
        (net("10.0.0.1/32"), "subnet is `10.0.0.1/32`"),
        (
            format!("services:\n{services}"),
            "the file has 501 services",
        ),
        (format!("services:\n{bad}"), "the file has 5000 services"),
    ] {
        let start: String = text.chars().take(60).collect();
        let message = refused(text);
        assert!(message.contains(says), "{start}: {message}");
    }
}

#[test]
fn only_so_many_errors_are_told() {
    let ports = "bad, ".repeat(50_000);
    let found = read_text(format!(
        "services: {{a: {{image: redis, ports: [{ports}]}}}}"
    ));
    assert!(found.unwrap_err().len() <= 50);
}

#[test]
fn a_thousand_instances_are_planned_and_one_more_is_not() {
    let project = |services: u32, scale: u32| {
        let services: String = (0..services)
            .map(|index| format!("  s{index}: {{image: redis, networks: [n], scale: {scale}}}\n"))
            .collect();
        read_text(format!(
            "services:\n{services}networks: {{n: {{ipam: {{config: [{{subnet: 10.0.0.0/16}}]}}}}}}\n"
        ))
        .unwrap()
    };
    assert_eq!(
        plan(&project(1, 1000), &Scale::new())
            .unwrap()
            .instances
            .len(),
        1000
    );
    assert_eq!(
        plan(&project(2, 501), &Scale::new())
            .unwrap_err()
            .to_string(),
        "1002 instances are more than a lab takes; run at most 1000 of all services together"
    );
}

#[test]
fn a_file_without_an_end_is_not_waited_for() {
    for endless in ["/dev/zero", "/dev/tty", "/"] {
        let found = read_text(format!(
            "services: {{a: {{image: redis, env_file: {endless}}}}}"
        ));
        let message = found.unwrap_err()[0].message.clone();
        assert!(
            message.starts_with(&format!("{endless} cannot be read")),
            "{message}"
        );
    }
}
