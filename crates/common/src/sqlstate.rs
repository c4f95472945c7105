//! What PostgreSQL's error codes say of trying again (PostgreSQL, appendix A).

/// Whole classes: connection, credentials while roles are being made or passwords changed, transaction rollback (deadlock), resources,
/// object not in state, operator intervention, system error.
const PASSING_CLASSES: [&str; 7] = ["08", "28", "40", "53", "55", "57", "58"];
/// Single codes: read-only while failing over; a table or a database that is not there yet.
const PASSING_CODES: [&str; 3] = ["25006", "42P01", "3D000"];

/// Whether the same statement may well work in a moment: the server is away, busy, starting, failing over or not migrated yet. Anything
/// else is a defect of who has written the statement.
#[must_use]
pub fn is_passing(code: &str) -> bool {
    let class = code.get(..2).unwrap_or_default();
    PASSING_CLASSES.contains(&class) || PASSING_CODES.contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_away_passes_and_a_mistake_of_ours_does_not() {
        for code in [
            "08006", "28P01", "40P01", "53300", "55P03", "57P03", "25006", "42P01", "3D000",
        ] {
            assert!(is_passing(code), "{code}");
        }
        for code in ["23505", "42703", "22P02", "25001", ""] {
            assert!(!is_passing(code), "{code}");
        }
    }
}
