//! What can go wrong at the store, told apart by whether waiting helps.

use common::sqlstate;

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
            sqlx::Error::Database(refusal) => refusal
                .code()
                .is_some_and(|code| sqlstate::is_passing(&code)),
            _ => false,
        };
        if away {
            Self::Away(error)
        } else {
            Self::Broken(error)
        }
    }
}
