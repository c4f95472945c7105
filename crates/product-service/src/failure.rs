//! How a failing database looks to a client: 503 when it makes sense to try again, 500 otherwise. Never its own text.

use common::problem::Problem;

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
        | Error::PoolTimedOut
        | Error::PoolClosed
        | Error::WorkerCrashed
        | Error::Protocol(_) => true,
        Error::Database(database) => database.code().is_some_and(|code| is_passing_state(&code)),
        _ => false,
    }
}

/// SQLSTATEs of a server that is away, busy, starting, read-only (failing over), not migrated yet, or whose password has just changed:
/// who was started with the one before is about to be replaced.
fn is_passing_state(code: &str) -> bool {
    ["08", "28", "53", "57"]
        .iter()
        .any(|class| code.starts_with(class))
        || matches!(
            code,
            "40001" | "40P01" | "55P03" | "25006" | "42P01" | "3D000"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_away_is_503_and_a_mistake_of_ours_500() {
        assert_eq!(database(sqlx::Error::PoolTimedOut).status(), 503);
        assert_eq!(database(sqlx::Error::RowNotFound).status(), 500);
        assert!(is_passing_state("28P01"));
        assert!(
            is_passing_state("57P03") && is_passing_state("55P03") && !is_passing_state("23505")
        );
    }
}
