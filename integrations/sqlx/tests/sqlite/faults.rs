//! Databases that cannot be used, and what the guard says of them.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};

use gemini_webhooks::replay::{Claimed, GuardError, GuardErrorKind, ReplayGuard as _, Settled};
use gemini_webhooks_sqlx::SqliteGuard;
use gemini_webhooks_sqlx::sqlx::sqlite::SqlitePoolOptions;
use gemini_webhooks_sqlx::sqlx::{AssertSqlSafe, raw_sql};

use crate::database::{Database, Holder, pool};

/// Its kind, and that its text says what is wrong and what to do.
#[track_caller]
fn assert_says(error: &GuardError, kind: GuardErrorKind, texts: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    for part in texts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

/// Every operation fails in the same way.
async fn assert_fails(guard: &SqliteGuard, kind: GuardErrorKind, texts: &[&str]) {
    let holder = Holder::of("msg_1");
    assert_says(&holder.claim(guard).await.unwrap_err(), kind, texts);
    assert_says(&holder.settle(guard).await.unwrap_err(), kind, texts);
    assert_says(&holder.release(guard).await.unwrap_err(), kind, texts);
    assert_says(&guard.ready().await.unwrap_err(), kind, texts);
    assert_says(&guard.cleanup().await.unwrap_err(), kind, texts);
}

/// Every operation that writes fails in the same way, but a copy is recognised.
async fn assert_refuses_to_write(guard: &SqliteGuard, kind: GuardErrorKind, texts: &[&str]) {
    assert_fails(guard, kind, texts).await;
    let copy = Holder::of("settled").claim(guard).await.unwrap();
    assert_eq!(copy, Claimed::Settled);
}

const BROKEN: GuardErrorKind = GuardErrorKind::Broken;

#[tokio::test]
async fn a_missing_table() {
    let database = Database::new();
    let guard = SqliteGuard::connect(&database.url()).await.unwrap();
    let texts = [
        "claims.db",
        "no table gemini_webhooks_claims",
        "run migrate()",
    ];
    assert_fails(&guard, BROKEN, &texts).await;
    guard.migrate().await.unwrap();
    let holder = Holder::of("msg_1");
    assert_eq!(holder.claim(&guard).await.unwrap(), Claimed::Claimed);
}

#[tokio::test]
async fn half_a_migration() {
    let database = Database::new();
    let guard = database.guard().await;
    let drop_index = "DROP INDEX gemini_webhooks_claims_until";
    database.execute(drop_index).await;
    let holder = Holder::of("msg_1");
    assert_eq!(holder.claim(&guard).await.unwrap(), Claimed::Claimed);
    let concerns = guard.ready().await.unwrap();
    assert_eq!(concerns.len(), 1);
    assert!(concerns[0].contains("lacks its index"), "{concerns:?}");
    guard.migrate().await.unwrap();
    assert_eq!(guard.ready().await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_table_of_another_shape() {
    for shape in [
        "key TEXT PRIMARY KEY, holder TEXT",
        "key BLOB PRIMARY KEY, token BLOB, settled INTEGER, until TEXT, born INTEGER",
        "key BLOB, token BLOB, settled INTEGER, until INTEGER, born INTEGER",
    ] {
        let database = Database::new();
        let guard = SqliteGuard::connect(&database.url()).await.unwrap();
        let create = format!("CREATE TABLE gemini_webhooks_claims ({shape})");
        database.execute(AssertSqlSafe(create)).await;
        let expected =
            "not key BLOB PRIMARY KEY, token BLOB, settled INTEGER, until INTEGER, born INTEGER";
        for error in [guard.migrate().await, guard.ready().await.map(drop)] {
            assert_says(&error.unwrap_err(), BROKEN, &[expected, "rename it"]);
        }
    }
}

/// It may be run by hand, twice, and beside the app's own migrations.
#[tokio::test]
async fn the_public_migration() {
    let database = Database::new();
    let pool = database.pool().await;
    for _ in 0..2 {
        let migration = raw_sql(gemini_webhooks_sqlx::sqlite::MIGRATION);
        migration.execute(&pool).await.unwrap();
    }
    let guard = SqliteGuard::new(pool);
    guard.migrate().await.unwrap();
    assert_eq!(
        Holder::of("msg_1").claim(&guard).await.unwrap(),
        Claimed::Claimed
    );
}

async fn with_settled_event(database: &Database) -> SqliteGuard {
    let (guard, holder) = (database.guard().await, Holder::of("settled"));
    assert_eq!(holder.claim(&guard).await.unwrap(), Claimed::Claimed);
    assert_eq!(holder.settle(&guard).await.unwrap(), Settled::Settled);
    guard
}

#[tokio::test]
async fn a_database_that_is_read_only() {
    let database = Database::new();
    let guard = with_settled_event(&database).await;
    let url = format!("{}?mode=ro", database.url());
    let reader = SqliteGuard::connect(&url).await.unwrap();
    let texts = ["claims.db cannot be written", "mode=ro"];
    assert_refuses_to_write(&reader, BROKEN, &texts).await;
    reader.migrate().await.unwrap();
    // The app may do that itself, for a pool that is to read.
    let options = database.options().pragma("query_only", "ON");
    let reader = SqliteGuard::new(pool(options).await);
    assert_refuses_to_write(&reader, BROKEN, &texts).await;
    drop(guard);
    let drop_table = "DROP TABLE gemini_webhooks_claims";
    database.execute(drop_table).await;
    assert_says(&reader.migrate().await.unwrap_err(), BROKEN, &texts);
}

#[tokio::test]
async fn a_file_that_is_no_database() {
    let database = Database::new();
    fs::write(database.file(), "Orders of 2026\n".repeat(1000)).unwrap();
    let texts = ["claims.db is no SQLite database", "check the path"];
    let error = SqliteGuard::connect(&database.url()).await.unwrap_err();
    assert_says(&error, BROKEN, &texts);
    let options = SqlitePoolOptions::new();
    let guard = SqliteGuard::new(options.connect_lazy(&database.url()).unwrap());
    assert_fails(&guard, BROKEN, &texts).await;
}

#[tokio::test]
async fn a_database_that_is_damaged() {
    let database = Database::new();
    let guard = with_settled_event(&database).await;
    drop(guard);
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .open(database.file())
        .unwrap();
    // The first page is the schema's.
    file.seek(SeekFrom::Start(4096)).unwrap();
    file.write_all(&[0xff; 3 * 4096]).unwrap();
    let guard = SqliteGuard::connect(&database.url()).await.unwrap();
    let error = Holder::of("msg_1").claim(&guard).await.unwrap_err();
    assert_says(&error, BROKEN, &["is damaged", "from a backup"]);
}

#[tokio::test]
async fn a_folder_that_is_missing() {
    let database = Database::new();
    let url = database.url().replace("claims.db", "missing/claims.db");
    let error = SqliteGuard::connect(&url).await.unwrap_err();
    let texts = ["missing/claims.db cannot be opened", "create its folder"];
    assert_says(&error, BROKEN, &texts);
}

#[tokio::test]
async fn invalid_urls() {
    for (url, text) in [
        ("postgres://orders:hunter2@db/orders", "`sqlite:`"),
        ("/var/lib/orders?password=hunter2", "`sqlite:`"),
        ("", "`sqlite:`"),
        ("sqlite:claims.db?mode=fast", "`mode`"),
    ] {
        let error = SqliteGuard::connect(url).await.unwrap_err();
        assert_says(&error, BROKEN, &[text]);
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn a_pool_that_is_closed() {
    let database = Database::new();
    let pool = database.pool().await;
    let guard = SqliteGuard::new(pool.clone());
    pool.close().await;
    assert_fails(&guard, BROKEN, &["pool is closed"]).await;
}

/// The key of an encrypted database is one of the options of a pool.
#[tokio::test]
async fn debug_shows_the_file_alone() {
    let database = Database::new();
    let options = database.options().pragma("key", "'hunter2'");
    let guard = SqliteGuard::new(pool(options).await);
    let shown = format!("{guard:?}");
    assert!(shown.contains("claims.db"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}
