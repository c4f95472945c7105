//! What the databases hold, by PostgreSQL's own word.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::STRETCH;
use crate::setting::{Lab, said};

/// Of each table how many rows there are, and a digest of them.
pub(crate) type Rows = BTreeMap<String, String>;

const DATABASES: [&str; 2] = ["orders", "catalog"];

/// Each table's rows, as PostgreSQL prints them: the database's own word, not that of the scripts.
pub(crate) async fn rows(lab: &Lab<'_>) -> Result<Rows> {
    let mut rows = BTreeMap::new();
    for database in DATABASES {
        let sql = "SELECT format('SELECT %L, count(*), md5(string_agg(t::text, E''\\n'' ORDER BY t::text COLLATE \"C\")) FROM %I t', relname, relname) \
                   FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace \\gexec";
        let script =
            format!("psql -XAt -v ON_ERROR_STOP=1 -U postgres -d {database} <<'SQL'\n{sql}\nSQL");
        let output = lab.exec("postgres-1", &["/bin/sh", "-c", &script]).await?;
        ensure!(output.status.success(), "{}", said(&output));
        for line in String::from_utf8(output.stdout)?.lines() {
            let (table, digest) = line.split_once('|').context("a table and its rows")?;
            rows.insert(format!("{database}.{table}"), digest.to_owned());
        }
    }
    ensure!(rows.len() == 9, "{} tables: {rows:?}", rows.len());
    Ok(rows)
}

/// The manifest counts what was saved.
pub(crate) fn is_in_manifest(folder: &Path, rows: &Rows) -> Result<()> {
    let manifest = std::fs::read_to_string(folder.join("manifest"))?;
    for (table, digest) in rows {
        let (count, _) = digest.split_once('|').context("a count")?;
        let line = format!("table {} {count} ", table.replace('.', " "));
        ensure!(manifest.contains(&line), "no line {line:?} in {manifest}");
    }
    Ok(())
}

/// What is confirmed here is held there, and nothing is held for nobody.
pub(crate) async fn agree(lab: &Lab<'_>) -> Result<()> {
    let mut ids = Vec::new();
    for (database, sql) in [
        (
            "orders",
            "SELECT id FROM orders WHERE status = 'confirmed' ORDER BY id",
        ),
        (
            "catalog",
            "SELECT order_id FROM reservations WHERE state = 'held' ORDER BY order_id",
        ),
        (
            "orders",
            "SELECT count(*) FROM orders WHERE due_at IS NOT NULL",
        ),
    ] {
        let output = lab
            .exec(
                "postgres-1",
                &["psql", "-XAt", "-U", "postgres", "-d", database, "-c", sql],
            )
            .await?;
        ensure!(output.status.success(), "{}", said(&output));
        ids.push(String::from_utf8(output.stdout)?);
    }
    ensure!(ids[2].trim() == "0", "orders are still due: {}", ids[2]);
    ensure!(
        ids[0] == ids[1],
        "confirmed:\n{}\nheld:\n{}",
        ids[0],
        ids[1]
    );
    ensure!(ids[0].lines().count() >= STRETCH, "{}", ids[0]);
    Ok(())
}
