//! What all workers share.

use std::sync::Arc;

use http::HeaderValue;

use crate::cluster::Cluster;
use crate::config::{Config, RequestLimits};
use crate::meters::RouteMeters;
use crate::routes::{Route, TABLE};

/// Configuration, services and counters.
#[derive(Debug)]
pub struct Shared {
    /// The gateway's own sections.
    pub config: Config,
    /// What a request may be.
    pub limits: RequestLimits,
    /// The gateway's own instance, for the answers it makes.
    pub instance: HeaderValue,
    /// Every service of the route table, once.
    clusters: Vec<Arc<Cluster>>,
    /// By the route's place in the table; the last is for what has none.
    meters: Vec<RouteMeters>,
    /// The cluster of each route.
    owners: Vec<usize>,
}

impl Shared {
    /// For an instance of the gateway; services have no instances yet.
    #[must_use]
    pub fn new(config: Config, limits: RequestLimits, instance: HeaderValue) -> Arc<Self> {
        let mut clusters: Vec<Arc<Cluster>> = Vec::new();
        let mut owners = Vec::new();
        for route in TABLE {
            let known = clusters
                .iter()
                .position(|cluster| cluster.name() == route.service());
            owners.push(known.unwrap_or_else(|| {
                let now = common::clock::now();
                clusters.push(Arc::new(Cluster::new(
                    route.service(),
                    config.balance,
                    config.ejection,
                    &config.retry,
                    now,
                )));
                clusters.len() - 1
            }));
        }
        let templates = TABLE.iter().map(|route| route.template).chain(["none"]);
        let meters = templates.map(RouteMeters::new).collect();
        Arc::new(Self {
            config,
            limits,
            instance,
            clusters,
            meters,
            owners,
        })
    }

    /// The services that own routes.
    #[must_use]
    pub fn clusters(&self) -> &[Arc<Cluster>] {
        &self.clusters
    }

    /// The owner of a route.
    #[must_use]
    pub fn cluster(&self, route: &'static Route) -> &Cluster {
        &self.clusters[self.owners[place(route)]]
    }

    /// A route's counters, or those of what has none.
    #[must_use]
    pub fn meters(&self, route: Option<&'static Route>) -> &RouteMeters {
        &self.meters[route.map_or(TABLE.len(), place)]
    }
}

fn place(route: &'static Route) -> usize {
    TABLE
        .iter()
        .position(|known| std::ptr::eq(known, route))
        .expect("routes exist in the table only")
}
