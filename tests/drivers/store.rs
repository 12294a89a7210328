//! The tables of a test.

use gemini_webhooks::replay::ClaimKey;
use gemini_webhooks::{Scheme, WebhookReceiver, testing};
use gemini_webhooks_harness::database_url;
use gemini_webhooks_sqlx::PostgresGuard;
use gemini_webhooks_sqlx::sqlx::postgres::PgPoolOptions;
use gemini_webhooks_sqlx::sqlx::{AssertSqlSafe, PgPool, query, query_scalar, raw_sql};

const NAMESPACE: &str = "drivers";

/// A schema of its own in the database that tests share, with the tables of the guard and of the app.
pub(crate) struct Store {
    pool: PgPool,
    url: String,
    schema: String,
}

impl Store {
    pub(crate) async fn new() -> Self {
        let url = database_url();
        let pool = connect(&url).await;
        let schema = "SELECT 'drivers_' || replace(gen_random_uuid()::text, '-', '')";
        let schema: String = query_scalar(schema).fetch_one(&pool).await.unwrap();
        execute(&pool, format!("CREATE SCHEMA {schema}")).await;
        pool.close().await;

        // Every driver understands this.
        let separator = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{separator}options=-c%20search_path%3D{schema}");
        let pool = connect(&url).await;
        PostgresGuard::new(pool.clone()).migrate().await.unwrap();
        execute(&pool, "CREATE TABLE work (event text NOT NULL)".to_owned()).await;
        Self { pool, url, schema }
    }

    /// For the app's own pool.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A replica's receiver.
    pub(crate) fn receiver(&self) -> WebhookReceiver {
        WebhookReceiver::builder()
            .signing_secret(testing::SECRET)
            .guard(NAMESPACE, PostgresGuard::new(self.pool.clone()))
            .build()
            .unwrap()
    }

    /// How often the work of an event was done.
    pub(crate) async fn works(&self, id: &str) -> i64 {
        let count = query_scalar("SELECT count(*) FROM work WHERE event = $1").bind(id);
        count.fetch_one(&self.pool).await.unwrap()
    }

    /// Lets the lease of an event's claim end now.
    pub(crate) async fn end_lease(&self, id: &str) {
        let end = "UPDATE gemini_webhooks_claims
                   SET until = clock_timestamp() - interval '1 second'
                   WHERE key = $1 AND NOT settled AND until > clock_timestamp()";
        let key = ClaimKey::new(NAMESPACE, Scheme::V1, id).to_bytes();
        let done = query(end).bind(key).execute(&self.pool).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{id} is claimed");
    }

    /// Removes the tables. It fails if a transaction was left open.
    pub(crate) async fn remove(self) {
        let Self { pool, schema, .. } = self;
        let remove = format!("SET lock_timeout = '20s'; DROP SCHEMA {schema} CASCADE");
        execute(&pool, remove).await;
        pool.close().await;
    }
}

async fn connect(url: &str) -> PgPool {
    let options = PgPoolOptions::new().max_connections(3);
    options.connect(url).await.unwrap()
}

async fn execute(pool: &PgPool, sql: String) {
    raw_sql(AssertSqlSafe(sql)).execute(pool).await.unwrap();
}
