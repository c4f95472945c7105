//! The repository's own file, and a table of bad ones.

use super::*;

/// Reads one file's text in `/stack`, with `PORT=80` in the environment.
fn read_text(text: &str) -> Result<Project, Vec<Diagnostic>> {
    let env = BTreeMap::from([("PORT".to_owned(), "80".to_owned())]);
    read(
        vec![Source {
            path: "c.yml".into(),
            text: text.to_owned(),
        }],
        Path::new("/stack"),
        &env,
    )
}

fn repository() -> Project {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker-compose.yml");
    let text = std::fs::read_to_string(&file).unwrap();
    // Not `load`: a `.env` that someone keeps beside the file must not decide this test.
    match read(
        vec![Source { path: file, text }],
        Path::new("/shop"),
        &BTreeMap::new(),
    ) {
        Ok(project) => project,
        Err(found) => panic!(
            "{}",
            found
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n\n")
        ),
    }
}

#[test]
fn the_repositorys_file_is_read() {
    let project = repository();
    assert_eq!(project.name, "shop");
    let names: Vec<_> = project.services.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "api-gateway",
            "order-service",
            "postgres",
            "product-service",
            "redis",
            "secrets",
            "service-registry"
        ]
    );
    let Policy::Flows(flows) = &project.policy else {
        panic!("no x-flows")
    };
    assert_eq!(flows.len(), 13);
    // Nothing to be said of our own file: `make up` is quiet.
    assert!(project.warnings.is_empty(), "{:?}", project.warnings);

    let secrets = &project.services["secrets"];
    assert_eq!(secrets.attachment, Attachment::None);
    assert_eq!(
        secrets.run,
        Run::Exec {
            argv: vec!["/bin/sh".into(), "/mint.sh".into()]
        }
    );
    assert_eq!(
        secrets.mounts[0].source,
        MountSource::Bind("/shop/docker/secrets/mint.sh".into())
    );
    assert!(secrets.mounts[0].read_only && !secrets.mounts[1].read_only);

    let postgres = &project.services["postgres"];
    assert_eq!(postgres.run, Run::Server(Server::Postgres));
    assert_eq!(postgres.stop_signal, "SIGINT");
    assert_eq!(
        postgres.limits,
        Limits {
            cpus: Some(0.5),
            memory: Some(256 << 20),
            pids: None
        }
    );
    assert_eq!(
        postgres.depends_on["secrets"].condition,
        Condition::ServiceCompletedSuccessfully
    );
    assert_eq!(postgres.restart, Restart::UnlessStopped);
    assert_eq!(
        postgres
            .mounts
            .iter()
            .filter(|mount| matches!(mount.source, MountSource::Tmpfs { .. }))
            .count(),
        2
    );

    let gateway = &project.services["api-gateway"];
    assert_eq!(
        gateway
            .ports
            .iter()
            .map(|port| (port.host_port, port.target))
            .collect::<Vec<_>>(),
        [(8080, 3000), (3000, 3000), (3001, 3001)]
    );
    let Attachment::Tier {
        tier,
        address,
        networks,
    } = &gateway.attachment
    else {
        panic!("no tier")
    };
    assert_eq!(
        (tier.as_str(), *address, networks.len()),
        ("frontend", Some([172, 20, 0, 10].into()), 2)
    );
    let check = project.services["product-service"]
        .healthcheck
        .as_ref()
        .unwrap();
    assert_eq!(
        (
            check.test.join(" ").as_str(),
            check.interval.as_secs(),
            check.retries
        ),
        ("/app/product-service healthcheck", 2, 5)
    );
    serde_json::to_string(&project).unwrap();
}

#[test]
fn a_small_stack_needs_no_extension() {
    let project = read_text(
        r#"
services:
  web:
    entrypoint: /usr/bin/env sh -c
    command: "'exec sleep 1'"
    environment: [A=1, PORT, ABSENT]
    ports: [{target: 80, published: "8080-8080", host_ip: 127.0.0.1}, "9000-9001:9000-9001"]
    tmpfs: /tmp:size=1m
    volumes: [{type: bind, source: ./x, target: /x, read_only: true}, data:/data]
    depends_on: [db]
    healthcheck: {test: curl -f localhost, interval: 1m30s}
    scale: 2
  db:
    image: docker.io/library/postgres:17
    restart: on-failure:3
volumes: {data: }
"#,
    )
    .unwrap_or_else(|found| panic!("{found:?}"));
    let web = &project.services["web"];
    assert_eq!(
        web.run,
        Run::Exec {
            argv: ["/usr/bin/env", "sh", "-c", "exec sleep 1"]
                .map(str::to_owned)
                .to_vec()
        }
    );
    assert_eq!(
        web.environment,
        BTreeMap::from([("A".into(), "1".into()), ("PORT".into(), "80".into())])
    );
    assert_eq!((web.ports.len(), web.replicas), (3, 2));
    assert_eq!(
        web.healthcheck.as_ref().unwrap().test,
        ["/bin/sh", "-c", "curl -f localhost"]
    );
    assert_eq!(project.services["db"].run, Run::Server(Server::Postgres));
    assert_eq!(project.services["db"].stop_signal, "SIGINT");
    assert_eq!(web.stop_signal, "SIGTERM");
    assert_eq!(
        project.services["db"].restart,
        Restart::OnFailure {
            max_retries: Some(3)
        }
    );
    assert_eq!(
        project.networks["default"].subnet.to_string(),
        "10.89.0.0/24"
    );
    assert_eq!(project.policy, Policy::SharedNetworks);
}

/// Each file is wrong; what is expected is `line:column message` of every error.
#[test]
fn bad_files_are_refused_at_their_place() {
    let run = "x-netns: {run: {exec: [sleep]}}";
    let two = |a: &str, b: &str| format!("services:\n  a: {{{a}, {run}}}\n  b: {{{b}, {run}}}\n");
    let nets = |a: &str, b: &str| {
        format!(
            "services: {{a: {{networks: [n], {run}}}}}\nnetworks:\n  n: {{ipam: {{config: [{a}]}}}}\n  m: {{ipam: {{config: [{b}]}}}}\n"
        )
    };
    let cases: Vec<(String, &[&str])> = vec![
        ("services: {}\n".into(), &["1:11 the file has no services"]),
        ("servces: {}\n".into(), &["1:1 the file has the key `servces`, which is not supported", "1:1 the file has no services"]),
        (two("port: [1]", "privileged: true"), &["2:7 service `a` has the key `port`, which is not supported", "3:7 service `b` has the key `privileged`, which is not supported"]),
        ("services:\n  a: {image: nginx}\n".into(), &["2:3 service `a` does not say what this machine should run (its image `nginx` is a hint only: images are not run)"]),
        (two("user: \"${NOPE:?}\"", "user: \"${PORT}\""), &["2:13 `NOPE` must be set"]),
        (two("ports: [\"abc\"]", "network_mode: host, ports: [\"1:2\"]"), &["2:15 ports of service `a` has `abc`: this is no port mapping", "3:21 network_mode is `host`"]),
        (two("ports: [\"80\"]", "ports: [\"1:2/udp\"]"), &["2:15 ports of service `a` has `80`: it leaves the host's port to chance", "3:15 ports of service `b` has `1:2/udp`: only tcp can be published"]),
        (two("ports: [\"80:1\"]", "ports: [\"127.0.0.1:80:1\"]"), &["3:15 host port 80 is published twice, first by `a` (line 2)"]),
        (two("depends_on: [b]", "depends_on: [a]"), &["3:20 depends_on has a cycle: a -> b -> a"]),
        (two("depends_on: [c]", "depends_on: {a: {condition: healthy}}"), &["2:20 `a` depends on `c`, which is no service", "3:35 condition is `healthy`"]),
        (two("depends_on: {b: {condition: service_healthy}}", "user: x"), &["2:20 `a` waits for `b` to be healthy, but that has no healthcheck"]),
        (two("volumes: [data:/data]", "volumes: [data]"), &["2:17 volume `data` is not declared", "3:17 volumes of service `b` is `data`"]),
        (two("stop_grace_period: 10", "stop_signal: SIGNOPE"), &["2:26 stop_grace_period is `10`", "3:20 stop_signal is `SIGNOPE`"]),
        (two("networks: [x]", "network_mode: host"), &["2:18 network `x` is not declared", "3:21 network_mode is `host`"]),
        (two("deploy: {resources: {limits: {memory: big}}}", "deploy: {replicas: -1}"), &["2:45 memory is `big`", "3:26 replicas is `-1`"]),
        (two("healthcheck: {test: [pg_isready]}", "restart: sometimes"), &["2:27 test is neither CMD, CMD-SHELL nor NONE", "3:16 restart is `sometimes`"]),
        (
            format!("x-flows:\n  - a -> c:80\n  - a => b\n  - a -> a:70000\n  - world -> a\n  - a -> a:1, a:1\n{}", two("user: x", "user: y")),
            &[
                "2:5 a flow names `c`, which is no service",
                "3:5 `a => b` is no flow",
                "4:5 the flow to a has the port `70000`",
                "5:5 the flow to `a` names no port",
                "6:5 the flow to a:1 is declared twice, first on line 6",
            ],
        ),
        (format!("x-flows: []\n{}", two("ports: [\"80:1\", \"127.0.0.1:81:2\"]", "user: x")), &["3:15 host port 80 is published beyond the loopback, but no flow opens it"]),
        (
            nets("{subnet: 10.0.0.0/16}", "{subnet: 10.0.3.0/24}"),
            &["4:32 subnet 10.0.3.0/24 of network `m` overlaps 10.0.0.0/16 of network `n` (line 3)"],
        ),
        (
            nets("{subnet: 203.0.113.0/25}", "{subnet: 10.0.3.1/24}"),
            &["3:32 subnet 203.0.113.0/25 of network `n` overlaps 203.0.113.0/24, the network between the router and the world", "4:32 subnet is `10.0.3.1/24`"],
        ),
        (
            nets("{subnet: 10.0.0.0/24, gateway: 10.0.1.1}", "{subnet: 10.1.0.0/24, ip_range: 10.2.0.0/25}"),
            &["3:54 gateway 10.0.1.1 is no host address of 10.0.0.0/24", "4:55 ip_range 10.2.0.0/25 is not inside 10.1.0.0/24"],
        ),
        (
            format!(
                "networks: {{n: {{ipam: {{config: [{{subnet: 10.0.0.0/24, ip_range: 10.0.0.128/25}}]}}}}}}\nservices:\n{}",
                ["10.0.1.1", "10.0.0.1", "10.0.0.200", "10.0.0.9", "10.0.0.9"]
                    .iter()
                    .enumerate()
                    .map(|(index, address)| format!("  s{index}: {{networks: {{n: {{ipv4_address: {address}}}}}, scale: {}, {run}}}\n", 1 + index / 4))
                    .collect::<String>()
            ),
            &[
                "3:37 address 10.0.1.1 of `s0` is no host address of 10.0.0.0/24",
                "4:37 address 10.0.0.1 of `s1` is the gateway's",
                "5:37 address 10.0.0.200 of `s2` is in ip_range 10.0.0.128/25, which is for what scales",
                "7:37 address 10.0.0.9 of `s4` is also that of `s3` (line 6)",
                "7:37 `s4` has 2 replicas and one fixed address",
            ],
        ),
        ("services:\n  a: {user: x}\n  a: {user: y}\n".into(), &["3:3 duplicate mapping key: a"]),
        ("services:\r  a: {user: x}\r\n  b: {prts: 1}\r".into(), &["2:3 service `a` does not say what this machine should run", "3:3 service `b` does not say what this machine should run", "3:7 service `b` has the key `prts`, which is not supported"]),
        ("services:\n  a:\n\tuser: x\n".into(), &["3:2 tabs disallowed within this context (block indentation)"]),
    ];
    let mut wrong = Vec::new();
    for (text, expected) in cases {
        let found = read_text(&text).expect_err(&text);
        let found: Vec<_> = found
            .iter()
            .map(|found| format!("{}:{} {}", found.line, found.column, found.message))
            .collect();
        if found != expected {
            wrong.push(format!(
                "{text}\n  found    {found:#?}\n  expected {expected:#?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_diagnostic_reads_like_a_compilers() {
    let found = read_text("services:\n  a:\n    image: redis\n    prts: [1]\n").unwrap_err();
    assert_eq!(
        found[0].to_string(),
        "error: service `a` has the key `prts`, which is not supported\n --> c.yml:4:5\n  |\n4 |     prts: [1]\n  |     ^\n  = help: did you mean `ports`?"
    );
}

#[test]
fn later_files_lie_on_top_and_dotenv_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name)
    };
    let files = [
        write(
            "a.yml",
            "name: Shop!\nservices: {r: {image: redis, user: \"${U}\", env_file: r.env}}",
        ),
        write(
            "b.yml",
            "services: {r: {working_dir: /w, environment: {X: over}}}",
        ),
    ];
    write(".env", "U=me\nX=host");
    write("r.env", "X=1\nY=$U");
    let project = load(&files, &[], &BTreeMap::new()).unwrap();
    let redis = &project.services["r"];
    assert_eq!(
        (
            project.name.as_str(),
            redis.user.as_deref(),
            redis.environment["X"].as_str(),
            redis.environment["Y"].as_str()
        ),
        ("shop", Some("me"), "over", "me")
    );
    let missing = load(&[dir.path().join("none.yml")], &[], &BTreeMap::new()).unwrap_err();
    assert_eq!((missing.len(), missing[0].line), (1, 0));

    // Named files take the place of `.env`; the later one wins, and may build on the earlier one.
    let named = [write("one.env", "U=one\nV=1"), write("two.env", "U=two$V")];
    let project = load(&files, &named, &BTreeMap::new()).unwrap();
    assert_eq!(project.services["r"].user.as_deref(), Some("two1"));
    let missing = load(&files, &[dir.path().join("none.env")], &BTreeMap::new()).unwrap_err();
    assert!(
        missing[0].to_string().contains("--env-file"),
        "{}",
        missing[0]
    );
}
