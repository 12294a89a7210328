//! The guard for SQLite, and how to settle a claim in your own transaction.
//!
//! Google delivers an event at least once. So a delivery *claims* its event before your handler runs,
//! which marks the event as being handled. After a 2xx the claim is *settled*: the event is handled, and
//! copies of it are answered without your handler. Otherwise the claim is *released*, and the retry runs
//! your handler again. What keeps the claims is called a *guard*. [`SqliteGuard`] keeps them in a file, so
//! that they outlast a restart, and so that several processes on one machine share them.
//!
//! ```
//! use gemini_webhooks::{VerifyLayer, WebhookReceiver};
//! use gemini_webhooks_sqlx::SqliteGuard;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let url = format!("sqlite:{}/claims.db", folder.path().display());
//! # let secret = gemini_webhooks::testing::SECRET;
//! # if false {
//! let url = "sqlite:/var/lib/orders/claims.db";
//! # }
//! let guard = SqliteGuard::connect(&url).await?;
//! guard.migrate().await?;
//! tokio::spawn(guard.cleanup_every(std::time::Duration::from_secs(3600)));
//!
//! let receiver = WebhookReceiver::builder()
//!     .signing_secret(secret)
//!     .guard("orders", guard)
//!     .build()?;
//! receiver.ready().await?;
//! let layer = VerifyLayer::new(receiver);
//! # drop(layer);
//! # Ok(())
//! # }
//! ```
//!
//! # One writer
//!
//! One connection at a time can write to an SQLite database. Whoever else wants to write waits, for at most
//! the `busy_timeout` of its connection. So keep write transactions short, in your app and in whatever else
//! opens the file, such as a backup.
//!
//! If a claim waits in vain, its delivery is answered 503, and Google retries. Copies of events that are
//! claimed or settled are recognised all the same: in WAL mode a read does not wait for a writer.
//!
//! The receiver waits for a guard for 2 seconds, if you have not set
//! [`guard_timeout`](gemini_webhooks::WebhookReceiverBuilder::guard_timeout). The guard's own connections wait
//! for 1 second for another writer. Those of your pool wait for 5 seconds, if you have not set it. Set it to
//! 1 second: otherwise claims that nobody waits for any more keep connections of your pool.
//!
//! # What is guaranteed
//!
//! An event that was answered with a 2xx is not handled again for as long as the receiver's
//! [`retention`](gemini_webhooks::WebhookReceiverBuilder::retention), which is 25 hours if you have not set it.
//! These can make an event run twice. An event is lost only together with the work that your handler has
//! committed to the same file, if the file loses what it had confirmed:
//!
//! - **The settle fails**, because the disk is full, or something else writes for long. The 2xx is sent,
//!   and the receiver tries to settle in the background as long as the *lease* lasts, which is how long a claim
//!   holds. If you need more, settle in the transaction that does the work: [`settle_in`].
//! - **The process dies, or the handler takes longer than the lease.** The next delivery runs.
//! - **A power cut undoes the last commits.** This takes a pool of yours with `synchronous` below `FULL`, or a
//!   disk that says that it has written what it has not. It can undo claims of the guard's own
//!   connections, but no settle: a claim whose process died is of no use.
//! - **The file is restored from a backup, or removed.** If it is removed while processes use it, they keep
//!   using the removed file, and others make a new one.
//! - **The wall clock is set forward.** Times are those of the machine's clock. A step forward that is longer
//!   than what is left of a lease frees an event whose handler runs; one that is longer than the retention
//!   forgets what was handled. A step back makes leases and retentions longer by as much.
//!
//! The file must be on a disk of the machine: locks and WAL do not work on network file systems
//! ([How To Corrupt An SQLite Database File](https://www.sqlite.org/howtocorrupt.html)). For several machines use
//! a server.

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
///
/// Several processes on one machine may share the file. The [module](self) says what is guaranteed, and what
/// one writer at a time means for your app. Clones share their connections.
///
/// Its [`ready`](ReplayGuard::ready) fails if the table is missing or cannot be written. It warns of
/// what makes the guard weaker: a database in memory, a journal mode other than WAL, `synchronous` below `FULL`, a
/// `busy_timeout` of 2 seconds or more, a missing index, and a database that comes to its `max_page_count`.
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
    /// Makes a guard that uses your pool.
    ///
    /// Choose it if your handler writes to the same database, and settles the claim in its transaction
    /// ([`settle_in`]). The settings of the pool are left as they are. These are good ones:
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use gemini_webhooks_sqlx::SqliteGuard;
    /// use gemini_webhooks_sqlx::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let file = folder.path().join("orders.db");
    /// let options = SqliteConnectOptions::new()
    ///     .filename(file)
    ///     .create_if_missing(true)
    ///     .journal_mode(SqliteJournalMode::Wal)
    ///     // Less than the receiver waits for the guard.
    ///     .busy_timeout(Duration::from_secs(1));
    /// let pool = SqlitePool::connect_with(options).await?;
    /// let guard = SqliteGuard::new(pool.clone());
    /// guard.migrate().await?;
    /// # Ok(())
    /// # }
    /// ```
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
