//! Takes over what the registry says. While no registry answers, the watch keeps its last known good view, and so do we.

use std::sync::Arc;

use common::config::{ConfigError, RegistryConfig};
use common::health::DependencyHandle;
use common::registry::{Endpoints, ServiceName, Watch};

use crate::endpoint::Target;
use crate::state::Shared;

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

/// Follows the view until the watch ends. `registry` is well once any registry has answered: a later outage does not take the gateway
/// out of work, since it can go on with what it knows.
pub async fn follow(watch: Watch, shared: Arc<Shared>, registry: DependencyHandle) {
    let mut view = watch.subscribe();
    loop {
        let endpoints = Arc::clone(&view.borrow_and_update());
        if endpoints.is_known() {
            registry.ok();
            take_over(&endpoints, &shared);
        }
        if view.changed().await.is_err() {
            return;
        }
    }
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
