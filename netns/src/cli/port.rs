//! `port`: where on the host a service's port answers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::Args;

use super::args::Global;
use super::failure::{Code, Failure};
use super::terminal::out;
use super::{project, ps};

/// `port`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup port api-gateway 3000
  curl http://$(netns-setup port api-gateway 3000)/api/products

A published port is the service's, not one instance's: connections are spread
over them. 0.0.0.0 stands for every address of this machine.")]
pub(super) struct Port {
    /// Protocol; only tcp is published
    #[arg(long, value_name = "PROTOCOL", default_value = "tcp", value_parser = ["tcp"])]
    pub protocol: String,
    /// Which instance; the answer is the same for each
    #[arg(long, value_name = "N", hide = true)]
    pub index: Option<u32>,
    /// Service
    pub service: String,
    /// The port it listens on
    #[arg(value_name = "PORT")]
    pub target: u16,
}

pub(super) fn run(global: &Global, port: &Port) -> Result<u8, Failure> {
    let state = project::find_up(global)?;
    let status = ps::status(&state)?;
    let of_service = || {
        status
            .published
            .iter()
            .filter(|published| published.service == port.service)
    };
    if !status
        .instances
        .iter()
        .any(|instance| instance.service == port.service)
    {
        ps::chosen(&status, std::slice::from_ref(&port.service))?;
    }
    let mut found = of_service()
        .filter(|published| published.target_port == port.target)
        .peekable();
    if found.peek().is_none() {
        let mut others: Vec<String> = of_service()
            .map(|published| published.target_port.to_string())
            .collect();
        others.dedup();
        let instead = if others.is_empty() {
            let mut services: Vec<&str> = status
                .published
                .iter()
                .map(|published| published.service.as_str())
                .collect();
            services.dedup();
            format!(
                "it publishes none; published are ports of: {}",
                services.join(", ")
            )
        } else {
            format!("it publishes {}", others.join(", "))
        };
        return Err(Failure::new(
            Code::Failed,
            format!(
                "error: no port {}/tcp of {} is published\n = help: {instead}",
                port.target, port.service
            ),
        ));
    }
    for published in found {
        let address = published
            .host_ip
            .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        out(&format!(
            "{}\n",
            SocketAddr::new(address, published.host_port)
        ))?;
    }
    Ok(0)
}
