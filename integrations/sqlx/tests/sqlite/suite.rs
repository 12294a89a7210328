//! The acceptance suite of guards, over each way to open a database.
//!
//! It mostly sleeps, so several run at a time.

use gemini_webhooks::testing::{RealTime, replay_suite};
use gemini_webhooks_sqlx::SqliteGuard;
use gemini_webhooks_sqlx::sqlx::sqlite::{
    SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::spawn;

use crate::database::{Database, pool};

async fn suite(guard: SqliteGuard) {
    guard.migrate().await.unwrap();
    replay_suite(guard, RealTime).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_its_own_and_one_of_the_apps() {
    let (one, two) = (Database::new(), Database::new());
    let own = spawn(suite(SqliteGuard::connect(&one.url()).await.unwrap()));
    let options = two.options().synchronous(SqliteSynchronous::Normal);
    let apps = spawn(suite(SqliteGuard::new(pool(options).await)));
    own.await.expect("with a pool of its own");
    apps.await.expect("with a pool of the app's");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_wal_and_in_memory() {
    let database = Database::new();
    // The suite's leases are short for four syncs of the disk for each statement.
    let options = database
        .options()
        .journal_mode(SqliteJournalMode::Delete)
        .synchronous(SqliteSynchronous::Off);
    let without_wal = spawn(suite(SqliteGuard::new(pool(options).await)));

    let own = SqliteGuard::connect("sqlite::memory:").await.unwrap();
    let own = spawn(suite(own));
    let apps = spawn(suite(SqliteGuard::new(in_memory().await)));
    without_wal.await.expect("without WAL");
    own.await.expect("in memory, with a pool of its own");
    apps.await.expect("in memory, with a pool of the app's");
}

/// If a future is dropped while the pool tests a connection, the pool closes it, and the database in it.
async fn in_memory() -> SqlitePool {
    let options = SqlitePoolOptions::new()
        .max_connections(1)
        .test_before_acquire(false);
    options.connect("sqlite::memory:").await.unwrap()
}
