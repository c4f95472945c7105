//! What the scenarios use inside a lab.

use std::collections::BTreeMap;
use std::fs;
use std::io::{PipeReader, PipeWriter, Read, pipe};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use netns_setup::kernel::cgroup::Membership;
use netns_setup::kernel::namespace::{NetNamespace, run_in};
use netns_setup::kernel::reaper::{Collected, Exit, Reaper};
use netns_setup::kernel::sandbox::{
    ExecSpec, Mount, MountSource, ProcessLimits, SandboxSpec, Start, Streams, exec_in, spawn,
};
use netns_setup::kernel::{Failure, Identity};
use nix::unistd::Pid;
use tokio::runtime::Runtime;

/// PID 1 of a lab, and a folder for its volumes.
pub(crate) struct Lab {
    pub(crate) identity: Identity,
    pub(crate) folder: tempfile::TempDir,
    /// To the launcher.
    pub(crate) messages: PipeWriter,
    /// Opened in the host's network before the lab was entered.
    pub(crate) listener: TcpListener,
    /// Collects what has ended while something is waited for in it.
    pub(crate) runtime: Rc<Runtime>,
    pub(crate) reaper: Reaper,
}

/// A program in a sandbox, and what it writes.
pub(crate) struct Running {
    pub(crate) pid: Pid,
    pub(crate) output: PipeReader,
    end: Collected,
    runtime: Rc<Runtime>,
}

impl Lab {
    pub(crate) fn new(identity: Identity, messages: PipeWriter, listener: TcpListener) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let reaper = Reaper::default();
        runtime.spawn(reaper.clone().run());
        Self {
            identity,
            folder: tempfile::tempdir().unwrap(),
            messages,
            listener,
            runtime: Rc::new(runtime),
            reaper,
        }
    }

    /// A volume of its own, ready for a sandbox.
    pub(crate) fn volume(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        self.identity.prepare_volume(&path).unwrap();
        path
    }

    /// A sandbox of the machine's programs.
    pub(crate) fn spec(&self, argv: &[&str], mounts: Vec<Mount>) -> SandboxSpec {
        let hosts = self.folder.path().join("hosts");
        fs::write(&hosts, "127.0.0.1\tlocalhost\n10.1.2.3\tother\n").unwrap();
        SandboxSpec {
            name: "box-1".into(),
            hostname: "box-1".into(),
            argv: words(argv),
            env: BTreeMap::from([("PATH".into(), "/usr/bin:/bin:/usr/sbin:/sbin".into())]),
            cwd: "/".into(),
            mounts,
            hosts,
            terminal: None,
            limits: ProcessLimits::default(),
            group: Membership::default(),
        }
    }

    pub(crate) fn start(&self, spec: &SandboxSpec) -> Result<Running, Failure> {
        let network = NetNamespace::current().unwrap();
        self.with_streams(|streams| spawn(&self.reaper, spec, network.as_fd(), streams))
    }

    pub(crate) fn exec(&self, target: &Running, argv: &[&str]) -> Result<Running, Failure> {
        self.exec_in_group(target, argv, Membership::default())
    }

    pub(crate) fn exec_in_group(
        &self,
        target: &Running,
        argv: &[&str],
        group: Membership,
    ) -> Result<Running, Failure> {
        let spec = ExecSpec {
            name: "probe".into(),
            argv: words(argv),
            env: BTreeMap::new(),
            cwd: "/".into(),
            limits: ProcessLimits::default(),
            group,
            terminal: None,
        };
        self.with_streams(|streams| exec_in(&self.reaper, target.pid, &spec, streams))
    }

    fn with_streams(
        &self,
        begin: impl FnOnce(Streams<'_>) -> Result<Start, Failure>,
    ) -> Result<Running, Failure> {
        let (output, writer) = pipe().unwrap();
        let null = fs::File::open("/dev/null").unwrap();
        let _inside = self.runtime.enter();
        let start = begin(Streams {
            stdin: null.as_fd(),
            stdout: writer.as_fd(),
            stderr: writer.as_fd(),
        })?;
        let program = self
            .runtime
            .block_on(start.finish(std::future::pending()))?;
        Ok(Running {
            pid: program.pid,
            output,
            end: program.end,
            runtime: Rc::clone(&self.runtime),
        })
    }
}

impl Running {
    /// Waits for its end; what it wrote, and how it ended.
    pub(crate) fn finish(mut self) -> (String, Exit) {
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        (text, self.end())
    }

    /// Waits for its end.
    pub(crate) fn end(self) -> Exit {
        self.runtime.block_on(self.end)
    }
}

/// What a program of the machine prints when run in a namespace.
pub(crate) fn output_in(namespace: &NetNamespace, argv: &[&str]) -> String {
    run_in(namespace.as_fd(), || output(argv)).unwrap()
}

/// What a program of the machine prints.
pub(crate) fn output(argv: &[&str]) -> String {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    let output = Command::new(argv[0])
        .args(&argv[1..])
        .env("PATH", path)
        .output()
        .unwrap_or_else(|error| panic!("{argv:?}: {error}"));
    assert!(output.status.success(), "{argv:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn words(argv: &[&str]) -> Vec<String> {
    argv.iter().map(ToString::to_string).collect()
}

pub(crate) fn bind(source: &Path, target: &str, read_only: bool) -> Mount {
    Mount {
        source: MountSource::Bind(source.to_owned()),
        target: target.into(),
        read_only,
    }
}
