//! A schema of its own for each test, on the server that all tests share.

use std::time::Duration;

use gemini_webhooks::Scheme;
use gemini_webhooks::replay::{ClaimKey, ClaimToken};
use gemini_webhooks_harness::database_url;
use gemini_webhooks_sqlx::PostgresGuard;
use gemini_webhooks_sqlx::sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use gemini_webhooks_sqlx::sqlx::{AssertSqlSafe, PgConnection, raw_sql};
use gemini_webhooks_sqlx::sqlx::{ConnectOptions as _, Connection as _};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// A schema that is removed when this is dropped.
pub(crate) struct Schema {
    name: String,
    removed: bool,
}

impl Schema {
    pub(crate) async fn new() -> Self {
        let schema = Self {
            name: format!("test_{:032x}", random()),
            removed: true,
        };
        admin(&format!("CREATE SCHEMA {}", schema.name)).await;
        schema
    }

    /// One that is there already, for a process of this test.
    pub(crate) fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            removed: false,
        }
    }

    /// With the table in it.
    pub(crate) async fn migrated() -> Self {
        let schema = Self::new().await;
        schema.guard().await.migrate().await.unwrap();
        schema
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn url(&self) -> String {
        let url = database_url();
        let and = if url.contains('?') { '&' } else { '?' };
        format!("{url}{and}options[search_path]={}", self.name)
    }

    pub(crate) fn options(&self) -> PgConnectOptions {
        self.url().parse().unwrap()
    }

    pub(crate) fn pool(&self) -> PgPool {
        PgPoolOptions::new()
            .max_connections(5)
            .connect_lazy_with(self.options())
    }

    /// A guard with a pool of its own.
    pub(crate) async fn guard(&self) -> PostgresGuard {
        PostgresGuard::connect(&self.url()).await.unwrap()
    }

    pub(crate) async fn connection(&self) -> PgConnection {
        self.options().connect().await.unwrap()
    }

    pub(crate) async fn execute(&self, sql: &str) {
        let mut connection = self.connection().await;
        let sql = AssertSqlSafe(sql.to_owned());
        raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        if self.removed {
            let sql = format!("DROP SCHEMA {} CASCADE", self.name);
            block_in_place(|| Handle::current().block_on(admin(&sql)));
        }
    }
}

async fn admin(sql: &str) {
    let mut connection = PgConnection::connect(&database_url()).await.unwrap();
    let sql = AssertSqlSafe(sql.to_owned());
    raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

pub(crate) fn random() -> u128 {
    u128::from_be_bytes(ClaimToken::generate().to_bytes())
}

pub(crate) fn key(id: &str) -> ClaimKey {
    ClaimKey::new("test", Scheme::V1, id)
}
