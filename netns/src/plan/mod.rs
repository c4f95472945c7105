//! Decides everything that will be built, before anything is touched.
//!
//! Pure: the same project and scale give the same plan, whatever the order of the services in the file.

mod addresses;
mod change;
mod front;
mod held;
mod hosts;
mod model;
mod numbering;
mod op;
mod order;
mod policy;
mod publish;
mod ruleset;
mod steps;
mod uplink;

pub use change::{Change, change};
pub use front::Front;
pub use held::Held;
pub use model::*;
pub use op::{HOST, Op};
pub use uplink::*;

use std::fmt::Write as _;

use crate::compose::Project;

/// Why a project cannot be planned at the scale asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// `--scale` names a service that is not in the file.
    #[error("--scale names {0}, which is no service of the file")]
    UnknownService(String),
    /// More instances than a lab takes.
    #[error(
        "{count} instances are more than a lab takes; run at most {most} of all services together"
    )]
    TooMany {
        /// Instances asked for.
        count: u64,
        /// Most instances.
        most: u32,
    },
    /// A fixed address can be had by one instance only.
    #[error(
        "{service} has the fixed address {address}, so it cannot run {count} instances; remove ipv4_address to number them from ip_range"
    )]
    FixedAddress {
        /// The service.
        service: String,
        /// Its address.
        address: std::net::Ipv4Addr,
        /// Instances asked for.
        count: u32,
    },
    /// The network has fewer addresses than instances.
    #[error(
        "network {network} has no address left for {instance} in {range}; widen its ip_range or lower the scale"
    )]
    Exhausted {
        /// The network.
        network: String,
        /// The instance that got none.
        instance: String,
        /// Where addresses come from.
        range: ipnet::Ipv4Net,
    },
    /// A network cannot change under those who are in it.
    #[error(
        "network {network} was {before} and is {after} in the file now; a lab that runs cannot change that: `netns-setup down`, then `up`"
    )]
    TierChanged {
        /// The network.
        network: String,
        /// Its addresses in the lab.
        before: ipnet::Ipv4Net,
        /// Its addresses in the file.
        after: ipnet::Ipv4Net,
    },
}

/// Plans `project` with `scale` instances where it differs from the file, without an uplink.
///
/// # Errors
/// When the scale cannot be met.
pub fn plan(project: &Project, scale: &Scale) -> Result<Plan, PlanError> {
    plan_with(project, scale, None)
}

/// Plans `project` with `scale` instances where it differs from the file, and with the uplink that [`uplink()`] chose. A lab that
/// is planned anew while it runs keeps the one it has.
///
/// # Errors
/// When the scale cannot be met.
pub fn plan_with(
    project: &Project,
    scale: &Scale,
    uplink: Option<Uplink>,
) -> Result<Plan, PlanError> {
    decide(project, scale, &[], uplink, None)
}

/// Plans `project` anew around what stands: whoever is in both plans keeps address, hardware address and link, the host its uplink.
/// `guests` are the one-off instances.
///
/// # Errors
/// When the scale cannot be met around what stands.
pub fn replan(
    project: &Project,
    scale: &Scale,
    guests: &[Guest],
    standing: &Plan,
) -> Result<Plan, PlanError> {
    decide(
        project,
        scale,
        guests,
        standing.uplink.clone(),
        Some(standing),
    )
}

fn decide(
    project: &Project,
    scale: &Scale,
    guests: &[Guest],
    uplink: Option<Uplink>,
    standing: Option<&Plan>,
) -> Result<Plan, PlanError> {
    let stands = standing.map_or_else(Default::default, addresses::Standing::of);
    let tiers = addresses::standing_tiers(project, &stands)?;
    let mut instances = addresses::instances(project, scale, guests, &tiers, &stands)?;
    let permits = policy::permits(project, &instances, uplink.as_ref());
    hosts::fill(project, &mut instances, &permits);
    let publish = publish::publish(project, &instances, &permits);
    let ruleset = ruleset::ruleset(&tiers, uplink.as_ref(), &permits, &publish, |_| true);
    let ops = steps::steps(&tiers, &instances, &ruleset);
    Ok(Plan {
        project: project.name.clone(),
        start_order: order::start_order(project),
        direct: uplink
            .as_ref()
            .map_or_else(Vec::new, |uplink| uplink.direct(&permits)),
        tiers,
        instances,
        ops,
        publish,
        ruleset,
        uplink,
        permits,
    })
}

impl Plan {
    /// The instance of that name.
    #[must_use]
    pub fn instance(&self, name: &str) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.name == name)
    }

    /// The steps as a shell script that does by hand what the lab does by netlink, each numbered. To be run in namespaces of its own:
    /// `unshare -Urnmpf --mount-proc sh -c 'mount -t tmpfs tmpfs /run; mkdir /run/netns; sh plan.sh; exec bash'`, which is the host
    /// to the steps of the uplink.
    #[must_use]
    pub fn script(&self) -> String {
        let mut text = String::from("#!/bin/sh -e\n");
        for (step, op) in (1..).zip(&self.ops) {
            let command = op.to_string();
            let (first, rest) = command.split_at(command.find('\n').unwrap_or(command.len()));
            let _ = writeln!(text, "{first}  # {step}{rest}");
        }
        if let Some(uplink) = &self.uplink {
            text.push_str("# From the host, whose rules and parameters stay as they are:\n");
            for op in &uplink.ops {
                let _ = writeln!(text, "{op}");
            }
        }
        text
    }
}

impl Instance {
    /// The text of its `/etc/hosts`.
    #[must_use]
    pub fn etc_hosts(&self) -> String {
        let mut text =
            String::from("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
        for entry in &self.hosts {
            let _ = writeln!(text, "{}\t{}", entry.address, entry.names.join(" "));
        }
        text
    }
}

#[cfg(test)]
mod tests;
