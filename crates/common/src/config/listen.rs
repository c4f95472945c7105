//! Where a service listens.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

/// `ip:port`, or `cidr:port`: every local address inside the network (`172.21.0.0/24:5000`). IPv6 in brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenAddr {
    /// Exactly this address.
    Socket(SocketAddr),
    /// Every local address inside the network, at this port. A process that has none refuses to start.
    Network(IpNet, u16),
}

impl ListenAddr {
    /// The addresses it means, given the machine's (or namespace's) own.
    pub fn resolve(&self, local: &[IpAddr]) -> Vec<SocketAddr> {
        match *self {
            Self::Socket(address) => vec![address],
            Self::Network(network, port) => local
                .iter()
                .filter(|ip| network.contains(*ip))
                .map(|ip| SocketAddr::new(*ip, port))
                .collect(),
        }
    }
}

impl FromStr for ListenAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self::Socket(address));
        }
        let error =
            || format!("{text:?} is not an address such as 127.0.0.1:5000 or 172.21.0.0/24:5000");
        let (network, port) = text.rsplit_once(':').ok_or_else(error)?;
        let network = network.trim_start_matches('[').trim_end_matches(']');
        match (network.parse::<IpNet>(), port.parse::<u16>()) {
            (Ok(network), Ok(port)) => Ok(Self::Network(network, port)),
            _ => Err(error()),
        }
    }
}

impl<'de> Deserialize<'de> for ListenAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
