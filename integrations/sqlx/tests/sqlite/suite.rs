//! The acceptance suite of guards over the one for SQLite, in each way to open a database.

use gemini_webhooks::testing::{RealTime, replay_suite};
use gemini_webhooks_sqlx::SqliteGuard;
use gemini_webhooks_sqlx::sqlx::sqlite::{
    SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use crate::database::{Database, pool};

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_its_own() {
    let database = Database::new();
    replay_suite(database.guard().await, RealTime).await;
}

async fn suite_over(pool: SqlitePool) {
    let guard = SqliteGuard::new(pool);
    guard.migrate().await.unwrap();
    replay_suite(guard, RealTime).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_the_apps() {
    let database = Database::new();
    let options = database.options().synchronous(SqliteSynchronous::Normal);
    suite_over(pool(options).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_wal() {
    let database = Database::new();
    // The suite's leases are short for four syncs of the disk for each statement.
    let options = database
        .options()
        .journal_mode(SqliteJournalMode::Delete)
        .synchronous(SqliteSynchronous::Off);
    suite_over(pool(options).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_in_memory() {
    // If a future is dropped while the pool tests a connection, the pool closes it, and the database in it.
    let options = SqlitePoolOptions::new()
        .max_connections(1)
        .test_before_acquire(false);
    let pool = options.connect("sqlite::memory:").await.unwrap();
    suite_over(pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_its_own_in_memory() {
    let guard = SqliteGuard::connect("sqlite::memory:").await.unwrap();
    guard.migrate().await.unwrap();
    replay_suite(guard, RealTime).await;
}
