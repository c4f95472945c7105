//! How a step is called: in the table of times, in an error, and what helps when it is refused. Pure.

use nix::errno::Errno;

use crate::kernel::failure::Failure;
use crate::plan::Op;

/// The kind of step, for the table of times.
pub(super) fn phase_of(op: &Op) -> &'static str {
    match op {
        Op::AddNamespace { .. } | Op::DeleteNamespace { .. } => "namespaces",
        Op::AddBridge { .. }
        | Op::AddVeth { .. }
        | Op::IsolatePort { .. }
        | Op::LinkUp { .. }
        | Op::DeleteLink { .. } => "links",
        Op::AddAddress { .. } => "addresses",
        Op::AddRoute { .. } => "routes",
        Op::Sysctl { .. } => "sysctls",
        Op::Ruleset { .. } => "rules",
    }
}

/// Adds what a person can do, where that is known.
pub(super) fn hint(op: &Op, failure: Failure) -> Failure {
    if failure.remedy.is_some() {
        return failure;
    }
    let remedy = match (op, Errno::from_raw(failure.errno)) {
        (Op::AddBridge { .. }, Errno::EOPNOTSUPP) => {
            "this kernel has no bridge: as root, modprobe bridge"
        }
        (Op::AddVeth { .. }, Errno::EOPNOTSUPP) => {
            "this kernel has no veth: as root, modprobe veth"
        }
        (Op::AddNamespace { .. }, Errno::ENOSPC) => {
            "as root, raise it: sysctl user.max_net_namespaces=15000"
        }
        (_, Errno::EMFILE) => "raise the limit of open files: ulimit -n 4096",
        (Op::Sysctl { .. }, Errno::ENOENT) => "this kernel is too old, or lacks that feature",
        _ => return failure,
    };
    failure.remedy(remedy)
}
