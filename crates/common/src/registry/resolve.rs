//! From `SERVICE_REGISTRY`'s URLs to the replicas behind them: every address of every name, asked anew each time.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use reqwest::Url;

use crate::config::ConfigError;

/// A base URL of the registry, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RegistryUrl(Url);

impl RegistryUrl {
    pub(crate) fn parse_all(urls: &[String]) -> Result<Vec<Self>, ConfigError> {
        let error = |url: &String| {
            ConfigError::new(
                "registry.urls",
                format!("{url:?} is not a URL such as http://service-registry:8500"),
            )
        };
        urls.iter()
            .map(|text| match Url::parse(text) {
                Ok(url) if url.scheme() == "http" && url.has_host() => Ok(Self(url)),
                _ => Err(error(text)),
            })
            .collect()
    }

    async fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        let host = self
            .0
            .host_str()
            .unwrap_or_default()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let port = self.0.port_or_known_default().unwrap_or(80);
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// Every replica that can be resolved right now; names that cannot be are left out (and said in the log, quietly).
pub(crate) async fn replicas(urls: &[RegistryUrl]) -> BTreeSet<SocketAddr> {
    let mut found = BTreeSet::new();
    for url in urls {
        match url.addresses().await {
            Ok(addresses) => found.extend(addresses),
            Err(error) => {
                tracing::debug!(%error, url = %url.0, "the registry's name does not resolve");
            }
        }
    }
    found
}
