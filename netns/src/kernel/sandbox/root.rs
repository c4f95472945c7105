//! The root file system of a sandbox: a small read-only tmpfs with the machine's programs and libraries, own `/etc`, `/dev` and
//! `/proc`, and what the specification mounts. Nothing else of the machine exists in it.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use nix::unistd::{chdir, pivot_root};

use super::mounts::{DEVICE, READ_ONLY, Source, WRITABLE, check_target, make_mount_point, tmpfs};
use super::{Mount, MountSource, SandboxSpec, etc};
use crate::kernel::failure::{Failure, Step};
use crate::kernel::sys;

/// Bytes that the root itself may hold: it has mount points and a few small files.
const ROOT_SIZE: u64 = 16 << 20;
/// Bytes of `/dev/shm`, Docker's default.
const SHM_SIZE: u64 = 64 << 20;
/// Where the old root is until it is let go.
const OLD_ROOT: &str = "/.old-root";

/// Folders of programs and libraries. On a merged-/usr system all but the first are symbolic links into it.
const SYSTEM: [&str; 7] = [
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
];
const DEVICES: [&str; 6] = ["full", "null", "random", "tty", "urandom", "zero"];
/// Parts of `/proc` that change the kernel: made read-only.
const FROZEN: [&str; 4] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"];
/// Parts of `/proc` that tell about, or act on, the machine: covered.
const COVERED: [&str; 9] = [
    "/proc/acpi",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/scsi",
    "/proc/sched_debug",
    "/proc/sysrq-trigger",
    "/proc/timer_list",
];

/// A folder of programs: a link like the machine's, or the folder itself.
enum System {
    Link(PathBuf),
    Folder(Source),
}

/// Moves the calling process, first of its PID namespace and alone in its mount namespace, into a new root.
///
/// Returns the folder `/proc/sys/user`, held from before `/proc/sys` became read-only.
pub(super) fn build(spec: &SandboxSpec) -> Result<OwnedFd, Failure> {
    let system = open_system()?;
    let devices = DEVICES
        .iter()
        .map(|name| Ok((*name, Source::open(&Path::new("/dev").join(name))?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    let etc_sources = etc::sources()?;
    let hosts = Source::open(&spec.hosts)?;
    let mounts = open_mounts(&spec.mounts)?;

    pivot()?;
    for (path, entry) in system {
        match entry {
            System::Link(to) => symlink(to, path).step(|| format!("link {path}"))?,
            System::Folder(source) => source.bind(Path::new(path), READ_ONLY)?,
        }
    }
    etc::fill(&etc_sources, &spec.hostname, &hosts)?;
    fill_dev(&devices)?;
    for folder in ["/run", "/var/lib", "/var/tmp", "/tmp"] {
        fs::create_dir_all(folder).step(|| format!("make {folder}"))?;
    }
    symlink("/run", "/var/run").step(|| "link /var/run".into())?;
    for writable in ["/tmp", "/var/tmp"] {
        tmpfs(Path::new(writable), None, 0o1777, MsFlags::empty())?;
    }
    for (mount, source) in &mounts {
        attach(mount, source.as_ref())?;
    }
    let limits = open(
        "/proc/sys/user",
        OFlag::O_PATH | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .step(|| "open /proc/sys/user".into())?;
    protect_proc()?;
    umount2(OLD_ROOT, MntFlags::MNT_DETACH).step(|| "let the old root go".into())?;
    fs::remove_dir(OLD_ROOT).step(|| "remove the old root's mount point".into())?;
    sys::add_mount_attributes(Path::new("/"), READ_ONLY, false)
        .step(|| "make the root read-only".into())?;
    Ok(limits)
}

fn open_system() -> Result<Vec<(&'static str, System)>, Failure> {
    let mut entries = Vec::new();
    for path in SYSTEM {
        if let Ok(to) = fs::read_link(path) {
            entries.push((path, System::Link(to)));
        } else if let Some(source) = Source::open_if_there(Path::new(path))? {
            entries.push((path, System::Folder(source)));
        }
    }
    Ok(entries)
}

/// The mounts, those above before those below, with their sources held.
fn open_mounts(mounts: &[Mount]) -> Result<Vec<(&Mount, Option<Source>)>, Failure> {
    let mut mounts: Vec<_> = mounts.iter().collect();
    mounts.sort_by_key(|mount| mount.target.components().count());
    mounts
        .into_iter()
        .map(|mount| {
            check_target(&mount.target)?;
            let source = match &mount.source {
                MountSource::Bind(path) => Some(Source::open(path)?),
                MountSource::Tmpfs { .. } => None,
            };
            Ok((mount, source))
        })
        .collect()
}

fn attach(mount: &Mount, source: Option<&Source>) -> Result<(), Failure> {
    let attributes = if mount.read_only { READ_ONLY } else { WRITABLE };
    match (&mount.source, source) {
        (MountSource::Tmpfs { size, mode }, _) => {
            make_mount_point(&mount.target, true)?;
            let mode = mode.unwrap_or(0o1777);
            tmpfs(&mount.target, *size, mode, MsFlags::MS_NOEXEC)?;
            sys::add_mount_attributes(&mount.target, attributes, false)
                .step(|| format!("protect the mount {}", mount.target.display()))
        }
        (MountSource::Bind(_), Some(source)) => source.bind(&mount.target, attributes),
        (MountSource::Bind(path), None) => Err(Failure::of(
            format!("mount {}", path.display()),
            "its source was not opened",
        )),
    }
}

/// Puts a tmpfs in the place of the root; the old one stays below it for a while. `/tmp` is only where the new root is born: it is
/// there on every machine, and sources below it have been opened.
fn pivot() -> Result<(), Failure> {
    let base = Path::new("/tmp");
    tmpfs(base, Some(ROOT_SIZE), 0o755, MsFlags::empty())?;
    let below = |path: &str| base.join(path.trim_start_matches('/'));
    for folder in [OLD_ROOT, "/proc"] {
        fs::create_dir(below(folder)).step(|| format!("make {folder}"))?;
    }
    mount(
        Some("proc"),
        &below("/proc"),
        Some("proc"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        None::<&str>,
    )
    .step(|| "mount its /proc".into())?;
    pivot_root(base, &below(OLD_ROOT)).step(|| "change the root".into())?;
    chdir("/").step(|| "change to the new root".into())
}

fn fill_dev(devices: &[(&str, Source)]) -> Result<(), Failure> {
    let dev = Path::new("/dev");
    for (name, source) in devices {
        source.bind(&dev.join(name), DEVICE)?;
    }
    for (name, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlink(to, dev.join(name)).step(|| format!("link /dev/{name}"))?;
    }
    for folder in ["/dev/shm", "/dev/pts"] {
        fs::create_dir(folder).step(|| format!("make {folder}"))?;
    }
    tmpfs(
        Path::new("/dev/shm"),
        Some(SHM_SIZE),
        0o1777,
        MsFlags::MS_NOEXEC,
    )?;
    mount(
        Some("devpts"),
        "/dev/pts",
        Some("devpts"),
        MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
        Some("newinstance,ptmxmode=0666,mode=0620"),
    )
    .step(|| "mount its /dev/pts".into())
}

/// Freezes and covers what in `/proc` is the machine's and not the sandbox's.
fn protect_proc() -> Result<(), Failure> {
    for path in FROZEN.map(Path::new) {
        if let Some(source) = Source::open_if_there(path)? {
            source.bind(path, READ_ONLY | libc::MOUNT_ATTR_NOEXEC)?;
        }
    }
    let nothing = Source::open(Path::new("/dev/null"))?;
    for path in COVERED.map(Path::new) {
        if path.is_dir() {
            tmpfs(path, Some(0), 0o555, MsFlags::MS_RDONLY)?;
        } else if path.exists() {
            nothing.bind(path, DEVICE)?;
        }
    }
    Ok(())
}
