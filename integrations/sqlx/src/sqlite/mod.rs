//! The guard for SQLite, and how to settle a claim in your own transaction.
//!
//! Docs to follow.

mod cleanup;
mod failure;
mod migrate;
mod open;
mod ready;
mod settle;
mod statements;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gemini_webhooks::replay::{
    ClaimKey, ClaimToken, Claimed, GuardError, GuardFuture, Reach, ReplayGuard, Settled,
};
use sqlx::Row as _;
use sqlx::pool::PoolConnection;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqlitePool, SqliteRow};
use tokio::sync::{Semaphore, SemaphorePermit};

pub use self::settle::settle_in;
pub use self::statements::MIGRATION;

use self::failure::{SQLITE_ERROR, code, guard_error, is_refused};
use self::statements::{CLAIM, LOOK, RELEASE, SETTLE};

/// A guard that keeps claims in a table of an SQLite database.
#[derive(Clone)]
pub struct SqliteGuard {
    pool: SqlitePool,
    /// For settles: in a pool of the guard's own, they are written to the disk before they are answered.
    settles: SqlitePool,
    /// SQLite has one writer. Those of this guard wait for each other here and not in SQLite, in which each
    /// would sleep for a while and try again.
    turn: Arc<Semaphore>,
}

impl SqliteGuard {
    /// Makes a guard that uses the app's pool.
    #[must_use]
    pub fn new(pool: SqlitePool) -> Self {
        Self::over(pool.clone(), pool)
    }

    fn over(pool: SqlitePool, settles: SqlitePool) -> Self {
        Self {
            pool,
            settles,
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Returns the pool.
    #[must_use]
    pub fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// Returns the row of the event if it is claimed or settled.
    async fn look(&self, key: &[u8], token: ClaimToken) -> Result<Option<Claimed>, GuardError> {
        let mut connection = self.connection(&self.pool).await?;
        let query = sqlx::query(LOOK).bind(key).bind(&token.to_bytes()[..]);
        let rows = query.fetch_all(&mut *connection).await;
        let found = rows.and_then(|rows| rows.first().map(claimed).transpose());
        match found {
            Ok(found) => Ok(found),
            Err(error) => Err(self.explain(&mut connection, error).await),
        }
    }

    /// Runs a statement to its end, and returns its rows.
    ///
    /// `fetch_optional` would not run it to its end: sqlx drops it at the first row, and with it the error if
    /// the commit that this causes fails.
    async fn write(
        &self,
        pool: &SqlitePool,
        reach: &Reach,
        query: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<Vec<SqliteRow>, GuardError> {
        let _turn = self.turn().await;
        let mut connection = self.connection(pool).await?;
        reach.sent();
        match query.fetch_all(&mut *connection).await {
            Ok(rows) => Ok(rows),
            Err(error) => {
                if is_refused(&error) {
                    reach.refused();
                }
                Err(self.explain(&mut connection, error).await)
            }
        }
    }

    /// Waits until no other operation of this guard writes.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.turn.acquire().await.ok()
    }

    async fn connection(&self, pool: &SqlitePool) -> Result<PoolConnection<Sqlite>, GuardError> {
        pool.acquire().await.map_err(|error| self.error(error))
    }

    /// The error of a statement. That something is wrong with the statement mostly means: with the table.
    async fn explain(&self, connection: &mut SqliteConnection, error: sqlx::Error) -> GuardError {
        if code(&error) == Some(SQLITE_ERROR)
            && let Err(shape) = self.check_shape(connection).await
        {
            return shape;
        }
        self.error(error)
    }

    fn error(&self, error: sqlx::Error) -> GuardError {
        guard_error(&self.file(), error)
    }

    fn file(&self) -> PathBuf {
        self.pool.connect_options().get_filename().to_owned()
    }
}

impl ReplayGuard for SqliteGuard {
    fn claim(&self, key: &ClaimKey, token: ClaimToken, lease: Duration) -> GuardFuture<Claimed> {
        let (guard, key) = (self.clone(), key.to_bytes());
        GuardFuture::tracked(move |reach| async move {
            // What is there is told without waiting for a writer.
            if let Some(claimed) = guard.look(&key, token).await? {
                return Ok(claimed);
            }
            let query = sqlx::query(CLAIM)
                .bind(key)
                .bind(token.to_bytes().to_vec())
                .bind(milliseconds(lease));
            let rows = guard.write(&guard.pool, &reach, query).await?;
            let row = rows.first().ok_or(sqlx::Error::RowNotFound);
            row.and_then(claimed).map_err(|error| guard.error(error))
        })
    }

    fn settle(
        &self,
        key: &ClaimKey,
        token: ClaimToken,
        retention: Duration,
    ) -> GuardFuture<Settled> {
        let (guard, key) = (self.clone(), key.to_bytes());
        GuardFuture::tracked(move |reach| async move {
            let query = sqlx::query(SETTLE)
                .bind(key)
                .bind(token.to_bytes().to_vec())
                .bind(milliseconds(retention));
            let rows = guard.write(&guard.settles, &reach, query).await?;
            Ok(match rows.first() {
                Some(_) => Settled::Settled,
                None => Settled::Lost,
            })
        })
    }

    fn release(&self, key: &ClaimKey, token: ClaimToken) -> GuardFuture<()> {
        let (guard, key) = (self.clone(), key.to_bytes());
        GuardFuture::tracked(move |reach| async move {
            let query = sqlx::query(RELEASE)
                .bind(key)
                .bind(token.to_bytes().to_vec());
            guard.write(&guard.pool, &reach, query).await.map(drop)
        })
    }

    fn ready(&self) -> GuardFuture<Vec<String>> {
        let guard = self.clone();
        GuardFuture::tracked(move |_| async move { guard.concerns().await })
    }
}

/// What the row of an event means for a claim.
fn claimed(row: &SqliteRow) -> Result<Claimed, sqlx::Error> {
    let (settled, own): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
    if settled {
        return Ok(Claimed::Settled);
    }
    if own {
        return Ok(Claimed::Claimed);
    }
    let left: i64 = row.try_get(2)?;
    Ok(Claimed::InFlight {
        left: Some(Duration::from_millis(left.try_into().unwrap_or(0))),
    })
}

/// As the table has it; at most a hundred years, rounded up.
fn milliseconds(time: Duration) -> i64 {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    let time = time.min(CENTURY).as_nanos().div_ceil(1_000_000);
    i64::try_from(time).unwrap_or(i64::MAX)
}

/// Shows the file, and nothing else of the options, in which there may be the key of an encrypted database.
impl fmt::Debug for SqliteGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteGuard")
            .field("file", &self.file())
            .finish_non_exhaustive()
    }
}
