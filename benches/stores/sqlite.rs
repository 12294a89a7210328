//! SQLite, and its driver by itself.

use std::sync::Arc;

use gemini_webhooks::replay::ReplayGuard;
use gemini_webhooks_benches::tasks::{Contender, Error, compare};
use gemini_webhooks_sqlx::SqliteGuard;
use gemini_webhooks_sqlx::sqlx::query;
use gemini_webhooks_sqlx::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tempfile::TempDir;

use super::{FEW_ROWS, beside_a_clean_up, handled, key};

pub(crate) struct Sqlite {
    // Removed with this value.
    _folder: TempDir,
    pool: SqlitePool,
    guard: Arc<SqliteGuard>,
}

impl Sqlite {
    pub(crate) async fn start() -> Result<Self, Error> {
        let folder = TempDir::new()?;
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("guard.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new().connect_with(options).await?;
        let guard = SqliteGuard::new(pool.clone());
        guard.migrate().await?;
        query(
            "CREATE TABLE plain (key BLOB PRIMARY KEY, token BLOB NOT NULL, settled INTEGER NOT NULL, \
             until INTEGER NOT NULL, born INTEGER NOT NULL)",
        )
        .execute(&pool)
        .await?;
        query("CREATE INDEX plain_born ON plain (born)")
            .execute(&pool)
            .await?;
        Ok(Self {
            _folder: folder,
            pool,
            guard: Arc::new(guard),
        })
    }

    pub(crate) fn guard(&self) -> SqliteGuard {
        SqliteGuard::clone(&self.guard)
    }

    fn shared(&self) -> Arc<dyn ReplayGuard> {
        Arc::clone(&self.guard) as Arc<dyn ReplayGuard>
    }

    pub(crate) fn contenders(&self) -> Vec<Contender> {
        let pool = self.pool.clone();
        let bare = Contender::new("the driver: INSERT, UPDATE by primary key", move |number| {
            let pool = pool.clone();
            async move {
                let key = key(number).to_bytes();
                query(
                    "INSERT INTO plain (key, token, settled, until, born) \
                     VALUES (?1, ?2, 0, unixepoch() + 120, unixepoch())",
                )
                .bind(&key)
                .bind(&[1_u8; 16][..])
                .execute(&pool)
                .await?;
                query("UPDATE plain SET settled = 1, until = unixepoch() + 90000 WHERE key = ?1 AND token = ?2")
                    .bind(&key)
                    .bind(&[1_u8; 16][..])
                    .execute(&pool)
                    .await?;
                Ok(())
            }
        });
        vec![bare, handled("SqliteGuard", self.shared(), 0)]
    }

    pub(crate) async fn grow(&self, rows: u64) -> Result<(), Error> {
        for (number, rows) in [FEW_ROWS, rows].into_iter().enumerate() {
            query("DELETE FROM gemini_webhooks_claims")
                .execute(&self.pool)
                .await?;
            self.fill(rows, 90_000).await?;
            let first = (1 << 40) << number;
            let title = format!("SQLite with {rows} rows");
            compare(&title, vec![handled("SqliteGuard", self.shared(), first)]).await?;
        }
        Ok(())
    }

    /// Settled rows with keys in no order, which came one after the other.
    async fn fill(&self, rows: u64, seconds: i64) -> Result<(), Error> {
        query(
            "INSERT INTO gemini_webhooks_claims (key, token, settled, until, born) \
             WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?1) \
             SELECT randomblob(60), randomblob(16), 1, (unixepoch() + ?2) * 1000, unixepoch() * 1000 FROM numbers",
        )
        .bind(i64::try_from(rows)?)
        .bind(seconds)
        .execute(&self.pool)
        .await?;
        query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    pub(crate) async fn clean_up(&self) -> Result<(), Error> {
        query("DELETE FROM gemini_webhooks_claims")
            .execute(&self.pool)
            .await?;
        self.fill(100_000, -1).await?;
        beside_a_clean_up("SQLite", self.shared(), self.guard.cleanup()).await
    }
}
