//! PostgreSQL, and its driver by itself.

use std::sync::Arc;

use gemini_webhooks::replay::ReplayGuard;
use gemini_webhooks_benches::tasks::{Contender, Error, compare};
use gemini_webhooks_harness::PostgresServer;
use gemini_webhooks_sqlx::PostgresGuard;
use gemini_webhooks_sqlx::sqlx::postgres::{PgPool, PgPoolOptions};
use gemini_webhooks_sqlx::sqlx::query;

use super::{FEW_ROWS, POOL, SHARED_BUFFERS, beside_a_clean_up, handled, key};

pub(crate) struct Postgres {
    // Ends with this value.
    _server: PostgresServer,
    pool: PgPool,
}

impl Postgres {
    pub(crate) async fn start() -> Result<Self, Error> {
        let server = PostgresServer::start_with(&[("shared_buffers", SHARED_BUFFERS)]);
        let options = PgPoolOptions::new().max_connections(POOL);
        let pool = options.connect(&server.url()).await?;
        PostgresGuard::new(pool.clone()).migrate().await?;
        query(
            "CREATE TABLE plain (key bytea PRIMARY KEY, token bytea NOT NULL, settled boolean NOT NULL, \
             until timestamptz NOT NULL, born timestamptz NOT NULL DEFAULT clock_timestamp()) WITH (fillfactor = 70)",
        )
        .execute(&pool)
        .await?;
        query("CREATE INDEX ON plain (born)").execute(&pool).await?;
        Ok(Self {
            _server: server,
            pool,
        })
    }

    pub(crate) fn guard(&self) -> PostgresGuard {
        PostgresGuard::new(self.pool.clone())
    }

    fn shared(&self) -> Arc<dyn ReplayGuard> {
        Arc::new(self.guard())
    }

    pub(crate) fn contenders(&self) -> Vec<Contender> {
        let pool = self.pool.clone();
        let bare = Contender::new("the driver: INSERT, UPDATE by primary key", move |number| {
            let pool = pool.clone();
            async move {
                let key = key(number).to_bytes();
                query("INSERT INTO plain (key, token, settled, until) VALUES ($1, $2, false, clock_timestamp() + interval '2 minutes')")
                    .bind(&key)
                    .bind(&[1_u8; 16][..])
                    .execute(&pool)
                    .await?;
                query("UPDATE plain SET settled = true, until = clock_timestamp() + interval '25 hours' WHERE key = $1 AND token = $2")
                    .bind(&key)
                    .bind(&[1_u8; 16][..])
                    .execute(&pool)
                    .await?;
                Ok(())
            }
        });
        vec![bare, handled("PostgresGuard", self.shared(), 0)]
    }

    pub(crate) async fn grow(&self, rows: u64) -> Result<(), Error> {
        for (number, rows) in [FEW_ROWS, rows].into_iter().enumerate() {
            query("TRUNCATE gemini_webhooks_claims")
                .execute(&self.pool)
                .await?;
            self.fill(rows, "25 hours").await?;
            let first = (1 << 40) << number;
            let title = format!("PostgreSQL with {rows} rows");
            compare(&title, vec![handled("PostgresGuard", self.shared(), first)]).await?;
        }
        Ok(())
    }

    /// Settled rows with keys in no order, which came one after the other.
    async fn fill(&self, rows: u64, until: &str) -> Result<(), Error> {
        query(
            "INSERT INTO gemini_webhooks_claims (key, token, settled, until, born) \
             SELECT sha256(int8send(n)) || sha256(int8send(-n)), substr(sha256(int8send(n)), 1, 16), true, \
                 clock_timestamp() + $2::text::interval, clock_timestamp() \
             FROM generate_series(1, $1) AS n",
        )
        .bind(i64::try_from(rows)?)
        .bind(until)
        .execute(&self.pool)
        .await?;
        query("VACUUM ANALYZE gemini_webhooks_claims")
            .execute(&self.pool)
            .await?;
        query("CHECKPOINT").execute(&self.pool).await?;
        Ok(())
    }

    pub(crate) async fn clean_up(&self) -> Result<(), Error> {
        query("TRUNCATE gemini_webhooks_claims")
            .execute(&self.pool)
            .await?;
        self.fill(100_000, "-1 second").await?;
        let guard = self.guard();
        beside_a_clean_up("PostgreSQL", self.shared(), guard.cleanup()).await
    }
}
