//! SQLite.

use apalis_core::backend::TaskSink as _;
use apalis_sqlite::SqliteStorage;
use axum::routing::post;
use gemini_webhooks::{Delivery, GeminiEvent, testing};
use gemini_webhooks_benches::tasks::{Contender, Error};
use gemini_webhooks_inbox::Inbox;
use gemini_webhooks_inbox::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use gemini_webhooks_inbox::sqlx::{self, Sqlite as Db, query};
use http::StatusCode;
use tempfile::TempDir;

use super::app::{app, app_of, delivered};
use super::{MAX_WAITING, POOL};

pub(crate) struct Sqlite {
    // Removed with this value.
    folder: TempDir,
}

impl Sqlite {
    pub(crate) async fn start() -> Result<Self, Error> {
        let folder = TempDir::new()?;
        let store = Self { folder };
        let pool = store.pool("own.db").await?;
        query(
            "CREATE TABLE IF NOT EXISTS own (id TEXT NOT NULL UNIQUE, type TEXT, body BLOB NOT NULL, \
             born INTEGER NOT NULL)",
        )
        .execute(&pool)
        .await?;
        Ok(store)
    }

    pub(crate) async fn inbox(&self) -> Result<Inbox<Db>, Error> {
        let file = self.folder.path().join("inbox.db");
        let file = file.to_str().ok_or("no text")?;
        let opening = Inbox::sqlite(file).connections(POOL);
        Ok(opening.max_waiting(MAX_WAITING).await?)
    }

    async fn pool(&self, file: &str) -> Result<SqlitePool, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(self.folder.path().join(file))
            .create_if_missing(true)
            // 64 senders wait for each other, and none is to give up.
            .busy_timeout(std::time::Duration::from_secs(60))
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new().max_connections(POOL);
        pool.connect_with(options).await
    }

    /// An INSERT of the app's own, and the inbox. Each call goes on with other events.
    pub(crate) async fn apps(&self) -> Result<Vec<Contender>, Error> {
        let pool = self.pool("own.db").await?;
        let first: i64 = sqlx::query_scalar("SELECT count(*) FROM own")
            .fetch_one(&pool)
            .await?;
        let first = if first == 0 { 0 } else { 1 << 40 };
        let own = move |event: GeminiEvent, delivery: Delivery| {
            let pool = pool.clone();
            async move {
                let inserted = query(
                    "INSERT INTO own (id, type, body, born) VALUES (?1, ?2, ?3, unixepoch())",
                )
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
        Ok(vec![
            delivered("an INSERT of its own", app(post(own))?, first),
            delivered("the inbox", app_of(&self.inbox().await?)?, first),
        ])
    }

    pub(crate) async fn contenders(&self) -> Result<Vec<Contender>, Error> {
        let mut contenders = self.apps().await?;
        // By a pool of its own, as it changes its connection not to wait for the disk.
        let setup = self.pool("apalis.db").await?;
        SqliteStorage::setup(&setup).await?;
        setup.close().await;
        let storage = SqliteStorage::<String>::new(&self.pool("apalis.db").await?);
        contenders.push(Contender::new(
            "apalis-sqlite: push, no layer, as durable",
            move |_| {
                let mut storage = storage.clone();
                async move { Ok(storage.push(testing::SAMPLE_EVENTS[0].to_owned()).await?) }
            },
        ));
        Ok(contenders)
    }
}
