use std::collections::BTreeSet;

use libc::{
    CLONE_FS, CLONE_NEWNET, CLONE_NEWUSER, CLONE_THREAD, CLONE_VM, SECCOMP_RET_KILL_PROCESS,
};

use super::*;

/// What Docker's default profile permits to a container without capabilities on Linux 4.8 and newer, but for what neither
/// x86_64 nor aarch64 has: the calls of 32-bit programs (`chown32`, `futex_time64`) and of other architectures.
const DOCKER: &str = "
    accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod chown clock_adjtime clock_getres
    clock_gettime clock_nanosleep clone close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl
    epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2
    fadvise64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fork
    fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex futex_requeue futex_wait futex_waitv futex_wake futimesat get_robust_list
    get_thread_area getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid
    getpriority getrandom getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getxattr
    getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_setup
    io_submit ioctl ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lgetxattr link
    linkat listen listmount listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat madvise map_shadow_stack membarrier
    memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap modify_ldt mprotect mq_getsetattr mq_notify
    mq_open mq_timedreceive mq_timedsend mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap
    name_to_handle_at nanosleep newfstatat open openat openat2 pause personality pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc
    pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv process_vm_writev pselect6
    ptrace pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recvfrom recvmmsg recvmsg remap_file_pages removexattr
    removexattrat rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
    rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity
    sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam
    sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop sendfile sendmmsg sendmsg sendto set_robust_list
    set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid setpriority setregid setresgid setresuid setreuid
    setrlimit setsid setsockopt setuid setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 socket
    socketpair splice stat statfs statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create
    timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times tkill truncate umask
    uname unlink unlinkat uretprobe utime utimensat utimes vfork vmsplice wait4 waitid write writev";

/// What Docker permits and this list does not, and why.
const LEFT_OUT: [(&str, &str); 2] = [
    (
        "fanotify_mark",
        "serves only descriptors of fanotify_init, which Docker refuses too",
    ),
    (
        "modify_ldt",
        "for 16-bit programs and old threads of 32-bit ones, neither of which runs here",
    ),
];

/// What this list permits and Docker does not, and why. Nothing so far.
const MORE: [(&str, &str); 0] = [];

fn permitted() -> BTreeSet<&'static str> {
    PERMITTED
        .iter()
        .flat_map(|(_, names)| names.split_whitespace())
        .chain(CONDITIONAL.iter().map(|rule| rule.call))
        .collect()
}

#[test]
fn it_permits_what_docker_permits_but_for_what_is_explained() {
    let docker: BTreeSet<_> = DOCKER.split_whitespace().collect();
    let names = |list: &[(&'static str, &str)]| list.iter().map(|(name, _)| *name).collect();
    let more: BTreeSet<_> = permitted().difference(&docker).copied().collect();
    assert_eq!(more, names(&MORE));
    let fewer: BTreeSet<_> = docker.difference(&permitted()).copied().collect();
    assert_eq!(fewer, names(&LEFT_OUT));
    assert!(CONDITIONAL.iter().all(|rule| !rule.why.is_empty()));
}

#[test]
fn every_name_is_a_call_and_is_listed_once() {
    let all: Vec<_> = PERMITTED
        .iter()
        .flat_map(|(_, names)| names.split_whitespace())
        .chain(CONDITIONAL.iter().map(|rule| rule.call))
        .chain(UNKNOWN)
        .collect();
    for name in &all {
        assert!(
            (X86_64.number)(name).or((AARCH64.number)(name)).is_some(),
            "{name}"
        );
    }
    assert_eq!(
        all.len(),
        all.iter().copied().collect::<BTreeSet<_>>().len()
    );
}

const X86_64: Architecture = Architecture {
    target: TargetArch::x86_64,
    number: |name| {
        let call = name.parse::<syscalls::x86_64::Sysno>().ok()?;
        Some(call as u32)
    },
};
const AARCH64: Architecture = Architecture {
    target: TargetArch::aarch64,
    number: |name| {
        let call = name.parse::<syscalls::aarch64::Sysno>().ok()?;
        Some(call as u32)
    },
};
/// `AUDIT_ARCH_*` of linux/audit.h.
const AUDIT_X86_64: u32 = 0xc000_003e;
const AUDIT_I386: u32 = 0x4000_0003;
const AUDIT_AARCH64: u32 = 0xc000_00b7;
const AUDIT_ARM: u32 = 0x4000_0028;

/// A call as a filter sees it (`struct seccomp_data`).
struct Call {
    number: u32,
    audit: u32,
    arguments: [u64; 6],
}

/// Runs a filter as the kernel would: classic BPF, of which these few instructions occur.
fn run(filter: &BpfProgram, call: &Call) -> u32 {
    let word = |offset: u32| match offset {
        0 => call.number,
        4 => call.audit,
        16.. => {
            let argument = call.arguments[(offset as usize - 16) / 8];
            (argument >> (if offset.is_multiple_of(8) { 0 } else { 32 })) as u32
        }
        _ => panic!("loads from {offset}"),
    };
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let instruction = &filter[at];
        at += 1;
        let jump = |holds: bool| {
            usize::from(if holds {
                instruction.jt
            } else {
                instruction.jf
            })
        };
        match instruction.code {
            0x20 => accumulator = word(instruction.k),
            0x54 => accumulator &= instruction.k,
            0x05 => at += instruction.k as usize,
            0x15 => at += jump(accumulator == instruction.k),
            0x25 => at += jump(accumulator > instruction.k),
            0x35 => at += jump(accumulator >= instruction.k),
            0x06 => return instruction.k,
            code => panic!("instruction {code:#x}"),
        }
    }
}

/// What becomes of a call: the stricter of both filters' answers, of two equal ones the later's (`seccomp(2)`).
fn answer(architecture: &Architecture, call: &Call) -> u32 {
    let filter = compile(architecture).unwrap();
    let (first, second) = (run(&filter.list, call), run(&filter.unknown, call));
    let strictness = |answer: u32| (answer & 0xffff_0000).cast_signed();
    if strictness(second) <= strictness(first) {
        second
    } else {
        first
    }
}

const ALLOW: u32 = SECCOMP_RET_ALLOW;
const DENY: u32 = SECCOMP_RET_ERRNO | EPERM.cast_unsigned();
const NO_SUCH_CALL: u32 = SECCOMP_RET_ERRNO | ENOSYS.cast_unsigned();

#[test]
fn calls_are_answered_by_name_and_arguments() {
    let thread = (CLONE_VM | CLONE_FS | CLONE_THREAD) as u64;
    for (call, arguments, expected) in [
        ("read", [0; 6], ALLOW),
        ("ptrace", [0; 6], ALLOW),
        ("mount", [0; 6], DENY),
        ("unshare", [0; 6], DENY),
        ("setns", [0; 6], DENY),
        ("bpf", [0; 6], DENY),
        ("io_uring_setup", [0; 6], DENY),
        ("userfaultfd", [0; 6], DENY),
        ("keyctl", [0; 6], DENY),
        ("open_by_handle_at", [0; 6], DENY),
        ("clone3", [0; 6], NO_SUCH_CALL),
        ("clone", [thread, 0, 0, 0, 0, 0], ALLOW),
        (
            "clone",
            [thread | CLONE_NEWUSER as u64, 0, 0, 0, 0, 0],
            DENY,
        ),
        ("clone", [CLONE_NEWNET as u64, 0, 0, 0, 0, 0], DENY),
        ("socket", [2, 1, 0, 0, 0, 0], ALLOW),
        ("socket", [16, 3, 0, 0, 0, 0], ALLOW),
        ("socket", [17, 3, 0, 0, 0, 0], DENY),
        ("socket", [38, 5, 0, 0, 0, 0], DENY),
        ("socket", [40, 1, 0, 0, 0, 0], DENY),
        // The kernel takes 32 bits of these, so the upper ones must not lead past the filter.
        ("socket", [1 << 32 | 40, 1, 0, 0, 0, 0], DENY),
        ("ioctl", [0, 0x5412, 0, 0, 0, 0], DENY),
        ("ioctl", [0, 1 << 32 | 0x5412, 0, 0, 0, 0], DENY),
        ("ioctl", [0, 0x541c, 0, 0, 0, 0], DENY),
        ("ioctl", [0, 0x5413, 0, 0, 0, 0], ALLOW),
        ("personality", [0xffff_ffff, 0, 0, 0, 0, 0], ALLOW),
        ("personality", [0x0040_0000, 0, 0, 0, 0, 0], DENY),
    ] {
        for (architecture, audit) in [(&X86_64, AUDIT_X86_64), (&AARCH64, AUDIT_AARCH64)] {
            let number = (architecture.number)(call).unwrap();
            let call = Call {
                number,
                audit,
                arguments,
            };
            assert_eq!(
                answer(architecture, &call),
                expected,
                "{number} {arguments:?} on {:?}",
                architecture.target
            );
        }
    }
}

#[test]
fn other_architectures_are_killed_and_newer_calls_do_not_exist() {
    let call = |number, audit| Call {
        number,
        audit,
        arguments: [0; 6],
    };
    assert_eq!(
        answer(&X86_64, &call(0, AUDIT_I386)),
        SECCOMP_RET_KILL_PROCESS
    );
    assert_eq!(
        answer(&AARCH64, &call(0, AUDIT_ARM)),
        SECCOMP_RET_KILL_PROCESS
    );
    for (architecture, audit) in [(&X86_64, AUDIT_X86_64), (&AARCH64, AUDIT_AARCH64)] {
        assert_eq!(answer(architecture, &call(5_000, audit)), NO_SUCH_CALL);
    }
    let x32_read = call(0x4000_0000, AUDIT_X86_64);
    assert_eq!(answer(&X86_64, &x32_read), NO_SUCH_CALL);
}
