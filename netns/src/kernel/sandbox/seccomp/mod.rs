//! The last lock on a sandbox: which system calls its programs can make at all (`seccomp(2)`).
//!
//! Namespaces, ids and capabilities say what a call may do; the kernel's code that decides it still runs. This filter
//! keeps most of that code out of reach, so that a mistake in some rarely used call is no way out. `calls.rs` is the list.
//!
//! Two filters are installed, one after the other; the kernel asks both and heeds the stricter answer, and of two equally strict ones the
//! later's:
//! 1. the list: permits what is in it, answers EPERM otherwise, and kills a process that makes a call of another architecture
//!    (32-bit calls on x86, which have numbers of their own);
//! 2. "no such call" (ENOSYS) for `clone3` and for all numbers above the list's highest, so that a C library newer than the list
//!    falls back to an older call, as it does on a kernel older than itself. The x32 calls of x86 have such numbers too.
//!
//! A filter stays with the process and all that descend from it, through every `exec`.

mod calls;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JGT, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, ENOSYS, EPERM,
    SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO,
};
use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch, apply_filter, sock_filter,
};

use crate::kernel::failure::Failure;
use calls::{CONDITIONAL, PERMITTED, Permits, Rule, UNKNOWN};

/// The filters, compiled for this machine.
#[derive(Debug)]
pub struct Filter {
    list: BpfProgram,
    unknown: BpfProgram,
}

impl Filter {
    /// Compiles the list.
    ///
    /// # Errors
    /// On an architecture whose calls are not known.
    pub fn compile() -> Result<Self, Failure> {
        Architecture::of_this_machine().and_then(|architecture| {
            compile(&architecture)
                .map_err(|error| Failure::of("compile the system call filter", error.to_string()))
        })
    }

    /// How many instructions the kernel has to load.
    #[must_use]
    pub fn instructions(&self) -> usize {
        self.list.len() + self.unknown.len()
    }

    /// Confines the calling thread, and all it will start, for good; sets `no_new_privs`. Whatever else is to be set up has to be
    /// by now: what comes after must be in the list.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn install(&self) -> Result<(), Failure> {
        apply_filter(&self.list)
            .and_then(|()| apply_filter(&self.unknown))
            .map_err(refused)
    }
}

fn refused(error: Error) -> Failure {
    let step = "install the system call filter";
    match error {
        Error::Seccomp(error) | Error::Prctl(error) => Failure {
            step: step.to_owned(),
            errno: error.raw_os_error().unwrap_or_default(),
            reason: None,
            remedy: Some("the kernel needs CONFIG_SECCOMP_FILTER".to_owned()),
        },
        other => Failure::of(step, other.to_string()),
    }
}

/// How an architecture numbers its calls.
struct Architecture {
    target: TargetArch,
    number: fn(&str) -> Option<u32>,
}

impl Architecture {
    fn of_this_machine() -> Result<Self, Failure> {
        let target = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| {
            Failure::of("choose a system call filter", error.to_string())
                .remedy("sandboxes are built for x86_64 and aarch64")
        })?;
        Ok(Self {
            target,
            number: |name| name.parse::<syscalls::Sysno>().ok().map(|call| call as u32),
        })
    }
}

fn compile(architecture: &Architecture) -> Result<Filter, BackendError> {
    let mut rules = BTreeMap::new();
    for name in PERMITTED
        .iter()
        .flat_map(|(_, names)| names.split_whitespace())
    {
        if let Some(number) = (architecture.number)(name) {
            rules.insert(i64::from(number), Vec::new()); // no condition
        }
    }
    for rule in &CONDITIONAL {
        if let Some(number) = (architecture.number)(rule.call) {
            rules.insert(i64::from(number), conditions(rule)?);
        }
    }
    let highest = rules.keys().next_back().copied().unwrap_or_default();
    let list = SeccompFilter::new(
        rules,
        SeccompAction::Errno(EPERM.cast_unsigned()),
        SeccompAction::Allow,
        architecture.target,
    )?;
    let unknown = UNKNOWN
        .iter()
        .filter_map(|name| (architecture.number)(name));
    Ok(Filter {
        list: list.try_into()?,
        unknown: no_such_call(unknown, highest as u32),
    })
}

/// One chain of conditions for each way to be permitted.
fn conditions(rule: &Rule) -> Result<Vec<SeccompRule>, BackendError> {
    let condition = |operator, value| {
        let length = SeccompCmpArgLen::Dword;
        SeccompCondition::new(rule.argument, length, operator, u64::from(value))
    };
    match rule.permits {
        Permits::Only(values) => values
            .iter()
            .map(|value| SeccompRule::new(vec![condition(SeccompCmpOp::Eq, *value)?]))
            .collect(),
        Permits::AllBut(values) => {
            let all = values
                .iter()
                .map(|value| condition(SeccompCmpOp::Ne, *value))
                .collect::<Result<Vec<_>, _>>()?;
            Ok(vec![SeccompRule::new(all)?])
        }
        Permits::Without(bits) => {
            let none = condition(SeccompCmpOp::MaskedEq(u64::from(bits)), 0)?;
            Ok(vec![SeccompRule::new(vec![none])?])
        }
    }
}

/// A filter that permits all but `calls` and the numbers above `highest`. Written out, since the library's rules name numbers one by one.
fn no_such_call(calls: impl Iterator<Item = u32>, highest: u32) -> BpfProgram {
    let does = |code: u32, k: u32| sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let refuse = does(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS.cast_unsigned());
    // Goes on to the next instruction when the number compares so, else skips it.
    let when = |comparison: u32, k: u32| sock_filter {
        jf: 1,
        ..does(BPF_JMP | comparison | BPF_K, k)
    };
    let mut program = vec![does(BPF_LD | BPF_W | BPF_ABS, 0)]; // seccomp_data.nr
    for call in calls {
        program.extend([when(BPF_JEQ, call), refuse.clone()]);
    }
    program.extend([when(BPF_JGT, highest), refuse]);
    program.push(does(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    program
}
