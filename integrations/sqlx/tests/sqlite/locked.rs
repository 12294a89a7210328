//! A database that another connection writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gemini_webhooks::replay::{
    ClaimKey, ClaimToken, Claimed, GuardError, GuardErrorKind, GuardFuture, ReplayGuard, Settled,
};
use gemini_webhooks::{VerifyErrorKind, WebhookReceiverBuilder};
use gemini_webhooks_sqlx::SqliteGuard;
use gemini_webhooks_sqlx::sqlx::sqlite::{SqliteConnection, SqliteJournalMode};
use gemini_webhooks_sqlx::sqlx::{ConnectOptions as _, Connection as _, query, query_scalar};
use tokio::time::{sleep, timeout};

use crate::app::{Answer, App, HANDLED};
use crate::database::{Database, Holder, pool};

/// What a receiver waits, if it is not told otherwise.
const GUARD_TIMEOUT: Duration = Duration::from_secs(2);

const UNAVAILABLE: Answer = Answer {
    status: 503,
    kind: Some(VerifyErrorKind::GuardUnavailable),
};

/// Another connection, which begins a transaction.
async fn other(database: &Database, begin: &'static str) -> SqliteConnection {
    let mut other = database.options().connect().await.unwrap();
    query(begin).execute(&mut other).await.unwrap();
    other
}

async fn end(mut other: SqliteConnection) {
    query("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
}

async fn in_time<T>(answer: impl Future<Output = Result<T, GuardError>>) -> Result<T, GuardError> {
    let answer = timeout(GUARD_TIMEOUT, answer).await;
    answer.expect("an answer in less than a receiver waits")
}

#[track_caller]
fn assert_busy<T>(answer: Result<T, GuardError>) {
    let error = answer.err().expect("it waits, in vain");
    assert_eq!(error.kind(), GuardErrorKind::Unavailable);
    let text = error.to_string();
    assert!(
        text.contains("claims.db is being written by another connection"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_are_recognised_and_new_events_wait_less_than_a_receiver() {
    for begin in ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"] {
        let database = Database::new();
        let guard = database.guard().await;
        let (settled, claimed) = (Holder::of("settled"), Holder::of("claimed"));
        settled.claim(&guard).await.unwrap();
        settled.settle(&guard).await.unwrap();
        claimed.claim(&guard).await.unwrap();

        let other = other(&database, begin).await;
        let new = Holder::of("new");
        // At once: if they waited for the lock, they would fail.
        assert_eq!(
            Holder::of("settled").claim(&guard).await.unwrap(),
            Claimed::Settled
        );
        assert!(
            Holder::of("claimed")
                .claim(&guard)
                .await
                .unwrap()
                .is_in_flight()
        );
        assert_eq!(claimed.claim(&guard).await.unwrap(), Claimed::Claimed);
        assert_busy(in_time(new.claim(&guard)).await);
        assert_busy(in_time(claimed.settle(&guard)).await);
        assert_busy(in_time(claimed.release(&guard)).await);
        assert_busy(in_time(guard.ready()).await);
        assert_busy(in_time(guard.cleanup()).await);

        end(other).await;
        assert_eq!(new.claim(&guard).await.unwrap(), Claimed::Claimed);
        assert!(
            Holder::of("claimed")
                .claim(&guard)
                .await
                .unwrap()
                .is_in_flight()
        );
        claimed.settle(&guard).await.unwrap();
        assert_eq!(
            Holder::of("claimed").claim(&guard).await.unwrap(),
            Claimed::Settled
        );
    }
}

/// A lock that ends soon is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_transaction_is_waited_for() {
    let database = Database::new();
    let guard = database.guard().await;
    let other = other(&database, "BEGIN IMMEDIATE").await;
    let claim = tokio::spawn(async move { Holder::of("new").claim(&guard).await });
    sleep(Duration::from_millis(200)).await;
    assert!(!claim.is_finished());
    end(other).await;
    assert_eq!(claim.await.unwrap().unwrap(), Claimed::Claimed);
}

/// Without WAL, whoever locks the file locks out readers as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_locked_without_wal() {
    let database = Database::new();
    let options = database
        .options()
        .journal_mode(SqliteJournalMode::Delete)
        .busy_timeout(Duration::from_millis(300));
    let guard = SqliteGuard::new(pool(options.clone()).await);
    guard.migrate().await.unwrap();
    let holder = Holder::of("msg_1");
    holder.claim(&guard).await.unwrap();
    let mut other = options.connect().await.unwrap();
    query("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
    assert_busy(in_time(Holder::of("msg_1").claim(&guard)).await);
    assert_busy(in_time(holder.settle(&guard)).await);
    end(other).await;
    holder.settle(&guard).await.unwrap();
    assert_eq!(
        Holder::of("msg_1").claim(&guard).await.unwrap(),
        Claimed::Settled
    );
}

/// Without WAL, a statement has done its work before the commit, which fails while somebody reads. An
/// answer from before the commit would be a claim that nobody has.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_is_no_claim() {
    let database = Database::new();
    let options = database
        .options()
        .journal_mode(SqliteJournalMode::Delete)
        .busy_timeout(Duration::from_millis(300));
    let guard = SqliteGuard::new(pool(options.clone()).await);
    guard.migrate().await.unwrap();
    let mut reader = options.connect().await.unwrap();
    query("BEGIN").execute(&mut reader).await.unwrap();
    let count = "SELECT count(*) FROM gemini_webhooks_claims";
    let rows: i64 = query_scalar(count).fetch_one(&mut reader).await.unwrap();
    assert_eq!(rows, 0);

    let holder = Holder::of("msg_1");
    assert_busy(holder.claim(&guard).await);
    assert_busy(holder.settle(&guard).await);
    query("ROLLBACK").execute(&mut reader).await.unwrap();
    let rows: i64 = query_scalar(count).fetch_one(&mut reader).await.unwrap();
    assert_eq!(rows, 0);
    reader.close().await.unwrap();
    assert_eq!(
        Holder::of("msg_1").claim(&guard).await.unwrap(),
        Claimed::Claimed
    );
}

/// Another process that wants the file for itself.
#[tokio::test(flavor = "multi_thread")]
async fn opening_a_file_that_stays_locked() {
    let database = Database::new();
    let options = database.options().pragma("locking_mode", "EXCLUSIVE");
    let mut other = options.connect().await.unwrap();
    query("CREATE TABLE orders (id)")
        .execute(&mut other)
        .await
        .unwrap();
    assert_busy(SqliteGuard::connect(&database.url()).await);
    other.close().await.unwrap();
    database.guard().await.ready().await.unwrap();
}

/// With the driver's time-out of 5 s a claim outlasts the receiver's patience, and is made later. The
/// receiver then frees the event.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_late_is_given_up() {
    let database = Database::new();
    let options = database.options().busy_timeout(Duration::from_secs(5));
    let guard = SqliteGuard::new(pool(options).await);
    guard.migrate().await.unwrap();
    let patience = |builder: WebhookReceiverBuilder| {
        let builder = builder.guard_timeout(Duration::from_millis(300));
        builder.guard("test", guard.clone())
    };
    let app = App::with(patience);
    let other = other(&database, "BEGIN IMMEDIATE").await;
    assert_eq!(app.deliver("msg_1", async |_| Ok(200)).await, UNAVAILABLE);
    end(other).await;
    // It is made now, and then released.
    sleep(Duration::from_millis(300)).await;
    let mut answer = app.deliver("msg_1", async |_| Ok(200)).await;
    for _ in 0..100 {
        if answer.status != 409 {
            break;
        }
        sleep(Duration::from_millis(50)).await;
        answer = app.deliver("msg_1", async |_| Ok(200)).await;
    }
    assert_eq!(answer, HANDLED);
}

/// Counts what a receiver asks of a guard.
#[derive(Debug)]
struct Counting {
    guard: SqliteGuard,
    releases: Arc<AtomicUsize>,
}

impl ReplayGuard for Counting {
    fn claim(&self, key: &ClaimKey, token: ClaimToken, lease: Duration) -> GuardFuture<Claimed> {
        self.guard.claim(key, token, lease)
    }

    fn settle(
        &self,
        key: &ClaimKey,
        token: ClaimToken,
        retention: Duration,
    ) -> GuardFuture<Settled> {
        self.guard.settle(key, token, retention)
    }

    fn release(&self, key: &ClaimKey, token: ClaimToken) -> GuardFuture<()> {
        self.releases.fetch_add(1, Ordering::SeqCst);
        self.guard.release(key, token)
    }

    fn ready(&self) -> GuardFuture<Vec<String>> {
        self.guard.ready()
    }
}

/// SQLite has said that it did nothing: there is nothing to give up.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_waited_in_vain_is_not_released() {
    let database = Database::new();
    let (guard, releases) = (database.guard().await, Arc::new(AtomicUsize::new(0)));
    let counting = Counting {
        guard,
        releases: releases.clone(),
    };
    let app = App::new(counting);
    let other = other(&database, "BEGIN IMMEDIATE").await;
    assert_eq!(app.deliver("msg_1", async |_| Ok(200)).await, UNAVAILABLE);
    end(other).await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(releases.load(Ordering::SeqCst), 0);
    assert_eq!(app.deliver("msg_1", async |_| Ok(500)).await.status, 500);
    assert_eq!(releases.load(Ordering::SeqCst), 1);
}
