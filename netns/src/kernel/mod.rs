//! Turns a plan into namespaces, links, addresses and rules, and runs programs in sandboxes.
//!
//! The only part of the crate that talks to the kernel about namespaces. Order of use: the launcher calls [`enter()`] while it has
//! one thread; the child, PID 1 of the lab, calls [`build`]; instances are started by [`sandbox::spawn`]; published ports are
//! carried by a [`relay::Relay`]; [`reaper::Reaper`] collects whatever ends.
//!
//! Nothing here is ever created outside the lab's own namespaces, but for the [`uplink`] of a lab that root runs, which is paired with
//! an interface inside; so nothing has to be removed: when PID 1 is gone, the kernel frees every process, namespace, link and rule.

mod apply;
pub mod cgroup;
pub mod enter;
mod failure;
mod identity;
mod idmap;
pub mod namespace;
mod netlink;
mod nft;
mod propagation;
pub mod reaper;
pub mod relay;
pub mod sandbox;
pub(crate) mod sys;
pub mod uplink;

pub use apply::{BuildError, Network, Phase, build};
pub use enter::{Entered, enter, wait_for_end};
pub use failure::Failure;
pub use identity::{Identity, SANDBOX_ID};
