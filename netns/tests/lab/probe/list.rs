//! What is tried.

use std::io::{self, stdin};
use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno::{self, *};
use nix::sched::CloneFlags;
use nix::sys::signal::Signal;

use super::raw::{call, call_of_32_bits, clone, clone3, type_into};
use super::tries::*;
use super::{Answer, Place, World};
use Control::{
    Caller, CallerReaches, IfThere, Namespaces, NamespacesReach, Nowhere, OrdinaryUser, Root,
    RootReaches,
};

/// One attempt.
pub(crate) struct Attempt {
    /// In words, after "tries to".
    pub(crate) to: &'static str,
    /// What has to come of it in a sandbox.
    pub(crate) denied: Answer,
    /// Or one of these, depending on whose the file is.
    or: &'static [Errno],
    /// Where it is permitted.
    pub(crate) control: Control,
    pub(super) act: fn(&World) -> io::Result<()>,
}

/// What comes of an attempt where nothing confines.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Control {
    /// The caller can.
    Caller,
    /// Root can; an ordinary user is told so.
    Root(&'static [Errno]),
    /// The kernel gets as far as this for the caller: it is permitted, and pointless.
    CallerReaches(&'static [Errno]),
    /// For root it gets as far as this; an ordinary user is told so.
    RootReaches(&'static [Errno], &'static [Errno]),
    /// Where the machine has such a socket or folder, the caller finds it; who may use it and whether anybody answers is the machine's.
    IfThere(&'static str),
    /// Whoever has every capability in namespaces of their own can.
    Namespaces,
    /// There the kernel gets as far as this.
    NamespacesReach(&'static [Errno]),
    /// An ordinary user can; root has nothing to gain.
    OrdinaryUser,
    /// Its own limits are what is tried.
    Nowhere,
}

impl Attempt {
    /// What may come of it at a place; `None`: it is not tried there.
    pub(crate) fn expected(&self, place: Place, root: bool) -> Option<Vec<Answer>> {
        let refused = |errnos: &[Errno]| errnos.iter().copied().map(Answer::Refused).collect();
        let reaches = |errnos: &[Errno]| {
            let mut answers: Vec<_> = refused(errnos);
            answers.push(Answer::Done);
            answers
        };
        Some(match (place, self.control) {
            (Place::Sandbox, _) => {
                let mut answers: Vec<_> = refused(self.or);
                answers.push(self.denied);
                answers
            }
            (Place::Outside, Caller) => vec![Answer::Done],
            (Place::Outside, CallerReaches(errnos)) => reaches(errnos),
            (Place::Outside, Root(_)) if root => vec![Answer::Done],
            (Place::Outside, RootReaches(errnos, _)) if root => reaches(errnos),
            (Place::Outside, Root(errnos) | RootReaches(_, errnos)) => reaches(errnos),
            (Place::Outside, IfThere(path)) if Path::new(path).exists() => {
                reaches(&[EACCES, ECONNREFUSED])
            }
            (Place::Outside, OrdinaryUser) if !root => vec![Answer::Done],
            (Place::Namespaces, Namespaces) => vec![Answer::Done],
            (Place::Namespaces, NamespacesReach(errnos)) => reaches(errnos),
            _ => return None,
        })
    }
}

impl Attempt {
    const fn or(mut self, errnos: &'static [Errno]) -> Self {
        self.or = errnos;
        self
    }
}

const fn to(
    to: &'static str,
    denied: Errno,
    control: Control,
    act: fn(&World) -> io::Result<()>,
) -> Attempt {
    let denied = Answer::Refused(denied);
    Attempt {
        to,
        denied,
        or: &[],
        control,
        act,
    }
}

/// ENOENT: there is no such thing here. ESRCH: no such process. EPERM: the filter, or a capability that is missing. ENODATA: it is
/// covered and says nothing. EROFS, EACCES: what the file system says.
#[rustfmt::skip] // a table
pub(crate) const ATTEMPTS: &[Attempt] = &[
    // The host's files.
    to("read the host's /etc/shadow", ENOENT, Root(&[EACCES]), |_| read("/etc/shadow")),
    to("read it below ..", ENOENT, Root(&[EACCES]), |_| read("/../../../../../../etc/shadow")),
    to("read it by /proc/1/root", ENOENT, RootReaches(&[EACCES], &[EACCES]), |_| read("/proc/1/root/etc/shadow")),
    to("read it by /proc/1/cwd", ENOENT, RootReaches(&[EACCES], &[EACCES]), |_| read("/proc/1/cwd/../../../../etc/shadow")),
    to("list the host's root by the caller's", ENOENT, Caller, |w| list(format!("/proc/{}/root/etc", w.caller))),
    to("open a file by its handle", EPERM, Root(&[EPERM]), |_| open_by_handle("/etc/hostname")),
    to("list the caller's home", ENOENT, Caller, |w| list(&w.home)),
    to("read the caller's own file", ENOENT, Caller, |w| read(&w.private_file)),
    to("list the caller's home by the user database", ENOENT, Root(&[EACCES]), |w| list(&w.passwd_home)),
    to("list root's home", ENOENT, Root(&[EACCES]), |_| list("/root")),
    to("list everybody's homes", ENOENT, IfThere("/home"), |_| list("/home")),
    to("list the lab's state", ENOENT, Caller, |w| list(&w.state)),
    to("read another service's secret", ENOENT, Caller, |w| read(&w.secret)),
    to("read it by that service's root", ENOENT, Caller, |w| list(format!("/proc/{}/root/run/secrets", w.sibling))),
    to("list /sys", ENOENT, Caller, |_| list("/sys/kernel")),
    to("list control groups", ENOENT, Caller, |_| list("/sys/fs/cgroup")),
    to("change what limits its memory", ENOENT, Root(&[EACCES]), |w| writable(&w.limit)),
    to("ask an engine on a socket of the caller's", ENOENT, Caller, |w| connect_path(&w.engine)),
    to("ask the machine's engine", ENOENT, IfThere("/run/docker.sock"), |_| connect_path(Path::new("/run/docker.sock"))),
    to("ask it by its old name", ENOENT, IfThere("/var/run/docker.sock"), |_| connect_path(Path::new("/var/run/docker.sock"))),
    to("ask the machine's service manager", ENOENT, IfThere("/run/systemd/private"), |_| connect_path(Path::new("/run/systemd/private"))),
    to("list what the machine's programs lock", ENOENT, IfThere("/run/lock"), |_| list("/run/lock")),
    to("ask a socket of the host's that has no path", ECONNREFUSED, Caller, |w| connect_abstract(&w.abstract_socket)),
    to("ask a port of the host's loopback", ECONNREFUSED, Caller, |w| connect_port(w.port)),
    // Its own files, but not to be written.
    to("write to its root", EROFS, Caller, |w| create(&w.root.join("intruder"))),
    to("write among the programs", EACCES, Root(&[EACCES]), |_| writable("/usr/lib/os-release")),
    to("change who it says is who", EACCES, Root(&[EACCES]), |_| writable("/etc/passwd")).or(&[EROFS]),
    to("overwrite the service's program", EACCES, RootReaches(&[ETXTBSY, EACCES], &[EACCES]), |_| writable("/proc/1/exe")).or(&[ETXTBSY, EROFS]),
    to("overwrite this program", EACCES, RootReaches(&[ETXTBSY], &[EACCES, ETXTBSY]), |_| writable("/proc/self/exe")).or(&[ETXTBSY, EROFS]),
    to("make a device", EPERM, Root(&[EPERM]), |_| device()),
    // Siblings.
    to("signal another service's process", ESRCH, Caller, |w| signal(w.sibling)),
    to("hold another service's process", ESRCH, Caller, |w| call(libc::SYS_pidfd_open, [w.sibling as usize, 0]).map(drop)),
    to("trace another service's process", ESRCH, Caller, |w| trace(w.sibling)),
    to("open another service's memory", ENOENT, Caller, |w| read_only(format!("/proc/{}/mem", w.sibling))),
    to("read another service's memory", ESRCH, CallerReaches(&[EFAULT]), |w| read_memory(w.sibling)),
    to("take a descriptor from a process", EPERM, Caller, |_| take_descriptor()),
    to("compare processes", EPERM, Caller, |_| call(libc::SYS_kcmp, [own_pid(), own_pid(), 1, 0, 0]).map(drop)),
    // Namespaces, mounts, roots.
    to("unshare a user namespace", EPERM, Caller, |_| unshare(CloneFlags::CLONE_NEWUSER)),
    to("clone into a user namespace", EPERM, Caller, |_| clone(libc::CLONE_NEWUSER)),
    to("clone3 into a user namespace", ENOSYS, Caller, |_| clone3(libc::CLONE_NEWUSER as u64)),
    to("unshare a mount namespace", EPERM, Namespaces, |_| unshare(CloneFlags::CLONE_NEWNS)),
    to("unshare a network namespace", EPERM, Namespaces, |_| unshare(CloneFlags::CLONE_NEWNET)),
    to("unshare a PID namespace", EPERM, Namespaces, |_| unshare(CloneFlags::CLONE_NEWPID)),
    to("unshare a cgroup namespace", EPERM, Namespaces, |_| unshare(CloneFlags::CLONE_NEWCGROUP)),
    to("clone into a mount namespace", EPERM, Namespaces, |_| clone(libc::CLONE_NEWNS)),
    to("enter a network namespace", EPERM, Namespaces, |_| enter("/proc/self/ns/net")),
    to("enter a mount namespace", EPERM, Namespaces, |_| enter("/proc/self/ns/mnt")),
    to("mount", EPERM, Namespaces, |_| mount("tmpfs")),
    to("mount proc anew", EPERM, Namespaces, |_| mount("proc")),
    to("mount control groups", EPERM, NamespacesReach(&[EBUSY]), |_| mount("cgroup2")),
    to("unmount", EPERM, Namespaces, |_| unmount()),
    to("open a file system to mount", EPERM, Namespaces, |_| call(libc::SYS_fsopen, [c"tmpfs".as_ptr() as usize, 0]).map(drop)),
    to("clone a tree of mounts", EPERM, Namespaces, |_| clone_tree()),
    to("change the attributes of a mount", EPERM, NamespacesReach(&[EINVAL]), |_| make_writable()),
    to("pivot the root", EPERM, NamespacesReach(&[EINVAL]), |_| call(libc::SYS_pivot_root, [c".".as_ptr() as usize, c".".as_ptr() as usize]).map(drop)),
    to("change the root", EPERM, Namespaces, |_| call(libc::SYS_chroot, [c"/tmp".as_ptr() as usize]).map(drop)),
    to("rename the host", EPERM, Namespaces, |_| call(libc::SYS_sethostname, [c"intruder".as_ptr() as usize, 8]).map(drop)),
    // The network.
    to("open a raw socket", EPERM, Namespaces, |_| socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)),
    to("open a packet socket", EPERM, Namespaces, |_| socket(libc::AF_PACKET, libc::SOCK_RAW, 0)),
    to("open a socket to the hypervisor", EPERM, CallerReaches(&[EAFNOSUPPORT]), |_| socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0)),
    to("open a socket to the kernel's ciphers", EPERM, CallerReaches(&[EAFNOSUPPORT]), |_| socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0)),
    to("take its link down", EPERM, Namespaces, |_| link_down()),
    to("drop its routes", EPERM, NamespacesReach(&[ESRCH, EINVAL]), |_| drop_routes()),
    to("read the router's rules", EPERM, Namespaces, |_| ask_for_rules()),
    to("forward packets", EACCES, Namespaces, |_| writable("/proc/sys/net/ipv4/ip_forward")),
    // The machine.
    to("say what runs when a program crashes", EACCES, Root(&[EACCES]), |_| writable("/proc/sys/kernel/core_pattern")),
    to("open the kernel's log", ENOENT, RootReaches(&[], &[EPERM, EACCES]), |_| read_only("/dev/kmsg")),
    to("read where the kernel's code is", ENODATA, Caller, |_| read("/proc/kallsyms")),
    to("read the keys in use", ENODATA, Caller, |_| read("/proc/keys")),
    to("read the kernel's log", EPERM, RootReaches(&[], &[EPERM]), |_| call(libc::SYS_syslog, [10, 0, 0]).map(drop)),
    to("load a module", EPERM, RootReaches(&[ENOEXEC, EFAULT, ENOSYS], &[EPERM, ENOSYS]), |_| call(libc::SYS_init_module, [0, 0, c"".as_ptr() as usize]).map(drop)),
    to("load a program into the kernel", EPERM, RootReaches(&[], &[EPERM]), |_| bpf_map()),
    to("watch the processor's events", EPERM, RootReaches(&[ENOENT], &[EACCES, ENOENT]), |_| perf_event()),
    to("handle page faults", EPERM, CallerReaches(&[ENOSYS]), |_| call(libc::SYS_userfaultfd, [1]).map(drop)),
    to("queue work past the filter (io_uring)", EPERM, CallerReaches(&[ENOSYS]), |_| io_uring()),
    to("add a key", EPERM, CallerReaches(&[ENOSYS]), |_| add_key()),
    to("look into the session's keys", EPERM, CallerReaches(&[ENOSYS]), |_| call(libc::SYS_keyctl, [0, (-3_isize).cast_unsigned(), 1]).map(drop)),
    to("reboot", EPERM, NamespacesReach(&[EINVAL]), |_| call(libc::SYS_reboot, [0, 0, 0]).map(drop)),
    to("set the clock", EPERM, Root(&[EPERM]), |_| call(libc::SYS_settimeofday, [0, 0]).map(drop)),
    to("swap to a file", EPERM, RootReaches(&[ENOENT], &[EPERM]), |_| call(libc::SYS_swapon, [c"/no/such/file".as_ptr() as usize, 0]).map(drop)),
    // Itself.
    to("lay out its memory as it likes", EPERM, Caller, |_| call(libc::SYS_personality, [0x0040_0000]).map(drop)),
    to("type into its terminal", EPERM, CallerReaches(&[EIO]), |_| type_into_terminal()),
    to("open more files than its limit", EMFILE, Nowhere, |_| exhaust_descriptors()),
    to("raise its limits", EPERM, Nowhere, |_| raise_limit()),
    to("run before others", EACCES, Root(&[EACCES]), |_| call(libc::SYS_setpriority, [0, 0, (-20_isize).cast_unsigned()]).map(drop)),
    to("gain by a set-user-ID program", EPERM, OrdinaryUser, |_| gain()),
    Attempt {
        to: "make a call of 32-bit programs",
        denied: Answer::Killed(Signal::SIGSYS),
        or: &[],
        control: CallerReaches(&[]),
        act: |_| call_of_32_bits(),
    },
];

/// What is tried on the caller's terminal, handed in as standard input by `exec -T`. EPERM, ENXIO: it is another session's.
#[rustfmt::skip] // a table
pub(crate) const ON_A_TERMINAL: &[Attempt] = &[
    to("type into the caller's terminal", EPERM, CallerReaches(&[EIO]), |_| type_into(stdin().as_fd())),
    to("open it by its other name", ENXIO, Caller, |_| writable("/dev/tty")),
    to("put itself in front of it", ENOTTY, Caller, |_| foreground()),
    // The last, since it hangs up on the others where it succeeds.
    to("take the caller's terminal", EPERM, Root(&[EPERM]), |_| take_from_its_session()),
];

/// The attempts on what is there: a terminal, or all else.
pub(crate) fn attempts(on_a_terminal: bool) -> &'static [Attempt] {
    if on_a_terminal {
        ON_A_TERMINAL
    } else {
        ATTEMPTS
    }
}
