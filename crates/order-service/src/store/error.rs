//! What can go wrong at the store, told apart by whether waiting helps.

/// A store operation failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// PostgreSQL cannot be reached, is shutting down, is overloaded or has not been migrated yet: try again later.
    #[error("PostgreSQL is away")]
    Away(#[source] sqlx::Error),
    /// PostgreSQL did not answer in time: it, or the way to it, hangs. Whether a write was made is not known.
    #[error("PostgreSQL did not answer in time")]
    Silent,
    /// PostgreSQL refused a statement or a row cannot be read: a defect.
    #[error("the order store failed")]
    Broken(#[source] sqlx::Error),
    /// A stored row holds what no version of this service writes.
    #[error("order {0} has a status this version does not know")]
    Unreadable(uuid::Uuid),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let away = match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => true,
            // Classes of SQLSTATE (PostgreSQL, appendix A): connection, transaction rollback (deadlock), resources,
            // object not in state, operator intervention, system error; wrong credentials while roles are being made.
            // Single states: read-only while failing over; a table or database that is not there yet.
            sqlx::Error::Database(refusal) => refusal.code().is_some_and(|code| {
                ["08", "40", "53", "55", "57", "58", "28"]
                    .iter()
                    .any(|class| code.starts_with(class))
                    || code == "25006"
                    || code == "42P01"
                    || code == "3D000"
            }),
            _ => false,
        };
        if away {
            Self::Away(error)
        } else {
            Self::Broken(error)
        }
    }
}
