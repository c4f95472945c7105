//! The product service: catalogue, cache and stock reservations.

use common::service::{self, Service};
use std::process::ExitCode;

fn main() -> ExitCode {
    service::run(
        Service::new("product-service", 5000),
        product_service::serve,
    )
}
