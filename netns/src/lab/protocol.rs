//! What the lab's first process and the command line say to each other: JSON, one value a line, over a Unix socket.
//!
//! A connection carries one [`Request`]; the answers end with the connection. File descriptors (`exec`) come as SCM_RIGHTS with
//! the request's own bytes. The launcher hears the same [`Reply`] lines over a socket pair while the lab comes up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::plan::On;

use crate::compose::Limits;
use crate::kernel::sandbox::Window;
use crate::lab::events::Event;
use crate::lab::usage::Usages;
use crate::plan::{Direct, Held};

/// The protocol's version: to be counted up with every change of what is said. Whoever asks says it, and so does whoever refuses: a lab
/// that was brought up by another version of the program is told from one that refuses for a reason.
pub const VERSION: u32 = 3;

/// What to do about a lab that was brought up by another version.
pub const OTHER_VERSION: &str = "`netns-setup down`, then `netns-setup up`";

/// Longest request line in bytes.
pub const MAX_REQUEST: usize = 4 << 20;

/// A request with the version of who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// [`VERSION`] of the sender.
    pub v: u32,
    /// What is asked.
    pub request: Request,
}

/// What can be asked of a running lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// Answered by one [`Reply::Status`].
    Status,
    /// Stop everything and end; [`Reply::Progress`] lines until the connection ends with the lab.
    Down,
    /// Stop, start, restart, kill or await instances. [`Reply::Progress`] lines about them, then [`Reply::Done`], or
    /// [`Progress::Failed`] or [`Reply::Error`] in its place.
    Steer {
        /// What is to be done.
        steer: Steer,
        /// Services, or instances; none: all.
        services: Vec<String>,
        /// How long what is started may take to become healthy; `None`: it is not waited for.
        wait_ms: Option<u64>,
    },
    /// Make something else of the lab. Answered as [`Request::Steer`] is. With it come listening sockets of the host, for `ports`.
    Change(Box<Change>),
    /// Run a program in an instance's sandbox, on the three descriptors that come with the request. Answered by [`Reply::Exited`]
    /// once it ended. Further bytes on the connection are signal numbers to pass on, one a byte; closing it kills the program.
    Exec(Exec),
    /// Run a one-off instance of a service on the three descriptors that come with the request; the rest is as with
    /// [`Request::Exec`]. It is gone when it has ended.
    Run(Run),
    /// Answered by one [`Reply::Usage`].
    Usage,
    /// [`Reply::Event`] lines as things happen, until the lab or the connection ends.
    Events {
        /// Also what happened since then, in milliseconds since 1970.
        since_unix_ms: Option<u64>,
        /// Ends with what happened then.
        until_unix_ms: Option<u64>,
    },
}

/// A one-off instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Of which service.
    pub service: String,
    /// Its name; `<service>-run-<n>` when absent.
    pub name: Option<String>,
    /// In place of the service's entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// In place of the service's command, unless empty.
    pub argv: Vec<String>,
    /// Variables beside those of the service, or in their place.
    pub env: BTreeMap<String, String>,
    /// Its working directory; the service's own when absent.
    pub cwd: Option<PathBuf>,
    /// As for [`Exec::terminal`].
    pub terminal: Option<Window>,
}

/// A program to run inside the lab.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// An instance, a service (its first instance that runs), or the router or the world: there a program of the machine runs, as the
    /// lab's root.
    pub target: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Variables beside those it has there, or in their place.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Its working directory; the sandbox's own (the root folder) when absent.
    #[serde(default)]
    pub cwd: Option<PathBuf>,
    /// In an instance's network as well: the machine's program, as the lab's root.
    #[serde(default)]
    pub privileged: bool,
    /// Answer, by [`Reply::Exited`] with 0, as soon as it runs, and let it run on.
    #[serde(default)]
    pub detach: bool,
    /// Give it a terminal of this size. The first descriptor is then a Unix socket, over which the terminal's other end comes.
    #[serde(default)]
    pub terminal: Option<Window>,
}

/// What a person may ask of instances that are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Steer {
    /// Stop them, dependents first, and keep them stopped.
    Stop {
        /// How long each may take before it is killed; `None`: as its service says.
        grace_ms: Option<u64>,
    },
    /// Start those that do not run, and what they depend on.
    Start,
    /// Stop, then start them.
    Restart {
        /// As for [`Steer::Stop`].
        grace_ms: Option<u64>,
        /// Leaves those alone that `depends_on` restarts with them.
        no_deps: bool,
    },
    /// Send a signal; one that stops them keeps them stopped.
    Kill {
        /// Its number.
        signal: i32,
    },
    /// Wait until each has ended once: [`Reply::Ended`] for each.
    Wait,
}

/// What a lab is to become.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The Compose file as it is now; `None`: as the lab knows it.
    pub file: Option<FileNow>,
    /// Instances of each of these services; of others as many as there are.
    pub scale: BTreeMap<String, u32>,
    /// Services that are to run, each as the file says now.
    pub services: BTreeSet<String>,
    /// Whether those run anew even if nothing about them has changed, or go on as they are even if something has.
    pub recreate: Recreate,
    /// What the sockets listen on, in their order.
    pub ports: Vec<On>,
    /// How long what is started may take to become healthy; `None`: it is not waited for.
    pub wait_ms: Option<u64>,
}

/// Which instances of those that stay are started anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recreate {
    /// Those whose service, or binary, is not what it was.
    #[default]
    Changed,
    /// All of them.
    All,
    /// None.
    None,
}

/// A Compose file with all that decides how it is understood.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileNow {
    /// The files' paths and texts, in their order.
    pub sources: Vec<(PathBuf, String)>,
    /// What relative paths start from.
    pub dir: PathBuf,
    /// The variables.
    pub environment: BTreeMap<String, String>,
    /// Where each package's binary is.
    pub binaries: BTreeMap<String, PathBuf>,
}

/// What a lab answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// How things stand.
    Status(Box<Status>),
    /// What the instances use.
    Usage(Usages),
    /// Something happened to an instance.
    Event(Event),
    /// Something happened.
    Progress(Progress),
    /// The program that [`Request::Exec`] started has ended.
    Exited {
        /// Its exit code; 128 and the signal's number when a signal ended it.
        code: i32,
    },
    /// An instance that was waited for has ended.
    Ended {
        /// Its name.
        instance: String,
        /// Its exit code; 128 and the signal's number when a signal ended it.
        code: i32,
    },
    /// What was asked for has come about.
    Done {
        /// How many instances it concerned; 0: nothing was changed.
        touched: usize,
        /// How long it took.
        took_ms: u64,
    },
    /// The request cannot be met.
    Error {
        /// What is wrong and what to do about it.
        message: String,
        /// The exit code that goes with it; `None`: that of any failure.
        #[serde(default)]
        code: Option<u8>,
        /// [`VERSION`] of who refuses; 0: one from before it was said.
        #[serde(default)]
        v: u32,
    },
}

impl Reply {
    /// A request that cannot be met: what is wrong, and the exit code that goes with it if it is not that of any failure.
    #[must_use]
    pub fn refusal(message: impl Into<String>, code: Option<u8>) -> Self {
        Self::Error {
            message: message.into(),
            code,
            v: VERSION,
        }
    }
}

/// Something that happened while the lab comes up or goes down. Times are milliseconds since its first process began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Progress {
    /// Namespaces, links, addresses, routes and rules stand.
    Network {
        /// How long building them took.
        took_ms: f64,
        /// Network namespaces.
        namespaces: usize,
        /// Kernel operations.
        operations: usize,
        /// The router's namespace, as a descriptor of the lab's first process.
        #[serde(default)]
        router: Option<i32>,
    },
    /// An instance reached another state.
    Instance {
        /// Its name.
        instance: String,
        /// The state.
        state: InstanceState,
        /// When.
        at_ms: u64,
        /// Milliseconds since it was started (or, stopped: since it was told to).
        took_ms: u64,
        /// What went wrong, if anything.
        detail: Option<String>,
    },
    /// Everything runs and is healthy.
    Ready {
        /// When.
        at_ms: u64,
        /// Resident memory of the instances, in bytes.
        memory: Vec<(String, u64)>,
        /// Why limits that the file states are not enforced, if they are not.
        #[serde(default)]
        unenforced: Option<String>,
    },
    /// The lab cannot come up.
    Failed {
        /// The instance that failed, if it is one that did.
        instance: Option<String>,
        /// Why.
        message: String,
        /// The last lines of its log.
        tail: Vec<String>,
    },
    /// The last words of a lab that was taken down. One that was killed has none.
    Ended,
}

/// What people call the state of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// Waits for what it depends on.
    Waiting,
    /// Runs; its health check has not passed yet.
    Starting,
    /// Runs, and has no health check.
    Running,
    /// Runs, and its health check passes.
    Healthy,
    /// Runs, and its health check fails.
    Unhealthy,
    /// Ended, and is started again after a pause.
    Restarting,
    /// Ended with success, for good.
    Completed,
    /// Ended with failure, for good.
    Failed,
    /// Was told to stop.
    Stopping,
    /// Was stopped.
    Stopped,
    /// Was stopped, and is no more.
    Removed,
}

impl InstanceState {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Restarting => "restarting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Removed => "removed",
        }
    }
}

/// How a lab stands: what `ps --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The project's name.
    pub project: String,
    /// The lab's first process, as the host numbers it.
    pub pid: i32,
    /// Milliseconds since it began.
    pub uptime_ms: u64,
    /// How long building the network took, in milliseconds.
    pub network_ms: f64,
    /// When everything was healthy for the first time.
    pub ready_ms: Option<u64>,
    /// Whether it is being taken down.
    #[serde(default)]
    pub stopping: bool,
    /// Why limits that the file states are not enforced, if they are not.
    #[serde(default)]
    pub unenforced: Option<String>,
    /// Whether the disk that the logs are on is full: what instances write is lost.
    #[serde(default)]
    pub disk_full: bool,
    /// Where its bring-up is held (`up --until`); not there when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// The Compose files that it was read from.
    #[serde(default)]
    pub files: Vec<PathBuf>,
    /// Published ports.
    pub published: Vec<PublishedPort>,
    /// How this host reaches the instances by their own addresses; `None`: not at all.
    #[serde(default)]
    pub uplink: Option<Box<UplinkStatus>>,
    /// The instances, by service and index.
    pub instances: Vec<InstanceStatus>,
}

/// The pair of interfaces between the host and a lab that root runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkStatus {
    /// The host's end.
    pub link: String,
    /// The host's address.
    pub host: std::net::Ipv4Addr,
    /// The router's address.
    pub router: std::net::Ipv4Addr,
    /// Subnets that lead this way.
    pub reached: Vec<ipnet::Ipv4Net>,
    /// What the policy opens to the host.
    pub direct: Vec<Direct>,
}

/// A port of the host that is answered by a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// Host address; `None`: all of them.
    pub host_ip: Option<std::net::IpAddr>,
    /// Host port.
    pub host_port: u16,
    /// The service.
    pub service: String,
    /// The port it answers on.
    pub target_port: u16,
}

/// One instance in [`Status`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// `<service>-<index>`.
    pub name: String,
    /// Its service.
    pub service: String,
    /// From 1.
    pub index: u32,
    /// Where it is in its life, and what its health check says.
    pub state: InstanceState,
    /// What its health check says: `none`, `starting`, `healthy` or `unhealthy`.
    pub health: String,
    /// Its address; `None`: it has no network.
    pub address: Option<std::net::Ipv4Addr>,
    /// Its process as the lab's PID namespace numbers it.
    pub lab_pid: Option<i32>,
    /// Its process as the host numbers it (filled in by the command line): `nsenter --target` takes it.
    #[serde(default)]
    pub pid: Option<i32>,
    /// Milliseconds since it was started; `None`: it does not run.
    pub uptime_ms: Option<u64>,
    /// How often it was started again.
    pub restarts: u32,
    /// How it ended last.
    pub exit_code: Option<i32>,
    /// Whether that was the kernel's doing because it hit its memory limit.
    #[serde(default)]
    pub oom_killed: bool,
    /// The limits that are enforced on it.
    #[serde(default)]
    pub limits: Limits,
    /// Whether it keeps ending.
    pub crash_loop: bool,
    /// The last lines of its log when it is in a crash loop, unhealthy or failed.
    pub tail: Vec<String>,
}

/// One line, its line feed included.
///
/// # Errors
/// Never for the types of this module; the signature is serde's.
pub fn line<T: Serialize>(value: &T) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads a request line; a message for the asker when it cannot be understood.
///
/// # Errors
/// The text to answer with.
pub fn parse_request(line: &[u8]) -> Result<Request, String> {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    match serde_json::from_slice::<Version>(line) {
        Ok(Version { v }) if v != VERSION => Err(format!(
            "this lab speaks version {VERSION} of the control protocol and was asked in version {v}\n = help: {OTHER_VERSION}"
        )),
        _ => serde_json::from_slice::<Envelope>(line)
            .map(|envelope| envelope.request)
            .map_err(|error| format!("not a request: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_request() -> impl Strategy<Value = Request> {
        prop_oneof![
            Just(Request::Status),
            Just(Request::Down),
            (".*", proptest::collection::vec(".*", 0..4), any::<bool>()).prop_map(
                |(target, argv, privileged)| Request::Exec(Exec {
                    target,
                    argv,
                    privileged,
                    ..Exec::default()
                })
            ),
            (
                ".*",
                any::<Option<String>>(),
                proptest::collection::vec(".*", 0..3)
            )
                .prop_map(|(service, name, argv)| {
                    Request::Run(Run {
                        service,
                        name,
                        argv,
                        ..Run::default()
                    })
                }),
            any_change().prop_map(|change| Request::Change(Box::new(change))),
            (
                any_steer(),
                proptest::collection::vec(".*", 0..4),
                any::<Option<u64>>()
            )
                .prop_map(|(steer, services, wait_ms)| Request::Steer {
                    steer,
                    services,
                    wait_ms
                }),
        ]
    }

    fn any_change() -> impl Strategy<Value = Change> {
        let file = (".*", ".*", ".*").prop_map(|(path, text, value)| FileNow {
            sources: vec![(path.clone().into(), text)],
            dir: path.clone().into(),
            environment: BTreeMap::from([(path.clone(), value)]),
            binaries: BTreeMap::from([(path.clone(), path.into())]),
        });
        let recreate = prop_oneof![
            Just(Recreate::Changed),
            Just(Recreate::All),
            Just(Recreate::None)
        ];
        let scale = proptest::collection::btree_map(".*", any::<u32>(), 0..3);
        let services = proptest::collection::btree_set(".*", 0..3);
        let ports = proptest::collection::vec(any::<On>(), 0..3);
        let wait = any::<Option<u64>>();
        (
            proptest::option::of(file),
            scale,
            services,
            recreate,
            ports,
            wait,
        )
            .prop_map(|(file, scale, services, recreate, ports, wait_ms)| Change {
                file,
                scale,
                services,
                recreate,
                ports,
                wait_ms,
            })
    }

    fn any_steer() -> impl Strategy<Value = Steer> {
        prop_oneof![
            any::<Option<u64>>().prop_map(|grace_ms| Steer::Stop { grace_ms }),
            Just(Steer::Start),
            any::<(Option<u64>, bool)>()
                .prop_map(|(grace_ms, no_deps)| Steer::Restart { grace_ms, no_deps }),
            any::<i32>().prop_map(|signal| Steer::Kill { signal }),
            Just(Steer::Wait),
        ]
    }

    proptest! {
        #[test]
        fn a_request_is_one_line_and_comes_back_as_sent(request in any_request()) {
            let bytes = line(&Envelope { v: VERSION, request: request.clone() }).unwrap();
            prop_assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
            prop_assert_eq!(parse_request(&bytes).unwrap(), request);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_request(&bytes);
        }
    }

    /// What the fuzzer starts from (`netns/fuzz`) is of use only as long as it is understood.
    #[test]
    fn the_fuzzers_seeds_are_requests() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/request");
        for seed in std::fs::read_dir(seeds).unwrap() {
            let path = seed.unwrap().path();
            let request = std::fs::read_to_string(&path).unwrap();
            let line = format!("{{\"v\":{VERSION},\"request\":{request}}}");
            let read = parse_request(line.as_bytes());
            assert!(read.is_ok(), "{}: {read:?}", path.display());
        }
    }

    #[test]
    fn another_version_is_named() {
        let error = parse_request(br#"{"v":99,"request":{"do":"something_new"}}"#).unwrap_err();
        assert!(error.contains("version 99"), "{error}");
    }
}
