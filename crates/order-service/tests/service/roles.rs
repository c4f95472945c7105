//! The schema belongs to the owner role; what serves requests can change rows and nothing else.

use anyhow::Result;
use sqlx::{Connection, PgConnection};
use test_support::postgres;

use crate::world::World;

#[tokio::test]
async fn the_owner_migrates_and_the_runtime_role_has_no_more_than_rows() -> Result<()> {
    let server = postgres().await?;
    let database = server.empty_database().await?;
    let name = database.name();
    let (owner, runtime) = (format!("{name}_owner"), format!("{name}_runtime"));
    for role in [&owner, &runtime] {
        server.execute(&format!("CREATE ROLE {role} LOGIN")).await?;
    }
    server
        .execute(&format!("ALTER DATABASE {name} OWNER TO {owner}"))
        .await?;
    let mut as_owner = PgConnection::connect(&server.url_as(&owner, name)).await?;
    let defaults = format!(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {runtime}"
    );
    sqlx::query(sqlx::AssertSqlSafe(defaults))
        .execute(&mut as_owner)
        .await?;

    let address = server.address();
    let world = World::with(&[
        ("DATABASE_URL", ""),
        ("DATABASE__HOST", &address.ip().to_string()),
        ("DATABASE__PORT", &address.port().to_string()),
        ("DATABASE__NAME", name),
        ("DATABASE__USER", &runtime),
        ("DATABASE__OWNER__USER", &owner),
    ])
    .await?;
    let product = world.product(10).await?;
    let id = world.place("k", &[(&product, 1)]).await?.is(201).id();
    world.cancel(&id).await?.is(200);

    let mut as_runtime = PgConnection::connect(&server.url_as(&runtime, name)).await?;
    for forbidden in [
        "CREATE TABLE x ()",
        "DROP TABLE orders",
        "ALTER TABLE orders ADD x int",
        "TRUNCATE orders",
    ] {
        let refused = sqlx::query(forbidden).execute(&mut as_runtime).await;
        assert!(refused.is_err(), "{forbidden} was allowed");
    }
    Ok(())
}
