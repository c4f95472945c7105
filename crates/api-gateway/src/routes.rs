//! The route table: which public path belongs to which service, and by which methods it can ever be called.
//!
//! What is not listed is not reachable: an upstream's internal paths (reservations, metrics) have no public name.

use std::borrow::Cow;

use http::Method;

use crate::path::{self, PathError};

/// One line of the table. A route owns its prefix and everything below it.
#[derive(Debug)]
pub struct Route {
    /// What spans and metrics call it.
    pub template: &'static str,
    /// Where it is found: whole decoded segments.
    prefix: &'static str,
    /// The upstream service, and the prefix that replaces the public one.
    upstream: Upstream,
    methods: &'static [Method],
}

#[derive(Debug)]
struct Upstream {
    service: &'static str,
    prefix: &'static str,
}

impl Route {
    /// The name of the service that owns the route.
    #[must_use]
    pub fn service(&self) -> &'static str {
        self.upstream.service
    }
}

/// Everything that is reachable, besides the gateway's own [`HEALTH`].
pub static TABLE: &[Route] = &[
    Route {
        template: "/api/products",
        prefix: "/api/products",
        upstream: Upstream {
            service: "product-service",
            prefix: "/products",
        },
        methods: &[
            Method::DELETE,
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
        ],
    },
    Route {
        template: "/api/orders",
        prefix: "/api/orders",
        upstream: Upstream {
            service: "order-service",
            prefix: "/orders",
        },
        methods: &[Method::GET, Method::HEAD, Method::POST],
    },
    Route {
        template: "/api/cart",
        prefix: "/api/cart",
        upstream: Upstream {
            service: "order-service",
            prefix: "/cart",
        },
        methods: &[
            Method::DELETE,
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
        ],
    },
];

/// The path the gateway answers itself.
pub const HEALTH: &str = "/health";

static HEALTH_METHODS: &[Method] = &[Method::GET, Method::HEAD];

/// Where a request goes.
#[derive(Debug)]
pub enum Resolved<'a> {
    /// The gateway's own health.
    Health,
    /// On to a service, under this path.
    Upstream(&'static Route, Cow<'a, str>),
}

/// Why a request goes nowhere.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The path has no single reading: 400.
    BadPath(PathError),
    /// Nothing is served there: 404.
    NotFound,
    /// No resource under that route ever answers the method: 405, with those that one might.
    MethodNotAllowed(&'static [Method]),
}

/// Finds the owner of a request.
///
/// # Errors
/// [`Refusal`] when there is none.
pub fn resolve<'a>(method: &Method, raw_path: &'a str) -> Result<Resolved<'a>, Refusal> {
    let path = path::canonical(raw_path).map_err(Refusal::BadPath)?;
    if path == HEALTH {
        return if HEALTH_METHODS.contains(method) {
            Ok(Resolved::Health)
        } else {
            Err(Refusal::MethodNotAllowed(HEALTH_METHODS))
        };
    }
    for route in TABLE {
        let Some(rest) = below(&path, route.prefix) else {
            continue;
        };
        if !route.methods.contains(method) {
            return Err(Refusal::MethodNotAllowed(route.methods));
        }
        return Ok(Resolved::Upstream(
            route,
            Cow::Owned(format!("{}{rest}", route.upstream.prefix)),
        ));
    }
    Err(Refusal::NotFound)
}

/// A `Location` as the client must see it: an upstream names its own paths, the client knows them under the public prefix.
/// `None` when it is right as it is.
#[must_use]
pub fn public_location(route: &Route, location: &str) -> Option<String> {
    let path_end = location.find(['?', '#']).unwrap_or(location.len());
    TABLE
        .iter()
        .filter(|candidate| candidate.service() == route.service())
        .find_map(|candidate| {
            below(&location[..path_end], candidate.upstream.prefix).map(|_| candidate)
        })
        .map(|owner| {
            format!(
                "{}{}",
                owner.prefix,
                &location[owner.upstream.prefix.len()..]
            )
        })
}

/// What follows `prefix` in `path` when it ends at a segment's border: empty, or beginning with a slash.
fn below<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    path.strip_prefix(prefix)
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn upstream(method: &Method, path: &str) -> Option<(&'static str, String)> {
        match resolve(method, path) {
            Ok(Resolved::Upstream(route, path)) => Some((route.service(), path.into_owned())),
            _ => None,
        }
    }

    #[test]
    fn each_prefix_goes_to_its_owner_without_api() {
        for (path, service, forwarded) in [
            ("/api/products", "product-service", "/products"),
            ("/api/products/1", "product-service", "/products/1"),
            (
                "/%61pi/products/caf%c3%a9",
                "product-service",
                "/products/caf%C3%A9",
            ),
            ("/api/orders/x/cancel", "order-service", "/orders/x/cancel"),
            ("/api/cart", "order-service", "/cart"),
            ("/api/cart/items/7", "order-service", "/cart/items/7"),
        ] {
            assert_eq!(
                upstream(&Method::POST, path),
                Some((service, forwarded.to_owned())),
                "{path}"
            );
        }
        assert!(matches!(
            resolve(&Method::GET, "/health"),
            Ok(Resolved::Health)
        ));
    }

    #[test]
    fn everything_else_is_unknown() {
        for path in [
            "/",
            "/api",
            "/api/",
            "/api/reservations/1",
            "/reservations",
            "/products",
            "/api/productsx",
            "/api/products;a=b",
            "/metrics",
            "/health/",
            "/API/products",
        ] {
            assert_eq!(
                resolve(&Method::GET, path).unwrap_err(),
                Refusal::NotFound,
                "{path}"
            );
        }
    }

    #[test]
    fn a_method_no_resource_has_is_refused_with_those_that_exist() {
        let Err(Refusal::MethodNotAllowed(allowed)) = resolve(&Method::PATCH, "/api/orders/1")
        else {
            panic!("PATCH was let through")
        };
        assert_eq!(allowed, [Method::GET, Method::HEAD, Method::POST]);
        assert!(matches!(
            resolve(&Method::POST, "/health"),
            Err(Refusal::MethodNotAllowed(_))
        ));
    }

    #[test]
    fn locations_become_public_once() {
        let orders = &TABLE[1];
        assert_eq!(
            public_location(orders, "/orders/1").as_deref(),
            Some("/api/orders/1")
        );
        assert_eq!(
            public_location(&TABLE[2], "/orders/1?x=/cart").as_deref(),
            Some("/api/orders/1?x=/cart")
        );
        for kept in [
            "/api/orders/1",
            "https://elsewhere/orders/1",
            "//elsewhere/orders",
            "/ordersx",
            "/products/1",
            "",
        ] {
            assert_eq!(public_location(orders, kept), None, "{kept}");
        }
    }

    proptest! {
        #[test]
        fn what_is_forwarded_stays_below_the_owners_prefix(raw in "/api/(products|orders|cart)(/(\\.|%2e|%2f|%5c|%25|[a-z?%0-9]){0,4}){0,4}") {
            if let Ok(Resolved::Upstream(route, path)) = resolve(&Method::GET, &raw) {
                prop_assert!(below(&path, route.upstream.prefix).is_some());
                prop_assert!(path::canonical(&path).is_ok());
            }
        }
    }
}
