//! Remakes the committed data that queries are checked against: `make sqlx-prepare`, after changing a query or a migration.
//!
//! For each service with migrations: a database of a private PostgreSQL, its migrations applied, and a build of the service that asks that
//! database about every query (what `cargo sqlx prepare` does, without a server to set up first).

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

const SERVICES: [&str; 2] = ["product-service", "order-service"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("this crate lies in crates/")?;
    let postgres = test_support::Postgres::start().await?;
    for service in SERVICES {
        let folder = crates.join(service);
        let migrator = sqlx::migrate::Migrator::new(folder.join("migrations")).await?;
        let database = postgres.database(&migrator).await?;
        prepare(service, &folder, database.url())?;
    }
    Ok(())
}

fn prepare(service: &str, folder: &Path, database_url: &str) -> Result<()> {
    let data = folder.join(".sqlx");
    if data.exists() {
        std::fs::remove_dir_all(&data)?;
    }
    std::fs::create_dir(&data)?;
    // A build that cargo already has asks nothing: the sources must look new.
    let library = std::fs::File::open(folder.join("src/lib.rs"))?;
    library.set_modified(std::fs::metadata(&data)?.modified()?)?;
    let status = Command::new(env!("CARGO"))
        .args(["check", "--locked", "--package", service])
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", &data)
        .env("DATABASE_URL", database_url)
        .status()
        .context("cannot run cargo")?;
    ensure!(
        status.success(),
        "{service} does not build against its migrated database"
    );
    Ok(())
}
