//! A database for a test, and claims on events in it.

use std::path::Path;
use std::time::Duration;

use gemini_webhooks::Scheme;
use gemini_webhooks::replay::{
    ClaimKey, ClaimToken, Claimed, GuardError, ReplayGuard as _, Settled,
};
use gemini_webhooks_sqlx::SqliteGuard;
use gemini_webhooks_sqlx::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
};
use gemini_webhooks_sqlx::sqlx::{
    ConnectOptions as _, Connection as _, SqlSafeStr, query, query_scalar,
};
use tempfile::TempDir;

pub(crate) const LEASE: Duration = Duration::from_secs(60);
pub(crate) const RETENTION: Duration = Duration::from_secs(3600);

/// A folder with a database, removed when it is dropped.
pub(crate) struct Database {
    folder: TempDir,
}

impl Database {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    pub(crate) fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("claims.db")
    }

    pub(crate) fn url(&self) -> String {
        url(&self.file())
    }

    /// A guard with a pool of its own, and the table.
    pub(crate) async fn guard(&self) -> SqliteGuard {
        let guard = SqliteGuard::connect(&self.url()).await.unwrap();
        guard.migrate().await.unwrap();
        guard
    }

    pub(crate) fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(self.file())
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
    }

    /// Runs a statement beside the guard.
    pub(crate) async fn execute(&self, statement: impl SqlSafeStr) {
        let mut connection = self.options().connect().await.unwrap();
        let statement = query(statement);
        statement.execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// How many claims there are, in flight, settled or expired.
    pub(crate) async fn rows(&self) -> i64 {
        let mut connection = self.options().connect().await.unwrap();
        let count = query_scalar("SELECT count(*) FROM gemini_webhooks_claims");
        let rows = count.fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        rows
    }

    /// A pool of the app's.
    pub(crate) async fn pool(&self) -> SqlitePool {
        pool(self.options()).await
    }
}

pub(crate) fn url(file: &Path) -> String {
    format!("sqlite:{}", file.display())
}

pub(crate) async fn pool(options: SqliteConnectOptions) -> SqlitePool {
    SqlitePoolOptions::new()
        .connect_with(options)
        .await
        .unwrap()
}

/// A claim: a key, and a token of its own.
#[derive(Clone)]
pub(crate) struct Holder {
    pub(crate) key: ClaimKey,
    pub(crate) token: ClaimToken,
}

impl Holder {
    pub(crate) fn of(id: &str) -> Self {
        Self {
            key: ClaimKey::new("test", Scheme::V1, id),
            token: ClaimToken::generate(),
        }
    }

    pub(crate) async fn claim(&self, guard: &SqliteGuard) -> Result<Claimed, GuardError> {
        self.claim_for(guard, LEASE).await
    }

    pub(crate) async fn claim_for(
        &self,
        guard: &SqliteGuard,
        lease: Duration,
    ) -> Result<Claimed, GuardError> {
        guard.claim(&self.key, self.token, lease).await
    }

    pub(crate) async fn settle(&self, guard: &SqliteGuard) -> Result<Settled, GuardError> {
        guard.settle(&self.key, self.token, RETENTION).await
    }

    pub(crate) async fn release(&self, guard: &SqliteGuard) -> Result<(), GuardError> {
        guard.release(&self.key, self.token).await
    }
}
