//! The attempts that take more than one call.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, stdin};
use std::mem::ManuallyDrop;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self as unix, UnixStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, umount2};
use nix::sched::CloneFlags;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{Pid, getpgrp, setsid, tcsetpgrp};

use super::raw::{call, take_terminal, type_into};

/// Reads a byte; a file that has none is covered, which is said as ENODATA.
pub(super) fn read(path: impl AsRef<Path>) -> io::Result<()> {
    match File::open(path)?.read(&mut [0])? {
        0 => Err(Errno::ENODATA.into()),
        _ => Ok(()),
    }
}

pub(super) fn read_only(path: impl AsRef<Path>) -> io::Result<()> {
    File::open(path).map(drop)
}

pub(super) fn list(path: impl AsRef<Path>) -> io::Result<()> {
    fs::read_dir(path).map(drop)
}

/// Opens for writing, and writes nothing.
pub(super) fn writable(path: impl AsRef<Path>) -> io::Result<()> {
    OpenOptions::new().write(true).open(path).map(drop)
}

pub(super) fn create(path: &Path) -> io::Result<()> {
    File::create(path)?;
    fs::remove_file(path)
}

pub(super) fn device() -> io::Result<()> {
    let path = format!("/tmp/intruder-{}", std::process::id());
    let mode = Mode::from_bits_truncate(0o600);
    mknod(path.as_str(), SFlag::S_IFCHR, mode, makedev(1, 3))?;
    fs::remove_file(path)
}

/// Opens a file by what the file system calls it inside, which asks for no path and no permission on one.
pub(super) fn open_by_handle(path: &str) -> io::Result<()> {
    // struct file_handle: bytes in the handle, its type, the handle.
    let mut handle = [0_u32; 34];
    handle[0] = 128;
    let (path, mut mount) = (std::ffi::CString::new(path)?, 0_i32);
    let (handle, mount) = (handle.as_mut_ptr() as usize, (&raw mut mount) as usize);
    let name = path.as_ptr() as usize;
    call(
        libc::SYS_name_to_handle_at,
        [libc::AT_FDCWD as usize, name, handle, mount, 0],
    )
    .expect("a handle");
    let folder = File::open(Path::new("/etc"))?;
    let folder = folder.as_raw_fd() as usize;
    call(libc::SYS_open_by_handle_at, [folder, handle, 0]).map(drop)
}

pub(super) fn connect_path(path: &Path) -> io::Result<()> {
    UnixStream::connect(path).map(drop)
}

pub(super) fn connect_abstract(name: &str) -> io::Result<()> {
    UnixStream::connect_addr(&unix::SocketAddr::from_abstract_name(name)?).map(drop)
}

pub(super) fn connect_port(port: u16) -> io::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, Duration::from_secs(5)).map(drop)
}

pub(super) fn own_pid() -> usize {
    std::process::id() as usize
}

/// The null signal: asks whether a signal could be sent.
pub(super) fn signal(pid: i32) -> io::Result<()> {
    Ok(nix::sys::signal::kill(Pid::from_raw(pid), None)?)
}

/// Attaches without stopping it; the end of this process lets it go.
pub(super) fn trace(pid: i32) -> io::Result<()> {
    let seize = libc::PTRACE_SEIZE as usize;
    call(libc::SYS_ptrace, [seize, pid as usize, 0, 0]).map(drop)
}

/// Reads from an address that no process has, which the kernel finds out only once it has agreed.
pub(super) fn read_memory(pid: i32) -> io::Result<()> {
    let mut byte = 0_u8;
    let (ours, theirs) = ([(&raw mut byte) as usize, 1], [8_usize, 1]);
    let (ours, theirs) = (ours.as_ptr() as usize, theirs.as_ptr() as usize);
    call(
        libc::SYS_process_vm_readv,
        [pid as usize, ours, 1, theirs, 1, 0],
    )
    .map(drop)
}

pub(super) fn take_descriptor() -> io::Result<()> {
    let held = call(libc::SYS_pidfd_open, [own_pid(), 0]).expect("a descriptor for itself");
    call(libc::SYS_pidfd_getfd, [held as usize, 1, 0]).map(drop)
}

pub(super) fn unshare(flags: CloneFlags) -> io::Result<()> {
    Ok(nix::sched::unshare(flags)?)
}

pub(super) fn enter(namespace: &str) -> io::Result<()> {
    let namespace = File::open(namespace).expect("its own namespace");
    Ok(nix::sched::setns(namespace, CloneFlags::empty())?)
}

/// Where there is something to mount on.
const TARGET: &str = "/tmp";

pub(super) fn mount(kind: &str) -> io::Result<()> {
    let (nothing, flags) = (None::<&str>, MsFlags::empty());
    Ok(nix::mount::mount(
        Some("none"),
        TARGET,
        Some(kind),
        flags,
        nothing,
    )?)
}

pub(super) fn unmount() -> io::Result<()> {
    let _ = mount("tmpfs"); // something to unmount, where that is permitted
    Ok(umount2(TARGET, MntFlags::MNT_DETACH)?)
}

pub(super) fn clone_tree() -> io::Result<()> {
    let path = c"/tmp".as_ptr() as usize;
    let flags = libc::OPEN_TREE_CLONE as usize | libc::AT_RECURSIVE as usize;
    call(libc::SYS_open_tree, [libc::AT_FDCWD as usize, path, flags]).map(drop)
}

pub(super) fn make_writable() -> io::Result<()> {
    // struct mount_attr: set, clear, propagation, user namespace.
    let attributes = [0, libc::MOUNT_ATTR_RDONLY, 0, 0];
    let (path, size) = (c"/usr".as_ptr() as usize, size_of_val(&attributes));
    let (here, attributes) = (libc::AT_FDCWD as usize, attributes.as_ptr() as usize);
    call(libc::SYS_mount_setattr, [here, path, 0, attributes, size]).map(drop)
}

pub(super) fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<()> {
    let arguments = [family as usize, kind as usize, protocol as usize];
    call(libc::SYS_socket, arguments).map(drop)
}

/// Loopback, by RTM_NEWLINK: struct ifinfomsg with index 1 and the change of IFF_UP to nothing.
pub(super) fn link_down() -> io::Result<()> {
    let body = [0_u32, 1, 0, libc::IFF_UP as u32];
    netlink(libc::NETLINK_ROUTE, libc::RTM_NEWLINK, 0, &body)
}

/// RTM_DELROUTE: struct rtmsg of IPv4's main table, any route.
pub(super) fn drop_routes() -> io::Result<()> {
    let body = [libc::AF_INET as u32, u32::from(libc::RT_TABLE_MAIN), 0];
    netlink(libc::NETLINK_ROUTE, libc::RTM_DELROUTE, 0, &body)
}

/// NFT_MSG_GETTABLE of nf_tables: struct nfgenmsg, all families.
pub(super) fn ask_for_rules() -> io::Result<()> {
    let kind = (libc::NFNL_SUBSYS_NFTABLES << 8 | libc::NFT_MSG_GETTABLE) as u16;
    netlink(libc::NETLINK_NETFILTER, kind, libc::NLM_F_DUMP, &[0])
}

/// Sends one request and reads the first answer.
fn netlink(family: i32, kind: u16, flags: i32, body: &[u32]) -> io::Result<()> {
    use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send};
    let protocol = match family {
        libc::NETLINK_NETFILTER => SockProtocol::NetlinkNetFilter,
        _ => SockProtocol::NetlinkRoute,
    };
    let socket = nix::sys::socket::socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        protocol,
    )
    .expect("a netlink socket, which anybody may open");
    // struct nlmsghdr: length, type and flags, sequence, port.
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK | flags) as u32;
    let length = (16 + 4 * body.len()) as u32;
    let words = [length, u32::from(kind) | flags << 16, 1, 0];
    let request: Vec<u8> = words
        .iter()
        .chain(body)
        .flat_map(|word| word.to_ne_bytes())
        .collect();
    send(socket.as_raw_fd(), &request, MsgFlags::empty())?;
    let mut answer = [0; 4096];
    recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    let word = |at: usize| {
        answer[at..]
            .first_chunk::<4>()
            .map_or(0, |word| i32::from_ne_bytes(*word))
    };
    if word(4) & 0xffff == libc::NLMSG_ERROR && word(16) != 0 {
        return Err(io::Error::from_raw_os_error(-word(16)));
    }
    Ok(())
}

/// BPF_MAP_CREATE: an array of one word.
pub(super) fn bpf_map() -> io::Result<()> {
    let attributes = [2_u32, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let (pointer, size) = (attributes.as_ptr() as usize, size_of_val(&attributes));
    call(libc::SYS_bpf, [0, pointer, size]).map(drop)
}

/// struct perf_event_attr: a software event, this process's time on the processor, without the kernel's.
pub(super) fn perf_event() -> io::Result<()> {
    let mut attributes = [0_u64; 16];
    attributes[0] = 1 | 128 << 32;
    attributes[5] = 1 << 5 | 1 << 6;
    let (pointer, any) = (attributes.as_ptr() as usize, usize::MAX);
    call(libc::SYS_perf_event_open, [pointer, 0, any, any, 0]).map(drop)
}

pub(super) fn io_uring() -> io::Result<()> {
    let parameters = [0_u32; 30];
    let pointer = parameters.as_ptr() as usize;
    call(libc::SYS_io_uring_setup, [1, pointer]).map(drop)
}

/// To the keyring of this process.
pub(super) fn add_key() -> io::Result<()> {
    let (kind, name) = (c"user".as_ptr() as usize, c"intruder".as_ptr() as usize);
    let own = (-2_isize).cast_unsigned();
    call(libc::SYS_add_key, [kind, name, name, 8, own]).map(drop)
}

/// A terminal of its own, in a session of its own: the kernel would permit it.
pub(super) fn type_into_terminal() -> io::Result<()> {
    // Not closed before this process ends: that would hang up on it.
    let terminal = ManuallyDrop::new(nix::pty::openpty(None, None).expect("a terminal"));
    setsid()?;
    take_terminal(terminal.slave.as_fd()).expect("a session without a terminal takes one");
    type_into(terminal.slave.as_fd())
}

/// Whoever leads a session without a terminal may have one; that of another session if privileged.
pub(super) fn take_from_its_session() -> io::Result<()> {
    setsid()?;
    take_terminal(stdin().as_fd())
}

/// Becomes the one that the terminal's keys go to.
pub(super) fn foreground() -> io::Result<()> {
    Ok(tcsetpgrp(stdin(), getpgrp())?)
}

/// Opens files until it may open no more, which has to be before there are many.
pub(super) fn exhaust_descriptors() -> io::Result<()> {
    let null = File::open("/dev/null")?;
    let mut held = Vec::new();
    while held.len() <= 65_536 {
        held.push(null.try_clone()?);
    }
    Ok(())
}

/// The size of a core, since nobody else's limit depends on it.
pub(super) fn raise_limit() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 1, 1)?;
    Ok(setrlimit(Resource::RLIMIT_CORE, 2, 2)?)
}

/// The dynamic linker shows a program's auxiliary vector, unless the kernel told it that the program has gained something.
pub(super) fn gain() -> io::Result<()> {
    let output = Command::new("/usr/bin/su")
        .arg("--version")
        .env("LD_SHOW_AUXV", "1")
        .output()?;
    let shown = String::from_utf8_lossy(&output.stdout)
        .lines()
        .any(|line| line.split_whitespace().eq(["AT_SECURE:", "0"]));
    if shown {
        Err(Errno::EPERM.into())
    } else {
        Ok(())
    }
}
