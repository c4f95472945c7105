//! A database that others wait for.

use anyhow::{Result, ensure};

use crate::setting::{Lab, Setting, UP, said};

/// The commonest way to wait for a database: its socket is asked. `first` has nothing to read before it is filled.
const FILLED: &str = r#"
services:
  db:
    image: postgres:15
    environment: { POSTGRES_USER: app, POSTGRES_PASSWORD: own }
    healthcheck: { test: [CMD-SHELL, "pg_isready -U app"], interval: 1s, retries: 60 }
    volumes: ["./initdb:/docker-entrypoint-initdb.d:ro"]
  first:
    image: postgres:15
    environment: { PGPASSWORD: own }
    command: [psql, -h, db, -U, app, -Atc, "select word from words"]
    depends_on: { db: { condition: service_healthy } }
"#;

pub(super) async fn healthy(setting: &Setting) -> Result<()> {
    let file = super::written(setting, "filled", FILLED)?;
    let scripts = setting.folder("filled/initdb")?;
    // The server that is filled answers for so long.
    std::fs::write(scripts.join("1.sh"), "psql -U app -c 'select pg_sleep(2)'")?;
    let words = "create table words (word text); insert into words values ('filled');";
    std::fs::write(scripts.join("2.sql"), words)?;
    let lab = Lab::new(setting, "filled", file)?;
    let up = lab.run(&UP).await?;
    ensure!(up.status.success(), "{}", said(&up));
    let read = lab.expect(&["logs", "--no-log-prefix", "first"]).await?;
    ensure!(read == "filled\n", "{read}");
    lab.expect(&["down", "--volumes"]).await.map(drop)
}
