//! Takes over what the registry says. While no registry answers, the watch keeps its last known good view, and so do we.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use common::config::{ConfigError, RegistryConfig};
use common::health::DependencyHandle;
use common::registry::{Endpoints, ServiceName, Watch};

use crate::endpoint::Target;
use crate::state::Shared;

/// How long, after a registry has first answered, the gateway waits for services that have no instance yet: they may have
/// started just before, and be about to be probed for the first time. One that stays away does not keep the others' callers out.
const SETTLE: Duration = Duration::from_secs(3);

/// Begins to watch the services that own routes.
///
/// # Errors
/// When the registry's address cannot be used.
pub fn watch(config: &RegistryConfig, shared: &Shared) -> Result<Watch, ConfigError> {
    let services: Vec<ServiceName> = shared
        .clusters()
        .iter()
        .map(|cluster| {
            cluster
                .name()
                .parse()
                .expect("the route table has valid names")
        })
        .collect();
    Watch::start(config, &services)
}

/// Follows the view until the watch ends. `registry` is well once a registry has told of an instance of every service, or
/// `SETTLE` after it has told anything: a later outage does not take the gateway out of work, since it can go on with what it
/// knows.
pub async fn follow(watch: Watch, shared: Arc<Shared>, registry: DependencyHandle) {
    let mut view = watch.subscribe();
    let mut settled = pin!(tokio::time::sleep(SETTLE));
    let (mut known, mut well) = (false, false);
    loop {
        let endpoints = Arc::clone(&view.borrow_and_update());
        if endpoints.is_known() {
            if !known {
                known = true;
                settled.as_mut().reset(common::clock::now() + SETTLE);
            }
            take_over(&endpoints, &shared);
            well = well || is_complete(&endpoints, &shared) || settled.is_elapsed();
            if well {
                registry.ok();
            }
        }
        tokio::select! {
            changed = view.changed() => if changed.is_err() { return },
            () = &mut settled, if known && !well => {}
        }
    }
}

/// Whether every service that owns a route has an instance.
fn is_complete(endpoints: &Endpoints, shared: &Shared) -> bool {
    let mut services = shared.clusters().iter();
    services.all(|cluster| !endpoints.of(cluster.name()).is_empty())
}

fn take_over(endpoints: &Endpoints, shared: &Shared) {
    let now = common::clock::now();
    for cluster in shared.clusters() {
        let passing = endpoints.of(cluster.name());
        let targets = passing.iter().map(|endpoint| Target {
            id: endpoint.id.to_string(),
            generation: endpoint.generation,
            address: endpoint.address,
        });
        cluster.apply(targets.collect(), now);
    }
}
