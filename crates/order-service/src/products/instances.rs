//! Where product-service is.

use std::sync::Arc;

use common::registry::Watch;

/// The instances that calls may go to.
#[derive(Debug, Clone)]
pub enum Instances {
    /// One base URL that never changes.
    Fixed(Arc<str>),
    /// What the registry says is passing; the last known good view while the registry is away.
    Watched(Watch),
}

impl Instances {
    /// One base URL, given by configuration.
    pub fn fixed(url: &str) -> Self {
        Self::Fixed(Arc::from(url.trim_end_matches('/')))
    }

    /// The registry's view.
    pub fn watched(watch: Watch) -> Self {
        Self::Watched(watch)
    }

    /// Up to `most` base URLs to try for call number `turn`: consecutive turns begin at consecutive instances.
    pub(super) fn for_turn(&self, turn: usize, most: usize) -> Vec<String> {
        match self {
            Self::Fixed(url) => vec![url.to_string()],
            Self::Watched(watch) => {
                let endpoints = watch.current().of("product-service");
                let first = turn.checked_rem(endpoints.len()).unwrap_or(0);
                let in_turn = endpoints
                    .iter()
                    .cycle()
                    .skip(first)
                    .take(endpoints.len().min(most));
                in_turn
                    .map(|endpoint| format!("http://{}", endpoint.address))
                    .collect()
            }
        }
    }
}
