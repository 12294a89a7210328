//! The acceptance suite of guards.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use gemini_webhooks::replay::{ClaimToken, Claimed, ReplayGuard as _};
use gemini_webhooks::testing::{RealTime, replay_suite};
use gemini_webhooks_sqlx::PostgresGuard;
use gemini_webhooks_sqlx::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use gemini_webhooks_sqlx::sqlx::{Executor as _, query_scalar};
use tokio::time::sleep;

use crate::database::{LEASE, Schema, key};

/// The acceptance suite, over pools that are set up in all the ways that matter.
#[tokio::test(flavor = "multi_thread")]
async fn passes_over_each_pool() {
    let schema = Schema::migrated().await;
    let isolation = |level| {
        schema
            .options()
            .options([("default_transaction_isolation", level)])
    };
    let guards = [
        ("a pool of its own", schema.guard().await),
        // As an app may have set it, for all its transactions.
        ("serializable", over(5, isolation("serializable")).await),
        (
            "repeatable read",
            over(5, isolation("repeatable read")).await,
        ),
        ("one connection", over(1, schema.options()).await),
        (
            "no cache of statements",
            over(5, schema.options().statement_cache_capacity(0)).await,
        ),
    ];
    let suites = guards.map(|(name, guard)| (name, tokio::spawn(replay_suite(guard, RealTime))));
    for (name, suite) in suites {
        assert!(suite.await.is_ok(), "{name}; see above");
    }
}

async fn over(connections: u32, options: PgConnectOptions) -> PostgresGuard {
    let pool = PgPoolOptions::new().max_connections(connections);
    PostgresGuard::new(pool.connect_with(options).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_isolation_of_a_pool_is_that_of_its_transactions() {
    let schema = Schema::new().await;
    for level in ["serializable", "repeatable read"] {
        let options = schema
            .options()
            .options([("default_transaction_isolation", level)]);
        let guard = over(1, options).await;
        let found: String = query_scalar("SELECT current_setting('transaction_isolation')")
            .fetch_one(guard.pool())
            .await
            .unwrap();
        assert_eq!(found, level);
    }
}

/// Connections that were left inside of a transaction, as sqlx 0.9.0 does if a handler is dropped while it
/// begins one. The guard closes them, and claims outside of it.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_were_left_in_a_transaction_are_closed() {
    let schema = Schema::migrated().await;
    for (number, left) in [
        "BEGIN; SELECT 1 / 0",
        "BEGIN; SELECT pg_current_xact_id()",
        // It is a second old when it is used.
        "BEGIN; SELECT pg_sleep(1.1)",
    ]
    .into_iter()
    .enumerate()
    {
        let guard = over(3, schema.options()).await;
        let pool = guard.pool();
        let mut spoiled = Vec::new();
        for _ in 0..3 {
            let mut connection = pool.acquire().await.unwrap();
            // One of them fails by intention.
            let _ = connection.execute(left).await;
            spoiled.push(connection);
        }
        drop(spoiled);
        while pool.num_idle() < 3 {
            sleep(Duration::from_millis(10)).await;
        }
        let key = key(&format!("{number}"));
        let claim = guard.claim(&key, ClaimToken::generate(), LEASE).await;
        assert_eq!(claim.unwrap(), Claimed::Claimed, "{left}");
        // Others see it.
        let other = schema.guard().await;
        let claim = other.claim(&key, ClaimToken::generate(), LEASE).await;
        assert!(claim.unwrap().is_in_flight(), "{left}");
        for _ in 0..3 {
            pool.execute("SELECT 1").await.unwrap();
        }
    }
}

/// The bug itself. When it is gone, this is no harm.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_was_dropped_while_it_began() {
    let schema = Schema::migrated().await;
    let guard = over(1, schema.options()).await;
    let mut context = Context::from_waker(Waker::noop());
    for polls in 1..20 {
        let mut begin = Box::pin(guard.pool().begin());
        for _ in 0..polls {
            if begin.as_mut().poll(&mut context).is_ready() {
                break;
            }
            sleep(Duration::from_millis(1)).await;
        }
        drop(begin);
        // The first may be undone with the transaction, the second not.
        for _ in 0..2 {
            let key = key(&format!("{polls}"));
            guard
                .claim(&key, ClaimToken::generate(), LEASE)
                .await
                .unwrap();
        }
        let other = schema.guard().await;
        let key = key(&format!("{polls}"));
        let claim = other.claim(&key, ClaimToken::generate(), LEASE).await;
        assert!(claim.unwrap().is_in_flight(), "after {polls} polls");
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
                sleep(Duration::from_millis(1)).await;
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
