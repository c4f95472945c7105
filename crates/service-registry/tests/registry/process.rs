//! The shared `main`, seen from outside: exit codes, the health check, the two stages of an end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

fn command(env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_service-registry"));
    command
        .env_clear()
        .envs(env.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A running registry, killed with its owner.
struct Process {
    child: Child,
    log: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Process {
    fn start() -> Self {
        Self::with(&[("HTTP__LISTEN", "127.0.0.1:0")])
    }

    fn with(env: &[(&str, &str)]) -> Self {
        let mut child = command(&[env, &[("LOG_FORMAT", "json")]].concat())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap());
        let line = line_with(&mut log, "listening");
        let address = line["address"].as_str().unwrap().parse().unwrap();
        Self {
            child,
            log,
            address,
        }
    }

    fn signal(&self) {
        let sent = Command::new("kill")
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// What the health check of a container says.
    fn is_healthy(&self) -> bool {
        let listen = self.address.to_string();
        let check = command(&[("HTTP__LISTEN", listen.as_str())])
            .arg("healthcheck")
            .status();
        check.unwrap().success()
    }

    fn status(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let mut line = String::new();
        BufReader::new(self.send(&request))
            .read_line(&mut line)
            .unwrap();
        line.split(' ').nth(1).unwrap().to_owned()
    }

    fn send(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line_with(log: &mut BufReader<ChildStdout>, message: &str) -> Value {
    loop {
        let mut line = String::new();
        assert_ne!(
            log.read_line(&mut line).unwrap(),
            0,
            "ended before saying {message:?}"
        );
        let line: Value = serde_json::from_str(&line).unwrap();
        if line["message"] == message {
            return line;
        }
    }
}

#[test]
fn a_bad_configuration_is_64_and_names_the_key() {
    for (env, key) in [
        ([("HTTP__FOO", "1")], "HTTP__FOO"),
        ([("PROBE__INTERVAL_MS", "0")], "PROBE__INTERVAL_MS"),
        ([("PROBE_CIDRS", "172.21.0.0")], "PROBE_CIDRS"),
        ([("INSTANCE_ID", "Not A Label")], "INSTANCE_ID"),
        ([("RUST_LOG", "=;=")], "RUST_LOG"),
        ([("ADMIN__LISTEN", "127.0.0.1:1")], "ADMIN__LISTEN"),
        ([("CONFIG_FILE", "/nowhere.toml")], "CONFIG_FILE"),
    ] {
        let output = command(&env).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{key}: {text}");
        assert!(
            text.contains(&format!("bad configuration: {key}: ")),
            "{text}"
        );
    }
    assert_eq!(
        command(&[])
            .arg("frobnicate")
            .output()
            .unwrap()
            .status
            .code(),
        Some(64)
    );
    let output = command(&[("HTTP__LISTEN", "240.0.0.0/4:1")])
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(1),
        "no such address is the machine's affair"
    );
}

#[test]
fn the_health_check_asks_the_running_service() {
    let process = Process::start();
    let listen = process.address.to_string();
    let check = |listen: &str| {
        command(&[("HTTP__LISTEN", listen)])
            .arg("healthcheck")
            .output()
            .unwrap()
    };
    assert!(check(&listen).status.success());
    assert!(
        check(&format!("0.0.0.0:{}", process.address.port()))
            .status
            .success()
    );
    drop(process);
    assert_eq!(check(&listen).status.code(), Some(1));
}

/// A registry can register too, and so stands for every service here: `main` is the same.
#[test]
fn healthy_is_who_the_registry_has_passed_once() {
    let place = test_support::free_address().to_string();
    let registry = format!("http://{place}");
    let mut process = Process::with(&[
        ("HTTP__LISTEN", "127.0.0.1:0"),
        ("SERVICE_REGISTRY", &registry),
        ("RUST_LOG", "common=debug"),
    ]);
    for _try in 0..3 {
        line_with(&mut process.log, "cannot register");
    }
    assert_eq!(process.status("/ready"), "200");
    assert!(!process.is_healthy(), "nobody can find it");
    let hint = "no registry passes this instance: it has started when one does";
    assert_eq!(line_with(&mut process.log, hint)["level"], "WARN");

    let refusing = Process::with(&[("HTTP__LISTEN", &place), ("PROBE_CIDRS", "10.0.0.0/8")]);
    let mut said = String::new();
    while !said.contains("PROBE_CIDRS") {
        let line = line_with(&mut process.log, "cannot register");
        said = line["error"].as_str().unwrap().to_owned();
    }
    assert!(!process.is_healthy(), "nobody can find it yet");

    drop(refusing);
    let registry = Process::with(&[("HTTP__LISTEN", &place)]);
    line_with(&mut process.log, "passing");
    while !process.is_healthy() {
        std::thread::yield_now();
    }
    drop(registry);
    assert!(process.is_healthy(), "it was found once");
}

#[test]
fn one_signal_ends_it_cleanly_with_a_watch_open() {
    let mut process = Process::start();
    let request = "GET /v1/watch?service=a HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut stream = BufReader::new(process.send(request));
    let mut line = String::new();
    while !line.starts_with("data: ") {
        line.clear();
        assert_ne!(stream.read_line(&mut line).unwrap(), 0);
    }
    process.signal();
    stream.read_to_string(&mut line).unwrap();
    assert!(
        line.ends_with("0\r\n\r\n"),
        "the stream ends in order: {line:?}"
    );
    line_with(&mut process.log, "ended");
    assert!(process.child.wait().unwrap().success());
}

#[test]
fn a_second_signal_aborts_what_does_not_finish() {
    let mut process = Process::start();
    let head =
        "PUT /v1/services/a/instances/1 HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let rest = "expect: 100-continue\r\ncontent-length: 10\r\n\r\n";
    let mut stuck = BufReader::new(process.send(&format!("{head}{rest}")));
    let mut line = String::new();
    stuck.read_line(&mut line).unwrap();
    assert_eq!(
        line, "HTTP/1.1 100 Continue\r\n",
        "the handler waits for the body, which never comes"
    );
    process.signal();
    line_with(&mut process.log, "shutting down");
    process.signal();
    assert_eq!(process.child.wait().unwrap().code(), Some(128 + 15));
}
