//! What an operator is told about a database that works.

use std::time::Duration;

use gemini_webhooks::replay::ReplayGuard as _;
use gemini_webhooks_sqlx::SqliteGuard;
use gemini_webhooks_sqlx::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous,
};

use crate::database::{Database, pool};

async fn concerns(options: SqliteConnectOptions) -> Vec<String> {
    let guard = SqliteGuard::new(pool(options).await);
    guard.migrate().await.unwrap();
    guard.ready().await.unwrap()
}

#[tokio::test]
async fn nothing_of_a_pool_of_its_own() {
    let database = Database::new();
    let guard = database.guard().await;
    assert_eq!(guard.ready().await.unwrap(), [""; 0]);
    // It leaves nothing behind.
    assert_eq!(database.rows().await, 0);
}

#[tokio::test]
async fn of_the_apps_settings() {
    let change = |change: fn(SqliteConnectOptions) -> SqliteConnectOptions| change;
    for (name, change, expected) in [
        ("sound", change(|options| options), &[][..]),
        (
            "the driver's time-out",
            |options| options.busy_timeout(Duration::from_secs(5)),
            &["busy_timeout of the pool is 5000 ms"],
        ),
        (
            "no WAL",
            |options| options.journal_mode(SqliteJournalMode::Truncate),
            &["is in journal mode truncate"],
        ),
        (
            "less synced",
            |options| options.synchronous(SqliteSynchronous::Normal),
            &["synchronous = NORMAL: a power cut can undo the last settles"],
        ),
        (
            "not synced",
            |options| options.synchronous(SqliteSynchronous::Off),
            &["synchronous = OFF"],
        ),
        (
            "everything",
            |options| {
                options
                    .journal_mode(SqliteJournalMode::Delete)
                    .synchronous(SqliteSynchronous::Off)
                    .busy_timeout(Duration::from_secs(2))
            },
            &["journal mode delete", "2000 ms", "synchronous = OFF"],
        ),
    ] {
        let database = Database::new();
        let sound = database.options().busy_timeout(Duration::from_secs(1));
        let concerns = concerns(change(sound)).await;
        assert_eq!(concerns.len(), expected.len(), "{name}: {concerns:?}");
        for (concern, expected) in concerns.iter().zip(expected) {
            assert!(concern.contains(expected), "{name}: {concern}");
        }
    }
}

#[tokio::test]
async fn of_a_database_in_memory() {
    let pool = SqlitePool::connect("sqlite::memory:").await.unwrap();
    let guard = SqliteGuard::new(pool);
    guard.migrate().await.unwrap();
    let concerns = guard.ready().await.unwrap();
    assert!(concerns[0].contains("is in memory"), "{concerns:?}");
}
