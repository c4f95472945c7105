//! The four calls of clients that know nothing else: no lease, no id, no generation. Their answers keep the shapes that
//! such clients expect.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State as Extract;
use axum::response::{IntoResponse, Response};
use common::clock;
use common::problem::{JsonBody, PathParam, Problem};
use common::registry::{Instance, InstanceId, ServiceName, State, Ttl};
use http::StatusCode;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::refused;
use crate::admission;
use crate::core::{Entry, Event, Refusal};
use crate::registry::Registry;

#[derive(Debug, Deserialize)]
pub(super) struct Registering {
    name: ServiceName,
    ip: IpAddr,
    port: u16,
}

/// `POST /register`: the same address again is the same instance.
pub(super) async fn register(
    Extract(registry): Extract<Arc<Registry>>,
    Extract(allowed): Extract<Arc<[IpNet]>>,
    JsonBody(Registering { name, ip, port }): JsonBody<Registering>,
) -> Result<Json<Value>, Problem> {
    admission::address(ip, "/ip", &allowed)?;
    admission::port(port)?;
    let instance = Instance {
        service: name.clone(),
        id: id_of(ip, port),
        address: ip,
        port,
        generation: clock::unix_ms(),
        metadata: BTreeMap::new(),
        ttl: Ttl::default(),
    };
    registry
        .apply(Event::RegisterClassic(instance, clock::utc()))
        .map_err(refused)?;
    Ok(Json(json!({ "status": "registered", "service": name })))
}

/// An address as an id: `172-21-0-9-5000`.
fn id_of(ip: IpAddr, port: u16) -> InstanceId {
    let text = format!("{ip}-{port}").replace(['.', ':'], "-");
    // An IPv6 address may begin with its "::".
    text.trim_start_matches('-')
        .parse()
        .expect("digits, a-f and dashes, at most 45 characters")
}

/// An instance as classic clients see it.
#[derive(Debug, Serialize)]
struct Seen {
    ip: IpAddr,
    port: u16,
    health: &'static str,
    #[serde(with = "time::serde::rfc3339")]
    registered_at: OffsetDateTime,
}

impl From<&Entry> for Seen {
    fn from(entry: &Entry) -> Self {
        let health = match entry.state {
            State::Passing => "healthy",
            State::Warming => "unknown",
            State::Critical => "unhealthy",
            State::Draining => "draining",
        };
        Self {
            ip: entry.instance.address,
            port: entry.instance.port,
            health,
            registered_at: entry.registered_at,
        }
    }
}

/// `GET /discover/{name}`: one instance and, beside it, all. One that passes if there is one, in turn; else any, with its
/// health told truly.
pub(super) async fn discover(
    Extract(registry): Extract<Arc<Registry>>,
    PathParam(name): PathParam<String>,
) -> Response {
    let Ok(service) = name.parse::<ServiceName>() else {
        return not_found();
    };
    let mut seen: Vec<Seen> = registry.read(|table| table.of(&service).map(Seen::from).collect());
    // Passing ones first, the order among equals stays.
    seen.sort_by_key(|seen| seen.health != "healthy");
    let candidates = seen
        .iter()
        .take_while(|one| one.health == "healthy")
        .count();
    let candidates = if candidates == 0 {
        seen.len()
    } else {
        candidates
    };
    if candidates == 0 {
        return not_found();
    }
    let chosen = &seen[registry.turn(&service) % candidates];
    with_instances(chosen, &seen).into_response()
}

fn with_instances(chosen: &Seen, all: &[Seen]) -> Json<Value> {
    let mut answer = json!(chosen);
    answer["instances"] = json!(all);
    Json(answer)
}

/// `GET /services`: every name with its first instance (a passing one if there is one) and all of them.
pub(super) async fn services(
    Extract(registry): Extract<Arc<Registry>>,
) -> Json<BTreeMap<ServiceName, Value>> {
    let mut services: BTreeMap<ServiceName, Vec<Seen>> = BTreeMap::new();
    registry.read(|table| {
        for ((service, _), entry) in table.iter() {
            services
                .entry(service.clone())
                .or_default()
                .push(Seen::from(entry));
        }
    });
    let answer = services.into_iter().filter_map(|(service, seen)| {
        let chosen = seen
            .iter()
            .find(|one| one.health == "healthy")
            .or(seen.first())?;
        let Json(answer) = with_instances(chosen, &seen);
        Some((service, answer))
    });
    Json(answer.collect())
}

/// `DELETE /deregister/{name}`: every classic entry of the name. Instances with a lease leave by themselves.
pub(super) async fn deregister(
    Extract(registry): Extract<Arc<Registry>>,
    PathParam(name): PathParam<String>,
) -> Result<Response, Problem> {
    let Ok(service) = name.parse::<ServiceName>() else {
        return Ok(not_found());
    };
    match registry.apply(Event::DeregisterClassic(service)) {
        Ok(_) => Ok(Json(json!({ "status": "deregistered", "service": name })).into_response()),
        Err(Refusal::Unknown) => Ok(not_found()),
        Err(refusal) => Err(refused(refusal)),
    }
}

fn not_found() -> Response {
    (
        StatusCode::NOT_FOUND,
        Json(json!({ "error": "Service not found" })),
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_makes_an_id() {
        let id = |ip: &str| id_of(ip.parse().unwrap(), 65535).to_string();
        assert_eq!(id("172.21.0.9"), "172-21-0-9-65535");
        assert_eq!(id("::1"), "1-65535");
        assert_eq!(
            id("fd00:1111:2222:3333:4444:5555:6666:7777"),
            "fd00-1111-2222-3333-4444-5555-6666-7777-65535"
        );
    }
}
