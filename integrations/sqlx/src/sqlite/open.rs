//! A pool of the guard's own.

use std::str::FromStr as _;
use std::time::Duration;

use gemini_webhooks::replay::GuardError;
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{Sqlite, SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::sleep;

use super::SqliteGuard;
use super::failure::{SQLITE_BUSY, SQLITE_LOCKED, code, guard_error};

/// For reads and claims. Each has a thread.
const CONNECTIONS: u32 = 4;
/// A statement waits so long for writers elsewhere: less than a receiver waits for a guard.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);
/// How often the database is asked to change to WAL, how long for, and with which pause: for some seconds.
const ATTEMPTS: u32 = 25;
const ATTEMPT: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_millis(100);

impl SqliteGuard {
    /// Opens the database of a URL such as `sqlite:/var/lib/orders/claims.db`, with connections of its own.
    ///
    /// The file is created if it is missing; its folder is not. The database is changed to WAL mode for good.
    /// It may be one that your app uses as well. Settles are written to the disk before they are answered.
    /// Other writes are not waited for: a power cut can undo a claim, but it ends the claim's handler as
    /// well.
    ///
    /// The guard has up to 5 connections, each with a thread. They wait for 1 second for another writer.
    ///
    /// # Errors
    ///
    /// The URL is invalid, or the file cannot be opened, is no database, or stays locked for some seconds.
    pub async fn connect(url: &str) -> Result<Self, GuardError> {
        if !url.starts_with("sqlite:") {
            // It is not shown: that of another database may have a password.
            return Err(GuardError::broken(
                "the URL of the database does not start with `sqlite:`; give one such as `sqlite:/path/to/claims.db`",
            ));
        }
        let options = SqliteConnectOptions::from_str(url).map_err(|error| {
            let text = "the URL of the SQLite database cannot be read";
            GuardError::broken(format!("{text}: {error}"))
        })?;
        let options = options.create_if_missing(true).busy_timeout(BUSY_TIMEOUT);
        let mode = use_wal(&options)
            .await
            .map_err(|error| guard_error(options.get_filename(), error))?;
        if mode == "memory" {
            // It lives as long as its connection.
            let pool = lasting().max_connections(1).connect_lazy_with(options);
            return Ok(Self::over(pool.clone(), pool));
        }
        // A claim need not outlive a power cut, which ends its handler as well. Its write is synced with
        // the next settle.
        let quick = options.clone().synchronous(SqliteSynchronous::Normal);
        let durable = options.synchronous(SqliteSynchronous::Full);
        Ok(Self::over(
            lasting()
                .max_connections(CONNECTIONS)
                .connect_lazy_with(quick),
            lasting().max_connections(1).connect_lazy_with(durable),
        ))
    }
}

/// Without what is of use for a connection over a network only.
fn lasting() -> PoolOptions<Sqlite> {
    PoolOptions::new()
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// Changes the database to WAL for good, if it is not. Returns the mode that it is in then.
///
/// This is not done by the pool for each connection: it needs the database for itself for a moment,
/// and SQLite does not wait for that.
async fn use_wal(options: &SqliteConnectOptions) -> Result<String, sqlx::Error> {
    let options = options.clone().busy_timeout(ATTEMPT);
    let mut attempts = 0;
    loop {
        attempts += 1;
        match journal_mode(&options).await {
            Err(error) if attempts < ATTEMPTS && is_locked(&error) => sleep(PAUSE).await,
            done => return done,
        }
    }
}

async fn journal_mode(options: &SqliteConnectOptions) -> Result<String, sqlx::Error> {
    let mut connection: SqliteConnection = options.connect().await?;
    let mode = sqlx::query_scalar("PRAGMA journal_mode = WAL")
        .fetch_one(&mut connection)
        .await;
    connection.close().await?;
    mode
}

fn is_locked(error: &sqlx::Error) -> bool {
    matches!(code(error), Some(SQLITE_BUSY | SQLITE_LOCKED))
}
