//! Leased instances.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State as Extract;
use common::clock;
use common::problem::{JsonBody, PathParam, Problem, QueryParams};
use common::registry::{Accepted, Instance, InstanceId, ListBody, PutInstance, ServiceName, State};
use http::StatusCode;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::refused;
use crate::admission;
use crate::core::Event;
use crate::registry::Registry;

/// `PUT`: 201 for a new process (also one that replaces an older generation), 200 for a renewal.
pub(super) async fn register(
    Extract(registry): Extract<Arc<Registry>>,
    Extract(allowed): Extract<Arc<[IpNet]>>,
    PathParam((service, id)): PathParam<(ServiceName, InstanceId)>,
    JsonBody(body): JsonBody<PutInstance>,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    if body.service.as_ref().is_some_and(|given| *given != service) {
        return Err(Problem::invalid(
            "/service",
            "is not the service of the path",
        ));
    }
    if body.id.as_ref().is_some_and(|given| *given != id) {
        return Err(Problem::invalid("/id", "is not the instance of the path"));
    }
    admission::address(body.address, "/address", &allowed)?;
    admission::port(body.port)?;
    admission::generation(body.generation)?;
    admission::metadata(&body.metadata)?;
    let PutInstance {
        address,
        port,
        generation,
        metadata,
        ttl,
        ..
    } = body;
    let instance = Instance {
        service,
        id,
        address,
        port,
        generation,
        metadata,
        ttl,
    };
    let decision = registry
        .apply(Event::Register(instance, clock::utc()))
        .map_err(refused)?;
    let status = if decision.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((
        status,
        Json(Accepted {
            state: decision.state,
            revision: registry.read(|table| table.revision()),
        }),
    ))
}

/// What a process that ends says about itself, so that it cannot end its successor.
#[derive(Debug, Deserialize)]
pub(super) struct Leaving {
    generation: Option<u64>,
}

/// `POST .../drain?generation=`: 200 once the watchers are told.
pub(super) async fn drain(
    Extract(registry): Extract<Arc<Registry>>,
    PathParam((service, id)): PathParam<(ServiceName, InstanceId)>,
    QueryParams(Leaving { generation }): QueryParams<Leaving>,
) -> Result<Json<Accepted>, Problem> {
    let decision = registry
        .apply(Event::Drain((service.clone(), id), generation))
        .map_err(refused)?;
    if let Some(change) = decision.changes.last() {
        registry.told(&service, change.revision).await;
    }
    Ok(Json(Accepted {
        state: decision.state,
        revision: registry.read(|table| table.revision()),
    }))
}

/// `DELETE ...?generation=`: 204, also when there is none (leaving twice is harmless).
pub(super) async fn deregister(
    Extract(registry): Extract<Arc<Registry>>,
    PathParam((service, id)): PathParam<(ServiceName, InstanceId)>,
    QueryParams(Leaving { generation }): QueryParams<Leaving>,
) -> Result<StatusCode, Problem> {
    match registry.apply(Event::Deregister((service, id), generation)) {
        Ok(_) | Err(crate::core::Refusal::Unknown) => Ok(StatusCode::NO_CONTENT),
        Err(refusal) => Err(refused(refusal)),
    }
}

/// `GET /v1/services`.
#[derive(Debug, Serialize)]
pub(super) struct Services {
    revision: u64,
    epoch: String,
    services: BTreeMap<ServiceName, Counts>,
}

/// How many instances are in which state.
#[derive(Debug, Default, Serialize)]
struct Counts {
    warming: usize,
    passing: usize,
    critical: usize,
    draining: usize,
}

/// Every service, with its instances counted by state.
pub(super) async fn services(Extract(registry): Extract<Arc<Registry>>) -> Json<Services> {
    let (revision, services) = registry.read(|table| {
        let mut services: BTreeMap<ServiceName, Counts> = BTreeMap::new();
        for ((service, _), entry) in table.iter() {
            let counts = services.entry(service.clone()).or_default();
            *match entry.state {
                State::Warming => &mut counts.warming,
                State::Passing => &mut counts.passing,
                State::Critical => &mut counts.critical,
                State::Draining => &mut counts.draining,
            } += 1;
        }
        (table.revision(), services)
    });
    Json(Services {
        revision,
        epoch: registry.epoch().to_owned(),
        services,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    state: Option<State>,
}

/// The instances of one service; none is an empty list.
pub(super) async fn instances(
    Extract(registry): Extract<Arc<Registry>>,
    PathParam(service): PathParam<ServiceName>,
    QueryParams(filter): QueryParams<Filter>,
) -> Json<ListBody> {
    let wanted = |state: State| filter.state.is_none_or(|wanted| wanted == state);
    let (revision, instances) = registry.read(|table| {
        let entries = table.of(&service).filter(|entry| wanted(entry.state));
        (
            table.revision(),
            entries.map(|entry| entry.status()).collect(),
        )
    });
    Json(ListBody {
        revision,
        epoch: registry.epoch().to_owned(),
        instances,
    })
}
