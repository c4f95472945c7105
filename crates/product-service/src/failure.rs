//! How a failing database looks to a client: 503 when it makes sense to try again, 500 otherwise. Never its own text.

use common::problem::Problem;
use common::sqlstate;

/// Turns a database error into an answer; the error itself is the private cause.
pub fn database(error: sqlx::Error) -> Problem {
    if is_passing(&error) {
        Problem::unavailable("the catalogue cannot be reached right now", 1).cause(error)
    } else {
        Problem::internal(error)
    }
}

/// Whether the same request may well work in a moment.
fn is_passing(error: &sqlx::Error) -> bool {
    use sqlx::Error;
    match error {
        Error::Io(_)
        | Error::Tls(_)
        | Error::PoolTimedOut
        | Error::PoolClosed
        | Error::WorkerCrashed
        | Error::Protocol(_) => true,
        Error::Database(refusal) => refusal
            .code()
            .is_some_and(|code| sqlstate::is_passing(&code)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_away_is_503_and_a_mistake_of_ours_500() {
        assert_eq!(database(sqlx::Error::PoolTimedOut).status(), 503);
        assert_eq!(database(sqlx::Error::RowNotFound).status(), 500);
    }
}
