//! The shop's own services, each a package and an image of this name.

/// In the order in which they need each other.
pub const SERVICES: [&str; 4] = [
    "service-registry",
    "product-service",
    "order-service",
    "api-gateway",
];
