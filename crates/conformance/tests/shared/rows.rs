//! What the shop's databases hold, by PostgreSQL's own word, not that of the scripts that save it.

use std::collections::BTreeMap;

use anyhow::Result;

/// Of each table how many rows there are, and a digest of them.
pub(crate) type Rows = BTreeMap<String, String>;

/// Of both databases; `inside` runs a program beside PostgreSQL's own and returns what it prints.
pub(crate) async fn of(inside: impl AsyncFn(&[&str]) -> Result<String>) -> Result<Rows> {
    let sql = async |database: &str, query: &str| {
        let psql = [
            "psql", "-XAt", "-U", "postgres", "-d", database, "-c", query,
        ];
        inside(&psql).await
    };
    let mut rows = Rows::new();
    for database in ["orders", "catalog"] {
        let tables = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
        for table in sql(database, tables).await?.lines() {
            let digest = format!(
                "SELECT count(*), md5(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE \"C\")) FROM \"{table}\" t"
            );
            let digest = sql(database, &digest).await?;
            rows.insert(format!("{database}.{table}"), digest.trim().to_owned());
        }
    }
    Ok(rows)
}
