//! Control groups: what the instances of a lab may use, and what they have used.
//!
//! ```text
//! <the group the launcher is in>/netns-setup-<project>-<state folder>-<launcher>/<instance>     v1: in each controller's hierarchy
//! <a group that may have children>/netns-setup-<project>-<state folder>-<launcher>/<instance>   v2: see `ground`
//! ```
//! A lab stays below the group it was started from where the kernel's rules permit it, so that whatever limits its caller limits the
//! lab too. Its groups are the one thing that a lab leaves on the host, and so the one thing that has to be removed: by the
//! [`guardian`], a process outside the lab; if that was killed too, by the next `up`, which finds their names in the state folder.
//! Nothing is ever removed but a folder by the name that the lab itself has given it.
//!
//! Plain files, read and written: `Documentation/admin-guide/cgroup-v1/` and `cgroup-v2.rst` of the kernel are the reference.

mod candidate;
mod files;
mod ground;
mod group;
#[cfg(test)]
mod group_tests;
pub mod guardian;
mod hierarchy;
mod removal;
mod usage;

pub use files::{Setting, files};
pub use ground::{Ground, Unenforced, survey};
pub use group::{Group, LabGroups, Membership};
pub use hierarchy::{Controller, Mounted, Version, detect};
pub use removal::sweep;
pub use usage::Usage;
