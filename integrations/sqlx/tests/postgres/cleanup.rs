//! Deleting what has expired.

use std::time::Duration;

use gemini_webhooks::replay::{ClaimToken, Claimed, ReplayGuard as _, Settled};
use gemini_webhooks_sqlx::PostgresGuard;
use gemini_webhooks_sqlx::sqlx::{Executor as _, query_scalar};
use tokio::time::{sleep, timeout};

use crate::database::{LEASE, Schema, key};

/// Rows that are as old as their number says, in minutes.
async fn fill(schema: &Schema, rows: u32, expired: &str) {
    let sql = format!(
        "INSERT INTO gemini_webhooks_claims
         SELECT int4send(n), '', n % 2 = 0,
             clock_timestamp() + CASE WHEN {expired} THEN -1 ELSE 1 END * interval '1 hour',
             clock_timestamp() - n * interval '1 minute'
         FROM generate_series(1, {rows}) AS n"
    );
    schema.execute(&sql).await;
}

async fn left(schema: &Schema) -> i64 {
    query_scalar("SELECT count(*) FROM gemini_webhooks_claims")
        .fetch_one(&schema.pool())
        .await
        .unwrap()
}

/// More than one step, and all of a step is deleted, some of it, or nothing.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_has_expired_is_deleted() {
    let schema = Schema::migrated().await;
    let guard = schema.guard().await;
    assert_eq!(guard.cleanup().await.unwrap(), 0, "of an empty table");

    let (settled, in_flight) = (ClaimToken::generate(), ClaimToken::generate());
    for (id, token) in [("settled", settled), ("in flight", in_flight)] {
        let claim = guard.claim(&key(id), token, LEASE).await;
        assert_eq!(claim.unwrap(), Claimed::Claimed);
    }
    let settle = guard.settle(&key("settled"), settled, LEASE).await;
    assert_eq!(settle.unwrap(), Settled::Settled);

    fill(
        &schema,
        3000,
        "n % 3 = 0 OR n > 2000 OR n BETWEEN 700 AND 800",
    )
    .await;
    let expired: i64 = query_scalar(
        "SELECT count(*) FROM gemini_webhooks_claims WHERE until <= clock_timestamp()",
    )
    .fetch_one(&schema.pool())
    .await
    .unwrap();
    assert!(expired > 1700);
    assert_eq!(
        guard.cleanup().await.unwrap(),
        u64::try_from(expired).unwrap()
    );
    assert_eq!(left(&schema).await, 3002 - expired);
    assert_eq!(guard.cleanup().await.unwrap(), 0);

    let copy = guard
        .claim(&key("settled"), ClaimToken::generate(), LEASE)
        .await;
    assert_eq!(copy.unwrap(), Claimed::Settled);
    let copy = guard
        .claim(&key("in flight"), ClaimToken::generate(), LEASE)
        .await;
    assert!(copy.unwrap().is_in_flight());
}

/// More rows than a step has were made at the same moment.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_the_same_moment_are_not_passed_over() {
    let schema = Schema::migrated().await;
    fill(&schema, 1700, "n % 2 = 0").await;
    schema
        .execute("UPDATE gemini_webhooks_claims SET born = '2020-02-02 02:02:02.222222+00'")
        .await;
    assert_eq!(schema.guard().await.cleanup().await.unwrap(), 850);
    assert_eq!(left(&schema).await, 850);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_locked_is_left_for_the_next_time() {
    let schema = Schema::migrated().await;
    fill(&schema, 10, "true").await;
    let pool = schema.pool();
    let mut transaction = pool.begin().await.unwrap();
    let lock =
        "SELECT FROM gemini_webhooks_claims WHERE key IN (int4send(3), int4send(4)) FOR UPDATE";
    transaction.execute(lock).await.unwrap();
    let guard = schema.guard().await;
    let cleanup = timeout(Duration::from_secs(20), guard.cleanup()).await;
    assert_eq!(cleanup.expect("it waits for nobody").unwrap(), 8);
    transaction.rollback().await.unwrap();
    assert_eq!(guard.cleanup().await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_clean_up_together() {
    let schema = Schema::migrated().await;
    fill(&schema, 5000, "n % 5 < 4").await;
    let (one, two) = (schema.guard().await, schema.guard().await);
    let (one, two) = tokio::join!(one.cleanup(), two.cleanup());
    assert_eq!(one.unwrap() + two.unwrap(), 4000);
    assert_eq!(left(&schema).await, 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_cleans_up_again_and_again() {
    let schema = Schema::new().await;
    let guard = PostgresGuard::new(schema.pool());
    // The table is missing at first, and the task goes on.
    let task = tokio::spawn(guard.cleanup_every(Duration::ZERO));
    sleep(Duration::from_millis(200)).await;
    guard.migrate().await.unwrap();
    for _ in 0..2 {
        fill(&schema, 10, "true").await;
        let gone = async {
            while left(&schema).await > 0 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(20), gone)
            .await
            .expect("they are deleted");
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
}
