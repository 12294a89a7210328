//! The database: it remembers which events are handled, and has the app's own table.

use std::error::Error;
use std::str::FromStr as _;
use std::time::Duration;

use gemini_webhooks::replay::{GuardError, ReplayGuard};
use gemini_webhooks::{Delivery, GeminiEvent, WebhookReceiverBuilder};
use gemini_webhooks_sqlx::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
use gemini_webhooks_sqlx::sqlx::{self, PgPool};
use gemini_webhooks_sqlx::{PostgresGuard, SqliteGuard, postgres, sqlite};
use tokio::task::JoinHandle;
use tracing::warn;

use crate::BoxError;

/// The same on all replicas, and different in staging.
const NAMESPACE: &str = "example";
/// How often rows of the guard that have expired are deleted.
const CLEAN_UP: Duration = Duration::from_secs(60 * 60);

// Your app has its migrations for these.
const POSTGRES_TABLE: &str = "CREATE TABLE IF NOT EXISTS received_events (
    webhook_id text NOT NULL,
    type text,
    body bytea NOT NULL,
    received timestamptz NOT NULL DEFAULT now()
)";
const SQLITE_TABLE: &str = "CREATE TABLE IF NOT EXISTS received_events (
    webhook_id TEXT NOT NULL,
    type TEXT,
    body BLOB NOT NULL,
    received TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
)";

#[derive(Clone)]
pub(crate) enum Store {
    Postgres(PostgresGuard, PgPool),
    Sqlite(SqliteGuard, SqlitePool),
}

impl Store {
    /// Connects, and makes the tables where they are missing.
    pub(crate) async fn open(url: &str) -> Result<Self, Box<dyn Error>> {
        if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url)?
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                // Less than the receiver waits for the guard.
                .busy_timeout(Duration::from_secs(1));
            let pool = SqlitePool::connect_with(options).await?;
            let guard = SqliteGuard::new(pool.clone());
            guard.migrate().await?;
            tell_concerns(&guard).await?;
            sqlx::query(SQLITE_TABLE).execute(&pool).await?;
            Ok(Self::Sqlite(guard, pool))
        } else {
            let guard = PostgresGuard::connect(url).await?;
            guard.migrate().await?;
            tell_concerns(&guard).await?;
            let pool = guard.pool().clone();
            sqlx::query(POSTGRES_TABLE).execute(&pool).await?;
            Ok(Self::Postgres(guard, pool))
        }
    }

    /// Has a receiver remember its events here.
    pub(crate) fn protect(&self, builder: WebhookReceiverBuilder) -> WebhookReceiverBuilder {
        match self {
            Self::Postgres(guard, _) => builder.guard(NAMESPACE, guard.clone()),
            Self::Sqlite(guard, _) => builder.guard(NAMESPACE, guard.clone()),
        }
    }

    /// Stores an event, does what else is to be done with it, and settles its claim. Any error rolls back, also
    /// that the claim is no longer ours: nothing is stored then, and the event is not handled.
    pub(crate) async fn insert(
        &self,
        delivery: &Delivery,
        event: &GeminiEvent,
        also: impl FnOnce() -> Result<(), BoxError>,
    ) -> Result<(), BoxError> {
        match self {
            Self::Postgres(_, pool) => {
                let mut transaction = pool.begin().await?;
                sqlx::query(
                    "INSERT INTO received_events (webhook_id, type, body) VALUES ($1, $2, $3)",
                )
                .bind(delivery.id())
                .bind(event.type_name())
                .bind(&event.raw()[..])
                .execute(&mut *transaction)
                .await?;
                also()?;
                postgres::settle_in(&mut transaction, delivery).await?;
                transaction.commit().await?;
            }
            Self::Sqlite(_, pool) => {
                // It waits here for other writers, and not in the middle.
                let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
                sqlx::query(
                    "INSERT INTO received_events (webhook_id, type, body) VALUES (?1, ?2, ?3)",
                )
                .bind(delivery.id())
                .bind(event.type_name())
                .bind(&event.raw()[..])
                .execute(&mut *transaction)
                .await?;
                also()?;
                sqlite::settle_in(&mut transaction, delivery).await?;
                transaction.commit().await?;
            }
        }
        Ok(())
    }

    /// Deletes what has expired, now and then.
    pub(crate) fn clean_up(&self) -> JoinHandle<()> {
        match self {
            Self::Postgres(guard, _) => tokio::spawn(guard.cleanup_every(CLEAN_UP)),
            Self::Sqlite(guard, _) => tokio::spawn(guard.cleanup_every(CLEAN_UP)),
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Postgres(_, pool) => pool.close().await,
            Self::Sqlite(_, pool) => pool.close().await,
        }
    }
}

async fn tell_concerns(guard: &impl ReplayGuard) -> Result<(), GuardError> {
    for concern in guard.ready().await? {
        warn!("{concern}");
    }
    Ok(())
}
