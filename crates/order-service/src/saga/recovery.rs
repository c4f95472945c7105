//! Finishes what a crash, a timeout or an outage left: undecided orders, and releases that are owed.

use tokio_util::sync::CancellationToken;

use super::Saga;

/// Most orders taken at once.
const BATCH: i64 = 16;
/// Expired idempotency keys are removed once in so many rounds.
const ROUNDS_PER_SWEEP: u32 = 60;

/// Runs until `stop`. Any number of replicas may: leases keep them apart.
pub async fn run(saga: Saga, stop: CancellationToken) {
    let mut rounds = 0_u32;
    while !stop.is_cancelled() {
        let more = match saga.finish_due(BATCH).await {
            Ok(found) => found == usize::try_from(BATCH).unwrap_or(usize::MAX),
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "recovery waits for PostgreSQL"
                );
                false
            }
        };
        if more {
            continue;
        }
        if rounds.is_multiple_of(ROUNDS_PER_SWEEP)
            && let Err(error) = saga.sweep_keys().await
        {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "expired idempotency keys stay for now"
            );
        }
        rounds = rounds.wrapping_add(1);
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(saga.policy().recovery_interval) => {}
        }
    }
}
