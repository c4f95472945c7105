//! `port`: where on the host a service's ports answer.

use std::collections::BTreeSet;

use clap::Args;

use super::args::Global;
use super::failure::{Code, Failure};
use super::ps::ports;
use super::terminal::out;
use super::{project, ps};
use crate::columns::choice;
use crate::lab::protocol::Status;

/// `port`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup port api-gateway            each, as 3000/tcp -> 0.0.0.0:8080
  netns-setup port api-gateway 3000
  curl http://$(netns-setup port api-gateway 3001)/ready

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
    /// The port it listens on [default: each that is published]
    #[arg(value_name = "PORT")]
    pub target: Option<u16>,
}

pub(super) fn run(global: &Global, port: &Port) -> Result<u8, Failure> {
    let state = project::find_up(global)?;
    let status = ps::status(&state)?;
    let is_there = |service: &String| status.instances.iter().any(|one| one.service == *service);
    if !is_there(&port.service) {
        ps::chosen(&status, std::slice::from_ref(&port.service))?;
    }
    let found: String = ports::of(&status, &port.service)
        .filter(|published| {
            port.target
                .is_none_or(|target| target == published.target_port)
        })
        .map(|published| match port.target {
            Some(_) => format!("{}\n", ports::host(published)),
            None => format!(
                "{}/tcp -> {}\n",
                published.target_port,
                ports::host(published)
            ),
        })
        .collect();
    if found.is_empty() {
        return Err(none(&status, port));
    }
    out(&found)?;
    Ok(0)
}

/// That there is no such port, and which there are.
fn none(status: &Status, port: &Port) -> Failure {
    let which = match port.target {
        Some(target) => format!("port {target}/tcp"),
        None => "port".to_owned(),
    };
    let mut others: Vec<u16> = ports::of(status, &port.service)
        .map(|published| published.target_port)
        .collect();
    others.dedup();
    let instead = if others.is_empty() {
        let published = status.published.iter();
        let services: BTreeSet<&String> = published.map(|published| &published.service).collect();
        choice("it publishes none; published are ports of", services)
    } else {
        choice("it publishes", others)
    };
    Failure::new(
        Code::Failed,
        format!(
            "error: no {which} of {} is published{instead}",
            port.service
        ),
    )
}
