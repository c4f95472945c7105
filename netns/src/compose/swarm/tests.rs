//! The repository's Swarm file, and a small one.

use super::*;

/// The Swarm file of one file's text, in a project with `conf/a.conf`, an executable `conf/b.sh` and a file that is too large.
pub(super) fn made(text: &str, env: &[(&str, &str)]) -> Result<String, Vec<Diagnostic>> {
    let file = |bytes: &[u8], executable| Contents {
        bytes: bytes.to_vec(),
        executable,
    };
    let find = |path: &Path| match path.to_str() {
        Some("/stack/conf/a.conf") => Ok(Found::File(file(b"a", false))),
        Some("/stack/other/a.conf") => Ok(Found::File(file(b"other", false))),
        Some("/stack/large") => Ok(Found::File(file(&vec![0; 600 << 10], false))),
        Some("/stack/conf") => Ok(Found::Folder(BTreeMap::from([
            ("a.conf".to_owned(), file(b"a", false)),
            ("b.sh".to_owned(), file(b"b", true)),
        ]))),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    let source = Source {
        path: "c.yml".into(),
        text: text.to_owned(),
    };
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    generate(vec![source], Path::new("/stack"), &env, &find)
}

#[test]
fn the_committed_file_is_the_one_that_follows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(root.join("docker-compose.yml")).unwrap();
    let source = Source {
        path: root.join("docker-compose.yml"),
        text,
    };
    let made = generate(vec![source], root, &BTreeMap::new(), &find);
    let made = made.unwrap_or_else(|found| panic!("{}", found[0]));
    let committed = std::fs::read_to_string(root.join("docker-compose-swarm.yml")).unwrap();
    assert!(
        made == committed,
        "docker-compose-swarm.yml is not what follows from docker-compose.yml; to remake it: make swarm-file"
    );
}

#[test]
fn a_small_stack_in_swarms_words() {
    let text = r#"
x-swarm: { name: small, secrets: { keys: { uid: 7, files: [token, web-password:password] } } }
services:
  web:
    image: web:${TAG:-dev}
    build: .
    command: [serve, "8080", -v]
    environment: { DEBUG: "true", PASSED: }
    restart: on-failure:3
    ports: ["${PORT:-80}:8080", "81:8080", "127.0.0.1:82:9090", {target: 9091, published: 83}]
    volumes: [keys:/run/secrets:ro, keys:/etc/keys:ro, ./conf:/etc/web:ro, ./other/a.conf:/a.conf:ro]
    tmpfs: /tmp:size=1m,mode=1777
    networks: { front: { ipv4_address: 10.1.0.9 } }
    depends_on: [db]
    mem_limit: 64M
    pids_limit: 64
    read_only: true
    x-netns: { run: { exec: [web] } }
  db:
    image: db
    scale: 3
    volumes: [data:/data]
    x-swarm: { deploy: { placement: { constraints: [node.hostname == one] }, update_config: { delay: 5s } } }
    x-netns: { run: { exec: [db] } }
  mint:
    entrypoint: [/bin/true]
    network_mode: none
    volumes: [keys:/keys, master:/master]
    x-swarm: { omit: true }
networks:
  front: { internal: true, ipam: { config: [{ subnet: 10.1.0.0/24, gateway: 10.1.0.1 }] }, driver_opts: { com.docker.network.driver.mtu: "1400", com.docker.network.bridge.enable_icc: "false" } }
  default:
volumes: { keys: , data: , master: }
"#;
    let expected = r#"# Generated from c.yml and its x-swarm fields: change those, not this file.
# Made by `netns-setup config --format swarm`, for `docker stack deploy --compose-file`.
# Wants SECRETS_DIR, a folder with a file for each of the secrets below, and each one's hash in NAME_HASH:
# what is in a secret cannot change under one name.
# Left out:
#   service mint: x-swarm says so
#   build: a Swarm runs images that its hosts have or pull
#   depends_on: a Swarm starts everything at once; what needs another waits for it, unready
#   ipv4_address: a Swarm gives addresses; names are what counts
#   networks' driver_opts: com.docker.network.bridge.*: an overlay is no bridge
#   networks' gateway: a Swarm takes the subnet alone

version: "3.9"

services:
  # Left out: port 81:8080: a Swarm publishes 8080 once, here as 80.
  # Left out: port 82:9090 of the host's loopback: a Swarm cannot publish it there alone.
  web:
    image: "web:${TAG:-dev}"
    command: [serve, "8080", -v]
    environment:
      DEBUG: "true"
      PASSED:
    ports:
      - { target: 8080, published: "${PORT:-80}", protocol: tcp, mode: host }
      - { target: 9091, published: 83, protocol: tcp, mode: host }
    networks: [front]
    volumes:
      - { type: tmpfs, target: /tmp, tmpfs: { size: 1048576 } }
    configs:
      - { source: a.conf, target: /etc/web/a.conf, mode: 0444 }
      - { source: b.sh, target: /etc/web/b.sh, mode: 0555 }
      - { source: other-a.conf, target: /a.conf, mode: 0444 }
    secrets:
      - { source: token, target: token, uid: "7", mode: 0400 }
      - { source: web-password, target: password, uid: "7", mode: 0400 }
      - { source: token, target: /etc/keys/token, uid: "7", mode: 0400 }
      - { source: web-password, target: /etc/keys/password, uid: "7", mode: 0400 }
    read_only: true
    deploy:
      replicas: 1
      endpoint_mode: dnsrr
      resources: { limits: { memory: 64M, pids: 64 } }
      restart_policy: { condition: on-failure, delay: 2s, max_attempts: 3 }
      update_config: { parallelism: 1, order: stop-first, failure_action: rollback, monitor: 15s }
      rollback_config: { parallelism: 1, order: stop-first, failure_action: pause, monitor: 15s }

  db:
    image: db
    volumes: [data:/data]
    deploy:
      replicas: 3
      endpoint_mode: dnsrr
      placement: { constraints: [node.hostname == one] }
      restart_policy: { condition: none, delay: 2s }
      update_config:
        parallelism: 1
        delay: 5s
        order: stop-first
        failure_action: rollback
        monitor: 15s
      rollback_config: { parallelism: 1, order: stop-first, failure_action: pause, monitor: 15s }

networks:
  front:
    driver: overlay
    internal: true
    driver_opts:
      com.docker.network.driver.mtu: "1400"
    ipam:
      config:
        - { subnet: 10.1.0.0/24 }
  default:
    driver: overlay

volumes:
  data:

configs:
  a.conf:
    name: "${STACK:-small}_a.conf_ca978112ca1b"
    file: ./conf/a.conf
  b.sh:
    name: "${STACK:-small}_b.sh_3e23e8160039"
    file: ./conf/b.sh
  other-a.conf:
    name: "${STACK:-small}_other-a.conf_d9298a10d1b0"
    file: ./other/a.conf

secrets:
  token:
    name: "${STACK:-small}_token_${TOKEN_HASH:?see the top of this file}"
    file: "${SECRETS_DIR:?see the top of this file}/token"
  web-password:
    name: "${STACK:-small}_web-password_${WEB_PASSWORD_HASH:?see the top of this file}"
    file: "${SECRETS_DIR:?see the top of this file}/web-password"
"#;
    let shown = |result: Result<String, Vec<Diagnostic>>| {
        result.unwrap_or_else(|found| panic!("{}", found[0]))
    };
    let made_here = shown(made(text, &[]));
    assert_eq!(made_here, expected);
    // Whatever the environment: variables are `docker stack deploy`'s to replace.
    assert_eq!(
        shown(made(text, &[("TAG", "v2"), ("STACK", "x")])),
        made_here
    );
}

#[test]
fn a_policy_of_the_services_own_replaces_restart() {
    for (keys, expected) in [
        (
            "restart: 'no', deploy: {restart_policy: {delay: 9s}}",
            "condition: any, delay: 9s",
        ),
        (
            "restart: always, deploy: {restart_policy: {condition: none}}",
            "condition: none, delay: 2s",
        ),
        (
            "restart: on-failure:3, x-swarm: {deploy: {restart_policy: {delay: 9s}}}",
            "condition: on-failure, delay: 9s, max_attempts: 3",
        ),
    ] {
        let file = made(&format!("services: {{a: {{image: redis, {keys}}}}}"), &[]).unwrap();
        assert!(
            file.contains(&format!("restart_policy: {{ {expected} }}")),
            "{file}"
        );
    }
}
