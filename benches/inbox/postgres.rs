//! PostgreSQL.

use apalis_core::backend::TaskSink as _;
use apalis_postgres::PostgresStorage;
use axum::routing::post;
use gemini_webhooks::{Delivery, GeminiEvent, testing};
use gemini_webhooks_benches::tasks::{Contender, Error};
use gemini_webhooks_harness::PostgresServer;
use gemini_webhooks_inbox::Inbox;
use gemini_webhooks_inbox::sqlx::postgres::{PgPool, PgPoolOptions};
use gemini_webhooks_inbox::sqlx::{self, Postgres as Db, query};
use http::StatusCode;

use super::app::{app, app_of, delivered};
use super::{MAX_WAITING, POOL};

pub(crate) struct Postgres {
    // Ends with this value.
    server: PostgresServer,
}

impl Postgres {
    pub(crate) async fn start() -> Result<Self, Error> {
        let server = PostgresServer::start();
        Ok(Self { server })
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    async fn pool(&self) -> Result<PgPool, sqlx::Error> {
        let options = PgPoolOptions::new().max_connections(POOL);
        options.connect(&self.url()).await
    }

    pub(crate) async fn inbox(&self) -> Result<Inbox<Db>, Error> {
        open(&self.url()).await
    }

    pub(crate) async fn contenders(&self) -> Result<Vec<Contender>, Error> {
        let pool = self.pool().await?;
        query(
            "CREATE TABLE own (id text NOT NULL UNIQUE, type text, body bytea NOT NULL, \
             born timestamptz NOT NULL DEFAULT clock_timestamp())",
        )
        .execute(&pool)
        .await?;
        let own = move |event: GeminiEvent, delivery: Delivery| {
            let pool = pool.clone();
            async move {
                let inserted = query("INSERT INTO own (id, type, body) VALUES ($1, $2, $3)")
                    .bind(delivery.id())
                    .bind(event.type_name())
                    .bind(event.raw().to_vec())
                    .execute(&pool);
                match inserted.await {
                    Ok(_) => StatusCode::OK,
                    Err(_) => StatusCode::SERVICE_UNAVAILABLE,
                }
            }
        };
        let pool = self.pool().await?;
        PostgresStorage::setup(&pool).await?;
        let storage = PostgresStorage::<String>::new(&pool);
        Ok(vec![
            delivered("an INSERT of its own", app(post(own))?, 0),
            delivered("the inbox", app_of(&self.inbox().await?)?, 0),
            Contender::new("apalis-postgres: push, no layer", move |_| {
                let mut storage = storage.clone();
                async move { Ok(storage.push(testing::SAMPLE_EVENTS[0].to_owned()).await?) }
            }),
        ])
    }
}

pub(crate) async fn open(url: &str) -> Result<Inbox<Db>, Error> {
    let pool = PgPool::connect_lazy(url)?;
    let opening = Inbox::postgres(pool).connections(POOL);
    Ok(opening.max_waiting(MAX_WAITING).await?)
}
