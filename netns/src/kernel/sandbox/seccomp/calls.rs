//! The list: which system calls a sandboxed program may make. Everything that is not here is refused.
//!
//! The measure is Docker's default profile for a container without capabilities (`seccomp/default.json` of moby/profiles, as of
//! May 2026): nothing is permitted that Docker does not permit, and what Docker permits and this list does not is in
//! `LEFT_OUT` of the tests, with the reason. A name that the machine's architecture lacks (`open` on aarch64) is skipped.

use libc::{
    AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET,
    CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS, TIOCLINUX, TIOCSTI, UNAME26,
};

/// Calls that are permitted whatever their arguments, by what they are for.
pub(super) const PERMITTED: [(&str, &str); 17] = [
    (
        "open files, read and write them",
        "cachestat close close_range copy_file_range creat dup dup2 dup3 fadvise64 fallocate fcntl fdatasync flock fsync ftruncate
         lseek open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readv sendfile splice sync
         sync_file_range syncfs tee truncate vmsplice write writev",
    ),
    (
        "names, folders and mounts that are there",
        "access chdir faccessat faccessat2 fchdir fstat fstatfs getcwd getdents getdents64 link linkat listmount lstat mkdir mkdirat
         mknod mknodat name_to_handle_at newfstatat readlink readlinkat rename renameat renameat2 rmdir stat statfs statmount statx
         symlink symlinkat umask unlink unlinkat",
    ),
    (
        "owners, modes, times and extended attributes",
        "chmod chown fchmod fchmodat fchmodat2 fchown fchownat fgetxattr flistxattr fremovexattr fsetxattr futimesat getxattr getxattrat
         lchown lgetxattr listxattr listxattrat llistxattr lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat utime
         utimensat utimes",
    ),
    (
        "wait for files and descriptors",
        "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2
         inotify_add_watch inotify_init inotify_init1 inotify_rm_watch poll ppoll pselect6 select",
    ),
    (
        "read and write without waiting (not io_uring, whose work passes by this filter)",
        "io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit",
    ),
    (
        "the network; socket itself is conditional",
        "accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg sendmsg sendto
         setsockopt shutdown socketpair",
    ),
    (
        "pipes, queues, semaphores and shared memory, in the sandbox's own IPC namespace",
        "mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd pipe pipe2 semctl semget semop
         semtimedop shmat shmctl shmdt shmget",
    ),
    (
        "memory",
        "brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mprotect mremap mseal msync
         munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages",
    ),
    (
        "processes and threads; clone is conditional",
        "execve execveat exit exit_group fork getcpu getpgid getpgrp getpid getppid getsid gettid pidfd_open process_mrelease rseq
         set_robust_list get_robust_list set_tid_address setpgid setsid vfork wait4 waitid",
    ),
    (
        "wait for each other",
        "futex futex_requeue futex_wait futex_waitv futex_wake",
    ),
    (
        "signals, to processes of the sandbox's own PID namespace",
        "kill pause pidfd_send_signal restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
         rt_sigtimedwait rt_tgsigqueueinfo sigaltstack signalfd signalfd4 tgkill tkill",
    ),
    (
        "time and timers; setting a clock wants a capability that no sandbox has",
        "adjtimex alarm clock_adjtime clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep setitimer time
         timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times",
    ),
    (
        "users and capabilities: its own, and it has no others to change to",
        "capget capset getegid geteuid getgid getgroups getresgid getresuid getuid setfsgid setfsuid setgid setgroups setregid setresgid
         setresuid setreuid setuid",
    ),
    (
        "priorities and limits",
        "getpriority getrlimit getrusage ioprio_get ioprio_set prlimit64 sched_get_priority_max sched_get_priority_min sched_getaffinity
         sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam
         sched_setscheduler sched_yield setpriority setrlimit",
    ),
    (
        "confine itself further",
        "landlock_add_rule landlock_create_ruleset landlock_restrict_self prctl seccomp",
    ),
    (
        "debug its own processes, which the kernel checks well since Linux 4.8; no other process has a number here",
        "process_vm_readv process_vm_writev ptrace",
    ),
    (
        "the processor and the kernel's name",
        "arch_prctl get_thread_area getrandom set_thread_area sysinfo uname uretprobe",
    ),
];

/// A call that is permitted with some arguments only; with others it is refused like a call that is not in the list.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) call: &'static str,
    /// Which argument decides, counted from 0. Its lower 32 bits are looked at, which is all that the kernel itself looks at.
    pub(super) argument: u8,
    pub(super) permits: Permits,
    #[cfg_attr(not(test), expect(dead_code, reason = "for whoever reads the list"))]
    pub(super) why: &'static str,
}

/// The arguments that are permitted.
#[derive(Debug)]
pub(super) enum Permits {
    /// These.
    Only(&'static [u32]),
    /// All but these.
    AllBut(&'static [u32]),
    /// Those with none of these bits.
    Without(u32),
}

/// `PER_LINUX` and `PER_LINUX32` of linux/personality.h.
const PERSONALITIES: [u32; 2] = [0, 8];
/// Asks for the personality without changing it (`personality(2)`).
const ASK: u32 = u32::MAX;

/// Namespaces that `clone` could make.
const NAMESPACES: i32 = CLONE_NEWCGROUP
    | CLONE_NEWIPC
    | CLONE_NEWNET
    | CLONE_NEWNS
    | CLONE_NEWPID
    | CLONE_NEWUSER
    | CLONE_NEWUTS;

pub(super) const CONDITIONAL: [Rule; 4] = [
    Rule {
        call: "clone",
        argument: 0,
        permits: Permits::Without(NAMESPACES.cast_unsigned()),
        why: "a process or a thread, but no namespace: whoever makes one has every capability inside, and with them most of the \
              kernel's privileged code to try",
    },
    Rule {
        call: "ioctl",
        argument: 1,
        permits: Permits::AllBut(&[TIOCSTI as u32, TIOCLINUX as u32]),
        why: "these two type into a terminal, which may be the caller's of `exec -T`. Docker relies on the kernel's refusing them for a \
              terminal that is not the session's own",
    },
    Rule {
        call: "personality",
        argument: 0,
        permits: Permits::Only(&[
            PERSONALITIES[0],
            PERSONALITIES[1],
            UNAME26.cast_unsigned() | PERSONALITIES[0],
            UNAME26.cast_unsigned() | PERSONALITIES[1],
            ASK,
        ]),
        why: "how uname answers, but not ADDR_NO_RANDOMIZE and READ_IMPLIES_EXEC, which undo protection of the program's own memory",
    },
    Rule {
        call: "socket",
        argument: 0,
        permits: Permits::Only(&[
            AF_UNIX.cast_unsigned(),
            AF_INET.cast_unsigned(),
            AF_INET6.cast_unsigned(),
            AF_NETLINK.cast_unsigned(),
        ]),
        why: "what services speak. Docker refuses AF_VSOCK, which reaches the hypervisor whatever the network namespace, and AF_ALG; \
              the other thirty families are old protocols whose modules a mere call would load",
    },
];

/// Calls that are answered as a kernel without them would (ENOSYS), because the C library then falls back to an older one:
/// `clone3` has its flags behind a pointer, where no filter can look; `clone` serves as well.
pub(super) const UNKNOWN: [&str; 1] = ["clone3"];
