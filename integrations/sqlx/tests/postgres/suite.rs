//! The acceptance suite of guards.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use gemini_webhooks::replay::{ClaimToken, Claimed, ReplayGuard as _};
use gemini_webhooks::testing::{RealTime, replay_suite};
use gemini_webhooks_sqlx::PostgresGuard;
use gemini_webhooks_sqlx::sqlx::Executor as _;
use gemini_webhooks_sqlx::sqlx::postgres::PgPoolOptions;

use crate::database::{LEASE, Schema, key};

#[tokio::test(flavor = "multi_thread")]
async fn passes_with_a_pool_of_its_own() {
    let schema = Schema::migrated().await;
    replay_suite(schema.guard().await, RealTime).await;
}

/// As an app may have set it, for all its transactions.
#[tokio::test(flavor = "multi_thread")]
async fn passes_where_transactions_are_serializable() {
    for level in ["serializable", "repeatable read"] {
        let schema = Schema::migrated().await;
        let options = schema
            .options()
            .options([("default_transaction_isolation", level)]);
        let pool = PgPoolOptions::new().connect_lazy_with(options);
        let row: (String,) =
            gemini_webhooks_sqlx::sqlx::query_as("SELECT current_setting('transaction_isolation')")
                .fetch_one(&pool)
                .await
                .unwrap();
        assert_eq!(row.0, level);
        replay_suite(PostgresGuard::new(pool), RealTime).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_with_one_connection() {
    let schema = Schema::migrated().await;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with(schema.options());
    replay_suite(PostgresGuard::new(pool), RealTime).await;
}

/// Without prepared statements, as behind some poolers.
#[tokio::test(flavor = "multi_thread")]
async fn passes_without_a_cache_of_statements() {
    let schema = Schema::migrated().await;
    let options = schema.options().statement_cache_capacity(0);
    let pool = PgPoolOptions::new().connect_lazy_with(options);
    replay_suite(PostgresGuard::new(pool), RealTime).await;
}

/// The connection was left in a transaction that has failed, as sqlx 0.9.0 does if a handler is dropped
/// while it begins one. The guard throws it away.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_were_left_in_a_failed_transaction_are_thrown_away() {
    let schema = Schema::migrated().await;
    let pool = PgPoolOptions::new()
        .max_connections(3)
        .connect_lazy_with(schema.options());
    let mut spoiled = Vec::new();
    for _ in 0..3 {
        let mut connection = pool.acquire().await.unwrap();
        connection.execute("BEGIN").await.unwrap();
        connection.execute("SELECT 1 / 0").await.unwrap_err();
        spoiled.push(connection);
    }
    drop(spoiled);
    while pool.num_idle() < 3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let guard = PostgresGuard::new(pool.clone());
    let claim = guard.claim(&key("a"), ClaimToken::generate(), LEASE);
    assert_eq!(claim.await.unwrap(), Claimed::Claimed);
    for _ in 0..3 {
        pool.execute("SELECT 1").await.unwrap();
    }
}

/// A claim is dropped at each of its steps, and its connection is not lent again in the middle of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_claim_spoils_no_connection() {
    let schema = Schema::migrated().await;
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .connect_lazy_with(schema.options());
    let guard = PostgresGuard::new(pool);
    for polls in 1..12 {
        let (key, token) = (key(&format!("{polls}")), ClaimToken::generate());
        {
            let mut claim = pin!(guard.claim(&key, token, LEASE));
            let mut context = Context::from_waker(Waker::noop());
            for _ in 0..polls {
                if claim.as_mut().poll(&mut context).is_ready() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let second = ClaimToken::generate();
        let claimed = guard.claim(&key, second, LEASE).await.unwrap();
        guard.release(&key, token).await.unwrap();
        if claimed.is_in_flight() {
            let claimed = guard.claim(&key, second, LEASE).await.unwrap();
            assert_eq!(claimed, Claimed::Claimed, "after {polls} polls");
        } else {
            assert_eq!(claimed, Claimed::Claimed, "after {polls} polls");
        }
    }
}
