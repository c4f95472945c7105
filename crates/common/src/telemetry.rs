//! Logs to standard output and metrics for Prometheus.

use std::io::IsTerminal;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;

use crate::config::{Base, ConfigError, LogFormat};

/// Seconds; from a cache hit on the same machine to a request that hit its deadline.
const DURATION_BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// Sets up logging for the process. The filter is checked first: a misspelt `RUST_LOG` must not silence a service.
pub(crate) fn init_logs(base: &Base) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(&base.rust_log)
        .map_err(|error| ConfigError::new("rust_log", error.to_string()))?;
    let terminal = std::io::stdout().is_terminal();
    let default = if terminal {
        LogFormat::Pretty
    } else {
        LogFormat::Json
    };
    let registry = tracing_subscriber::registry().with(filter);
    // A second initialisation (a test that runs two services in one process) keeps the first.
    let _ = match base.log_format.unwrap_or(default) {
        LogFormat::Json => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .json()
                    .flatten_event(true)
                    // The innermost span says it all; the list would say it twice.
                    .with_span_list(false),
            )
            .try_init(),
        LogFormat::Pretty => registry
            .with(tracing_subscriber::fmt::layer().with_ansi(terminal))
            .try_init(),
    };
    Ok(())
}

/// The process's metrics.
#[derive(Debug, Clone)]
pub struct Metrics(Option<PrometheusHandle>);

impl Metrics {
    /// Installs the recorder behind the `metrics` macros, once per process.
    pub fn install() -> Self {
        static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
        let handle = HANDLE.get_or_init(|| {
            PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), DURATION_BUCKETS)
                .ok()?
                .install_recorder()
                .ok()
        });
        Self(handle.clone())
    }

    /// The text exposition format (version 0.0.4).
    pub fn render(&self) -> String {
        if let Some(bytes) = resident_bytes() {
            metrics::gauge!("process_resident_memory_bytes").set(bytes);
        }
        self.0
            .as_ref()
            .map(PrometheusHandle::render)
            .unwrap_or_default()
    }

    /// Moves what histograms gathered into their buckets: needed now and then, or they grow between scrapes.
    pub(crate) fn upkeep(&self) {
        if let Some(handle) = &self.0 {
            handle.run_upkeep();
        }
    }
}

/// The second field of `/proc/self/statm` (proc(5)), in pages of 4 KiB.
fn resident_bytes() -> Option<f64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: f64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096.0)
}
