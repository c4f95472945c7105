//! What is wrong, and where it is said to be.

use super::tests::made;

/// What is wrong with one line of a service, or of the file, and where.
#[test]
fn every_mistake_is_refused_by_line_and_column() {
    for (line, place, message) in [
        (
            "    x-swarm: { omitt: true }",
            "5:16",
            "has the key `omitt`",
        ),
        (
            "    x-swarm: { omit: perhaps }",
            "5:22",
            "omit is `perhaps`",
        ),
        (
            "    x-swarm: { omit: true, deploy: {} }",
            "5:28",
            "leaves the service out and says how",
        ),
        (
            "    x-swarm: { deploy: { mode: everywhere } }",
            "5:32",
            "mode is `everywhere`",
        ),
        (
            "    x-swarm: { deploy: { replica: 2 } }",
            "5:26",
            "has the key `replica`",
        ),
        (
            "    x-swarm: { deploy: { replicas: many } }",
            "5:36",
            "replicas is `many`",
        ),
        (
            "    x-swarm: { deploy: { endpoint_mode: dns } }",
            "5:41",
            "endpoint_mode is `dns`",
        ),
        (
            "    x-swarm: { deploy: { mode: global, replicas: 2 } }",
            "5:50",
            "is global, which is one on each host",
        ),
        (
            "    x-swarm: { deploy: { mode: global, placement: { max_replicas_per_node: 1 } } }",
            "5:76",
            "has max_replicas_per_node",
        ),
        (
            "    x-swarm: { deploy: { placement: { max_replicas_per_node: 0 } } }",
            "5:62",
            "max_replicas_per_node is `0`",
        ),
        (
            "    x-swarm: { deploy: { placement: { constraints: [ssd] } } }",
            "5:53",
            "a constraint is `ssd`",
        ),
        (
            "    x-swarm: { deploy: { placement: { preferences: [{ spread: node.id }] } } }",
            "5:63",
            "spread is `node.id`",
        ),
        (
            "    x-swarm: { deploy: { resources: { reservations: { cpu: 1 } } } }",
            "5:55",
            "has the key `cpu`",
        ),
        (
            "    x-swarm: { deploy: { resources: { reservations: { memory: lots } } } }",
            "5:63",
            "memory is `lots`",
        ),
        (
            "    x-swarm: { deploy: { restart_policy: { condition: always } } }",
            "5:55",
            "condition is `always`",
        ),
        (
            "    x-swarm: { deploy: { update_config: { delay: soon } } }",
            "5:50",
            "delay is `soon`",
        ),
        (
            "    x-swarm: { deploy: { update_config: { max_failure_ratio: 2 } } }",
            "5:62",
            "max_failure_ratio is `2`",
        ),
        (
            "    x-swarm: { deploy: { rollback_config: { failure_action: rollback } } }",
            "5:61",
            "failure_action is `rollback`",
        ),
        (
            "    ports: [80:80]\n    x-swarm: { deploy: { update_config: { order: start-first } } }",
            "6:50",
            "waits for ever for the port",
        ),
        (
            "    ports: [80-81:80-81]",
            "5:13",
            "publishes a range of ports",
        ),
        ("    ports: [10.0.0.1:80:80]", "5:13", "on 10.0.0.1"),
        (
            "    volumes: [data:/data]",
            "5:14",
            "nothing ties it to one",
        ),
        (
            "    volumes: [keys:/run/secrets]",
            "5:15",
            "may write to the volume `keys`",
        ),
        ("    volumes: [./conf:/conf]", "5:15", "may write to ./conf"),
        (
            "    volumes: [./gone:/conf:ro]",
            "5:15",
            "mounts /stack/gone, which cannot be read",
        ),
        (
            "    volumes: [./large:/conf:ro]",
            "5:15",
            "is larger than a Swarm's config may be",
        ),
        (
            "    tmpfs: [/tmp:noexec]",
            "5:13",
            "has a tmpfs with `noexec`",
        ),
        ("    network_mode: none", "5:19", "has `network_mode`"),
        ("x-swarm: { names: x }", "5:12", "has the key `names`"),
        ("x-swarm: { name: Shop }", "5:18", "name is `Shop`"),
        (
            "x-swarm: { command: \"a $$b\" }",
            "5:21",
            "command is `a $b`",
        ),
        (
            "x-swarm: { secrets: { gone: { files: [a] } } }",
            "5:23",
            "`gone`, which is not declared",
        ),
        (
            "x-swarm: { secrets: { keys: { } } }",
            "5:29",
            "has no `files`",
        ),
        (
            "x-swarm: { secrets: { keys: { files: [a/b] } } }",
            "5:39",
            "a secret is `a/b`",
        ),
        (
            "x-swarm: { secrets: { keys: { files: [a, b:a] } } }",
            "5:42",
            "has the file `a` twice",
        ),
        (
            "x-swarm: { secrets: { keys: { uid: me, files: [a] } } }",
            "5:36",
            "uid is `me`",
        ),
    ] {
        let mut text = format!(
            "volumes: {{ keys: , data: }}\nservices:\n  web:\n    {{ image: web, x-netns: {{ run: {{ exec: [web] }} }} }}\n{line}\n"
        );
        // A block mapping, so that a line can be added.
        text = text.replace(
            "    { image: web, x-netns: { run: { exec: [web] } } }",
            "    <<: { image: web, x-netns: { run: { exec: [web] } } }",
        );
        if !line.starts_with("x-swarm") {
            text.push_str("x-swarm: { secrets: { keys: { files: [a] } } }\n");
        }
        let found = made(&text, &[]).expect_err(line);
        let shown = format!("{}:{}", found[0].line, found[0].column);
        assert_eq!(
            (found.len(), shown.as_str()),
            (1, place),
            "{line}\n{}",
            found[0]
        );
        assert!(found[0].message.contains(message), "{line}\n{}", found[0]);
        assert!(!found[0].remedy.is_empty(), "{line}");
    }
}

#[test]
fn without_an_image_there_is_nothing_to_run() {
    let found = made("services:\n  a: { entrypoint: [/bin/true] }\n", &[]).unwrap_err();
    assert_eq!(
        found[0].message,
        "`a` has no image, and a Swarm runs nothing else"
    );
    let found = made(
        "services:\n  a: { entrypoint: [/bin/true], x-swarm: { omit: true } }\n",
        &[],
    )
    .unwrap_err();
    assert_eq!(found[0].message, "x-swarm leaves every service out");
}
