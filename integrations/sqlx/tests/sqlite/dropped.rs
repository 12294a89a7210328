//! Futures that are dropped while SQLite works.
//!
//! The driver has a thread for each connection. It carries out what it was sent, whether or not anybody
//! waits for the answer.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use gemini_webhooks::replay::{Claimed, GuardFuture, ReplayGuard as _, Settled};
use gemini_webhooks_sqlx::SqliteGuard;
use gemini_webhooks_sqlx::sqlx::sqlite::{SqliteConnection, SqlitePool};
use gemini_webhooks_sqlx::sqlx::{ConnectOptions as _, Connection as _, query, query_scalar};
use tokio::time::{sleep, timeout};

use crate::database::{Database, Holder, LEASE, RETENTION, pool};

const CONNECTIONS: u32 = 10;

/// A guard over a pool of the app's, and the pool.
async fn guard(database: &Database) -> (SqliteGuard, SqlitePool) {
    let options = database.options().busy_timeout(Duration::from_secs(1));
    let pool = pool(options).await;
    let guard = SqliteGuard::new(pool.clone());
    guard.migrate().await.unwrap();
    (guard, pool)
}

/// Polls so many times, and drops the future. Returns whether it was done before.
async fn polled<T>(polls: usize, mut future: GuardFuture<T>) -> bool {
    let mut left = polls;
    poll_fn(|context| {
        left -= 1;
        match std::pin::Pin::new(&mut future).poll(context) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if left == 0 => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Each connection of the pool answers, and none is in a transaction.
async fn assert_sound(pool: &SqlitePool) {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let connection = timeout(Duration::from_secs(5), pool.acquire()).await;
        connections.push(connection.expect("a connection").unwrap());
    }
    for connection in &mut connections {
        // In a transaction, this would be an error.
        for statement in ["BEGIN IMMEDIATE", "ROLLBACK"] {
            query(statement).execute(&mut **connection).await.unwrap();
        }
        let one: i64 = query_scalar("SELECT 1")
            .fetch_one(&mut **connection)
            .await
            .unwrap();
        assert_eq!(one, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_any_poll_of_any_operation() {
    let database = Database::new();
    let (guard, pool) = guard(&database).await;
    let mut dropped = [0; 5];
    for round in 0..48 {
        let (id, polls) = (format!("msg_{round}"), 1 + round % 6);
        let (a, b) = (Holder::of(&id), Holder::of(&id));
        let claim = guard.claim(&a.key, a.token, LEASE);
        dropped[0] += usize::from(!polled(polls, claim).await);
        // It may land after its release.
        while b.claim(&guard).await.unwrap() != Claimed::Claimed {
            a.release(&guard).await.unwrap();
        }
        // Of another event, as the first claim may land even now.
        let id = format!("{id}-settled");
        let (a, b) = (Holder::of(&id), Holder::of(&id));
        b.claim(&guard).await.unwrap();
        let release = guard.release(&b.key, b.token);
        dropped[1] += usize::from(!polled(polls, release).await);
        b.claim(&guard).await.unwrap();
        let settle = guard.settle(&b.key, b.token, RETENTION);
        dropped[2] += usize::from(!polled(polls, settle).await);
        dropped[3] += usize::from(!polled(polls, guard.ready()).await);
        let cleaner = guard.clone();
        let cleanup = GuardFuture::boxed(async move { cleaner.cleanup().await });
        dropped[4] += usize::from(!polled(polls, cleanup).await);
        assert_eq!(b.settle(&guard).await.unwrap(), Settled::Settled);
        assert_eq!(a.claim(&guard).await.unwrap(), Claimed::Settled);
        database.execute("DELETE FROM gemini_webhooks_claims").await;
    }
    assert!(dropped.iter().all(|times| *times > 0), "{dropped:?}");
    assert_sound(&pool).await;
}

/// Another connection, which holds the lock.
async fn lock(database: &Database) -> SqliteConnection {
    let mut other = database.options().connect().await.unwrap();
    let begin = query("BEGIN IMMEDIATE");
    begin.execute(&mut other).await.unwrap();
    other
}

/// Waits for the lock until it is given up.
async fn given_up<T>(future: GuardFuture<T>) {
    let answer = timeout(Duration::from_millis(200), future).await;
    assert!(answer.is_err(), "it waits for the lock");
}

/// What was sent is carried out, though nobody waits. The receiver awaits such a claim and releases it.
#[tokio::test(flavor = "multi_thread")]
async fn while_it_waits_for_the_lock() {
    let database = Database::new();
    let (guard, pool) = guard(&database).await;
    let holder = Holder::of("msg_1");

    let other = lock(&database).await;
    given_up(guard.claim(&holder.key, holder.token, LEASE)).await;
    // The connection is in use until its thread is done.
    other.close().await.unwrap();
    while database.rows().await == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(
        Holder::of("msg_1")
            .claim(&guard)
            .await
            .unwrap()
            .is_in_flight()
    );
    assert_sound(&pool).await;

    let other = lock(&database).await;
    given_up(guard.settle(&holder.key, holder.token, RETENTION)).await;
    other.close().await.unwrap();
    while Holder::of("msg_1").claim(&guard).await.unwrap() != Claimed::Settled {
        sleep(Duration::from_millis(10)).await;
    }
    assert_sound(&pool).await;

    let holder = Holder::of("msg_2");
    holder.claim(&guard).await.unwrap();
    let other = lock(&database).await;
    given_up(guard.release(&holder.key, holder.token)).await;
    other.close().await.unwrap();
    while database.rows().await > 1 {
        sleep(Duration::from_millis(10)).await;
    }
    assert_sound(&pool).await;
}

/// Those that wait for their turn have sent nothing.
#[tokio::test(flavor = "multi_thread")]
async fn while_it_waits_for_its_turn() {
    let database = Database::new();
    let (guard, pool) = guard(&database).await;
    let other = lock(&database).await;
    let first = Holder::of("first");
    let claim = tokio::spawn({
        let (guard, first) = (guard.clone(), first.clone());
        async move { first.claim(&guard).await }
    });
    sleep(Duration::from_millis(100)).await;
    let waiting = Holder::of("waiting");
    given_up(guard.claim(&waiting.key, waiting.token, LEASE)).await;
    other.close().await.unwrap();
    assert_eq!(claim.await.unwrap().unwrap(), Claimed::Claimed);
    assert_eq!(database.rows().await, 1);
    assert_sound(&pool).await;
}
