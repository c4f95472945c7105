//! One private PostgreSQL a test binary, a database of its own for every test.

mod launch;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use sqlx::migrate::Migrator;
use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::{Mutex, OnceCell};

use crate::eventually_within;
use crate::guard::Guarded;

/// A fresh cluster starts in under a second; a machine under load may take long.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// The private server of this test binary, started on first use (about a second).
///
/// # Errors
/// When PostgreSQL is not installed (the message says what installs it) or does not start (the message holds its log).
pub async fn postgres() -> Result<&'static Postgres> {
    static SERVER: OnceCell<Postgres> = OnceCell::const_new();
    SERVER.get_or_try_init(Postgres::start).await
}

/// A running private server. Its superuser is `postgres`; no password is asked.
#[derive(Debug)]
pub struct Postgres {
    process: Guarded,
    address: SocketAddr,
    /// Names of the template databases that are complete.
    templates: Mutex<HashSet<String>>,
}

impl Postgres {
    /// Starts a server of its own. Tests want [`postgres`]; this is for those that stop or kill one.
    ///
    /// # Errors
    /// As [`postgres`].
    pub async fn start() -> Result<Self> {
        let (process, address) = tokio::task::spawn_blocking(launch::launch).await??;
        let server = Self {
            process,
            address,
            templates: Mutex::default(),
        };
        eventually_within(START_DEADLINE, "PostgreSQL takes connections", || async {
            if !server.process.is_running() {
                return Ok(Err(anyhow::anyhow!(
                    "PostgreSQL ended: {}",
                    server.process.log()
                )));
            }
            Ok(Ok(PgConnection::connect(&server.url("postgres"))
                .await?
                .close()
                .await?))
        })
        .await??;
        Ok(server)
    }

    /// A connection URL for `database` as the superuser, over the unix socket.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_as("postgres", database)
    }

    /// [`Self::url`] as another role.
    #[must_use]
    pub fn url_as(&self, role: &str, database: &str) -> String {
        let socket = self.process.folder().display();
        format!(
            "postgres://{role}@localhost:{}/{database}?host={socket}",
            self.address.port()
        )
    }

    /// A connection URL over TCP, for example through a [`crate::FaultProxy`] to [`Self::address`].
    #[must_use]
    pub fn tcp_url(&self, address: SocketAddr, database: &str) -> String {
        format!("postgres://postgres@{address}/{database}?sslmode=disable")
    }

    /// Where it listens on loopback.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A database of the caller's own with every migration applied: a clone of a template that is migrated once a server.
    ///
    /// # Errors
    /// When a migration fails.
    pub async fn database(&self, migrator: &Migrator) -> Result<TestDatabase> {
        // Named by the content of the migrations, so that two sets of them may be used in one test binary.
        let key = migrator
            .iter()
            .flat_map(|migration| migration.checksum.iter())
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3) // FNV-1a
            });
        self.database_from(&format!("migrated_{key:x}"), async |url| {
            let mut connection = PgConnection::connect(url).await?;
            migrator.run_direct(None, &mut connection, false).await?;
            Ok(connection.close().await?)
        })
        .await
    }

    /// A clone of the template `name`, which `prepare` fills, once a server, by the URL it is given. `prepare` has to close its
    /// connections: PostgreSQL does not clone a database in use.
    ///
    /// # Errors
    /// What `prepare` fails with.
    pub async fn database_from(
        &self,
        name: &str,
        prepare: impl AsyncFnOnce(&str) -> Result<()>,
    ) -> Result<TestDatabase> {
        let template = format!("template_{name}");
        {
            let mut ready = self.templates.lock().await;
            if !ready.contains(&template) {
                self.execute(&format!("CREATE DATABASE {template}")).await?;
                if let Err(error) = prepare(&self.url(&template)).await {
                    self.execute(&format!("DROP DATABASE {template} WITH (FORCE)"))
                        .await?;
                    return Err(error.context(format!("filling {template}")));
                }
                ready.insert(template.clone());
            }
        }
        self.create(Some(&template)).await
    }

    /// An empty database of the caller's own.
    ///
    /// # Errors
    /// When the server is gone.
    pub async fn empty_database(&self) -> Result<TestDatabase> {
        self.create(None).await
    }

    async fn create(&self, template: Option<&str>) -> Result<TestDatabase> {
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        let mut statement = format!("CREATE DATABASE {name}");
        if let Some(template) = template {
            write!(statement, " TEMPLATE {template}")?;
        }
        self.execute(&statement).await?;
        Ok(TestDatabase {
            url: self.url(&name),
            tcp_url: self.tcp_url(self.address, &name),
            name,
        })
    }

    /// Runs one statement as the superuser in the database `postgres`.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn execute(&self, statement: &str) -> Result<()> {
        let mut connection = PgConnection::connect(&self.url("postgres")).await?;
        connection
            .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())))
            .await
            .with_context(|| statement.to_owned())?;
        Ok(connection.close().await?)
    }

    /// Ends it as a crash would.
    pub fn kill(&self) {
        self.process.signal(Signal::SIGQUIT);
    }
}

/// A database that only one test uses. It is not dropped: its server's folder goes with the test process.
#[derive(Debug, Clone)]
pub struct TestDatabase {
    name: String,
    url: String,
    tcp_url: String,
}

impl TestDatabase {
    /// The database's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Connection URL over the unix socket, what `DATABASE_URL` takes.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Connection URL over TCP.
    #[must_use]
    pub fn tcp_url(&self) -> &str {
        &self.tcp_url
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    async fn count(url: &str) -> Result<i64> {
        let mut connection = PgConnection::connect(url).await?;
        Ok(sqlx::query_scalar("SELECT count(*) FROM things")
            .fetch_one(&mut connection)
            .await?)
    }

    #[tokio::test]
    async fn tests_get_databases_of_their_own_from_one_template() {
        let server = postgres().await.unwrap();
        let prepare = async |url: &str| {
            let mut connection = PgConnection::connect(url).await?;
            connection
                .execute("CREATE TABLE things (id int); INSERT INTO things VALUES (1)")
                .await?;
            Ok(connection.close().await?)
        };
        let one = server.database_from("things", prepare).await.unwrap();
        let two = server
            .database_from("things", async |_| bail!("a template is filled once"))
            .await
            .unwrap();
        let mut connection = PgConnection::connect(one.url()).await.unwrap();
        connection.execute("DELETE FROM things").await.unwrap();
        assert_eq!(count(one.url()).await.unwrap(), 0);
        assert_eq!(count(two.tcp_url()).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_template_that_failed_is_filled_again() {
        let server = postgres().await.unwrap();
        server
            .database_from("flaky", async |_| bail!("first"))
            .await
            .unwrap_err();
        server
            .database_from("flaky", async |_| Ok(()))
            .await
            .unwrap();
    }
}
