//! Removing what has expired.

use std::time::Duration;

use gemini_webhooks::replay::Claimed;
use gemini_webhooks_sqlx::sqlx::AssertSqlSafe;
use tokio::time::sleep;

use crate::database::{Database, Holder};

/// Adds rows whose time ends so many milliseconds from now.
async fn add(database: &Database, prefix: &str, rows: u32, from_now: i64) {
    let statement = format!(
        "WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < {rows})
         INSERT INTO gemini_webhooks_claims
         SELECT CAST('{prefix}' || number AS BLOB), zeroblob(16), 1, unixepoch() * 1000 + {from_now}, 0 FROM numbers"
    );
    database.execute(AssertSqlSafe(statement)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_expired_is_removed_and_nothing_else() {
    let database = Database::new();
    let guard = database.guard().await;
    assert_eq!(guard.cleanup().await.unwrap(), 0);
    add(&database, "old", 1234, -10_000).await;
    add(&database, "present", 321, 60_000).await;
    let (settled, claimed, ended) = (Holder::of("a"), Holder::of("b"), Holder::of("c"));
    settled.claim(&guard).await.unwrap();
    settled.settle(&guard).await.unwrap();
    claimed.claim(&guard).await.unwrap();
    ended
        .claim_for(&guard, Duration::from_millis(1))
        .await
        .unwrap();
    sleep(Duration::from_millis(20)).await;
    assert_eq!(guard.cleanup().await.unwrap(), 1235);
    assert_eq!(database.rows().await, 323);
    assert_eq!(
        Holder::of("a").claim(&guard).await.unwrap(),
        Claimed::Settled
    );
    assert!(Holder::of("b").claim(&guard).await.unwrap().is_in_flight());
    // Late, but nobody came.
    ended.settle(&guard).await.unwrap();
    assert_eq!(
        Holder::of("c").claim(&guard).await.unwrap(),
        Claimed::Settled
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clean_up_while_others_claim() {
    let database = Database::new();
    let guard = database.guard().await;
    add(&database, "old", 20_000, -10_000).await;
    let (one, two) = (guard.clone(), database.guard().await);
    let cleaners = [
        tokio::spawn(async move { one.cleanup().await.unwrap() }),
        tokio::spawn(async move { two.cleanup().await.unwrap() }),
    ];
    let mut claims = 0;
    while !cleaners.iter().all(tokio::task::JoinHandle::is_finished) || claims == 0 {
        let holder = Holder::of(&format!("msg_{claims}"));
        assert_eq!(holder.claim(&guard).await.unwrap(), Claimed::Claimed);
        claims += 1;
    }
    let mut removed = 0;
    for cleaner in cleaners {
        removed += cleaner.await.unwrap();
    }
    assert_eq!(removed, 20_000);
    assert_eq!(database.rows().await, claims);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_cleans_up_now_and_then() {
    let database = Database::new();
    let guard = database.guard().await;
    // The shortest period is a second.
    let task = tokio::spawn(guard.cleanup_every(Duration::ZERO));
    for prefix in ["first", "second"] {
        add(&database, prefix, 300, -10_000).await;
        while database.rows().await > 0 {
            assert!(!task.is_finished());
            sleep(Duration::from_millis(10)).await;
        }
    }
    // It goes on after an error.
    let table = "ALTER TABLE gemini_webhooks_claims RENAME TO elsewhere";
    database.execute(table).await;
    sleep(Duration::from_millis(1200)).await;
    let table = "ALTER TABLE elsewhere RENAME TO gemini_webhooks_claims";
    database.execute(table).await;
    add(&database, "third", 300, -10_000).await;
    while database.rows().await > 0 {
        assert!(!task.is_finished());
        sleep(Duration::from_millis(10)).await;
    }
    task.abort();
}
