//! Settling a claim in the transaction that does the work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gemini_webhooks::replay::{ClaimToken, GuardErrorKind};
use gemini_webhooks::{Delivery, WebhookReceiverBuilder};
use gemini_webhooks_sqlx::sqlite::settle_in;
use gemini_webhooks_sqlx::sqlx::sqlite::{Sqlite, SqlitePool};
use gemini_webhooks_sqlx::sqlx::{Acquire as _, Transaction, query, query_scalar};
use gemini_webhooks_sqlx::{SettleError, SettleErrorKind, SqliteGuard};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::app::{Answer, Answered, App, HANDLED, IN_FLIGHT, NOT_SETTLED};
use crate::database::{Database, Holder, pool};

/// An app that does its work in a database, in which the claims are as well.
struct Orders {
    app: App,
    pool: SqlitePool,
    database: Arc<Database>,
}

const FAILED: Answer = Answer {
    status: 500,
    kind: None,
};

impl Orders {
    async fn new() -> Self {
        let orders = Self::of(Arc::new(Database::new())).await;
        orders.execute("CREATE TABLE orders (id TEXT)").await;
        orders
    }

    async fn of(database: Arc<Database>) -> Self {
        let options = database.options().busy_timeout(Duration::from_secs(1));
        let pool = pool(options).await;
        let guard = SqliteGuard::new(pool.clone());
        guard.migrate().await.unwrap();
        Self {
            app: App::new(guard),
            pool,
            database,
        }
    }

    /// Delivers the event to a handler that has a transaction in which the work is done and the claim is
    /// settled.
    async fn deliver<F>(
        &self,
        id: &str,
        then: impl Fn(Transaction<'static, Sqlite>) -> F + Clone + Send + 'static,
    ) -> Answer
    where
        F: Future<Output = Answered> + Send,
    {
        let pool = self.pool.clone();
        let handler = move |delivery: Delivery| {
            let (pool, then) = (pool.clone(), then.clone());
            async move {
                let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
                work(&mut transaction, &delivery).await?;
                settle_in(&mut transaction, &delivery).await?;
                then(transaction).await
            }
        };
        self.app.deliver(id, handler).await
    }

    /// Delivers an event that has been handled.
    async fn deliver_copy(&self, id: &str) -> Answer {
        self.app
            .deliver(id, async |_| panic!("it runs again"))
            .await
    }

    /// How often the work for an event was done.
    async fn done(&self, id: &str) -> i64 {
        let count = query_scalar("SELECT count(*) FROM orders WHERE id = ?");
        count.bind(id).fetch_one(&self.pool).await.unwrap()
    }

    async fn execute(&self, statement: &'static str) {
        query(statement).execute(&self.pool).await.unwrap();
    }
}

async fn work(
    transaction: &mut Transaction<'_, Sqlite>,
    delivery: &Delivery,
) -> Result<(), gemini_webhooks_sqlx::sqlx::Error> {
    let insert = query("INSERT INTO orders VALUES (?)").bind(delivery.id().to_owned());
    insert.execute(&mut **transaction).await.map(drop)
}

async fn commit(transaction: Transaction<'static, Sqlite>) -> Answered {
    transaction.commit().await?;
    Ok(200)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_settles() {
    let orders = Orders::new().await;
    assert_eq!(orders.deliver("msg_1", commit).await, HANDLED);
    assert_eq!(orders.deliver_copy("msg_1").await, HANDLED);
    assert_eq!(orders.done("msg_1").await, 1);
    let hours: i64 =
        query_scalar("SELECT (until / 1000 - unixepoch()) / 3600 FROM gemini_webhooks_claims")
            .fetch_one(&orders.pool)
            .await
            .unwrap();
    // 25 hours and a margin, rounded down.
    assert!([24, 25].contains(&hours), "{hours} h");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_with_a_200_is_delivered_again() {
    let orders = Orders::new().await;
    let rolled_back = orders.deliver(
        "msg_1",
        async |transaction: Transaction<'static, Sqlite>| {
            transaction.rollback().await?;
            Ok(200)
        },
    );
    assert_eq!(rolled_back.await, NOT_SETTLED);
    let not_committed = orders.deliver("msg_1", async |transaction| {
        drop(transaction);
        Ok(200)
    });
    assert_eq!(not_committed.await, NOT_SETTLED);
    assert_eq!(orders.done("msg_1").await, 0);
    assert_eq!(orders.deliver("msg_1", commit).await, HANDLED);
    assert_eq!(orders.done("msg_1").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_with_a_500_has_handled_the_event() {
    let orders = Orders::new().await;
    let failed = orders.deliver("msg_1", async |transaction| {
        commit(transaction).await?;
        Err("the answer fails".into())
    });
    assert_eq!(failed.await, FAILED);
    assert_eq!(orders.deliver_copy("msg_1").await, HANDLED);
    assert_eq!(orders.done("msg_1").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_rolls_back_and_the_retry_runs() {
    let orders = Orders::new().await;
    let failed = orders.deliver("msg_1", async |transaction| {
        let _transaction = transaction;
        Err("the work fails".into())
    });
    assert_eq!(failed.await, FAILED);
    assert_eq!(orders.deliver("msg_1", commit).await, HANDLED);
    assert_eq!(orders.done("msg_1").await, 1);
}

/// SQLite has one writer: nobody overtakes a transaction that may write.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_ends_before_the_commit() {
    let orders = Orders::new().await;
    let pool = orders.pool.clone();
    let answer = orders.app.deliver("msg_1", move |delivery| {
        let pool = pool.clone();
        async move {
            let ended = query("UPDATE gemini_webhooks_claims SET until = 1");
            assert_eq!(ended.execute(&pool).await?.rows_affected(), 1);
            let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
            work(&mut transaction, &delivery).await?;
            settle_in(&mut transaction, &delivery).await?;
            // A copy could have the event if the transaction had ended, and waits for it.
            let copy = Holder {
                key: delivery.hand_over_claim().unwrap().key().clone(),
                token: ClaimToken::generate(),
            };
            let error = copy.claim(&SqliteGuard::new(pool)).await.unwrap_err();
            assert_eq!(error.kind(), GuardErrorKind::Unavailable);
            commit(transaction).await
        }
    });
    assert_eq!(answer.await, HANDLED);
    assert_eq!(orders.deliver_copy("msg_1").await, HANDLED);
    assert_eq!(orders.done("msg_1").await, 1);
}

/// How a handler fails if this has happened to its claim meanwhile.
async fn lost_after(statement: &'static str) -> (Orders, Answer) {
    let orders = Orders::new().await;
    let pool = orders.pool.clone();
    let answer = orders.app.deliver("msg_1", move |delivery| {
        let pool = pool.clone();
        async move {
            query(statement).execute(&pool).await?;
            let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
            work(&mut transaction, &delivery).await?;
            let error = settle_in(&mut transaction, &delivery).await;
            let error: SettleError = error.expect_err("the claim is lost");
            assert_eq!(error.kind(), SettleErrorKind::ClaimLost);
            Err(error.into())
        }
    });
    let answer = answer.await;
    assert_eq!(orders.done("msg_1").await, 0, "it was rolled back");
    (orders, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_another_delivery_has_is_lost() {
    let (orders, answer) =
        lost_after("UPDATE gemini_webhooks_claims SET token = zeroblob(16)").await;
    assert_eq!(answer, FAILED);
    assert_eq!(orders.deliver("msg_1", commit).await, IN_FLIGHT);
    // The lease of the other ends.
    orders
        .execute("UPDATE gemini_webhooks_claims SET until = 1")
        .await;
    assert_eq!(orders.deliver("msg_1", commit).await, HANDLED);
    assert_eq!(orders.done("msg_1").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_was_cleaned_up_is_lost() {
    let (orders, answer) = lost_after("DELETE FROM gemini_webhooks_claims").await;
    assert_eq!(answer, FAILED);
    assert_eq!(orders.deliver("msg_1", commit).await, HANDLED);
    assert_eq!(orders.done("msg_1").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_while_the_transaction_is_open_is_in_flight_at_once() {
    let orders = Arc::new(Orders::new().await);
    let (open, answered) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let running = tokio::spawn({
        let (orders, open, answered) = (orders.clone(), open.clone(), answered.clone());
        async move {
            let first = orders.deliver("msg_1", move |transaction| {
                let (open, answered) = (open.clone(), answered.clone());
                async move {
                    open.wait().await;
                    answered.wait().await;
                    commit(transaction).await
                }
            });
            first.await
        }
    });
    open.wait().await;
    // The transaction ends only after this answer.
    assert_eq!(orders.deliver_copy("msg_1").await, IN_FLIGHT);
    answered.wait().await;
    assert_eq!(running.await.unwrap(), HANDLED);
    assert_eq!(orders.deliver_copy("msg_1").await, HANDLED);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_and_many_deliveries_at_once() {
    let orders = Orders::new().await;
    let other = Orders::of(orders.database.clone()).await;
    let replicas = [Arc::new(orders), Arc::new(other)];
    let mut deliveries = JoinSet::new();
    for number in 0..120 {
        let orders = replicas[number / 30 % 2].clone();
        deliveries.spawn(async move {
            let id = format!("msg_{}", number % 30);
            loop {
                match orders.deliver(&id, commit).await {
                    HANDLED => break,
                    IN_FLIGHT => tokio::time::sleep(Duration::from_millis(20)).await,
                    answer => panic!("{answer:?}"),
                }
            }
        });
    }
    while let Some(done) = deliveries.join_next().await {
        done.unwrap();
    }
    for number in 0..30 {
        assert_eq!(replicas[0].done(&format!("msg_{number}")).await, 1);
    }
}

/// Why the transaction is begun with `BEGIN IMMEDIATE`: one that has read cannot write any more once
/// another has written. It fails, and the retry runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_transaction_may_fail() {
    let orders = Orders::new().await;
    let (pool, first) = (orders.pool.clone(), Arc::new(AtomicBool::new(true)));
    let handler = move |delivery: Delivery| {
        let (pool, first) = (pool.clone(), first.swap(false, Ordering::SeqCst));
        async move {
            let mut connection = pool.acquire().await?;
            let mut transaction = connection.begin().await?;
            let orders: i64 = query_scalar("SELECT count(*) FROM orders")
                .fetch_one(&mut *transaction)
                .await?;
            assert_eq!(orders, 0);
            if first {
                let other = query("CREATE TABLE written_by_another (id)");
                other.execute(&pool).await?;
            }
            let settled = settle_in(&mut transaction, &delivery).await;
            assert_eq!(
                settled.as_ref().err().map(SettleError::kind),
                first.then_some(SettleErrorKind::Database)
            );
            if let Err(error) = settled {
                assert!(error.to_string().contains("(code: 517)"), "{error}");
                return Err(error.into());
            }
            transaction.commit().await?;
            Ok(200)
        }
    };
    assert_eq!(orders.app.deliver("msg_1", handler.clone()).await, FAILED);
    assert_eq!(orders.app.deliver("msg_1", handler).await, HANDLED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_without_a_guard_has_no_claim() {
    let orders = Orders::new().await;
    let app = App::with(WebhookReceiverBuilder::without_replay_protection);
    let pool = orders.pool.clone();
    let answer = app.deliver("msg_1", move |delivery| {
        let pool = pool.clone();
        async move {
            let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
            let error = settle_in(&mut transaction, &delivery).await.unwrap_err();
            assert_eq!(error.kind(), SettleErrorKind::NoClaim);
            Ok(200)
        }
    });
    assert_eq!(answer.await, HANDLED);
}

/// The sender leaves at any point of the handler: the work and the mark are both there, or neither is.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_is_dropped_does_all_or_nothing() {
    let orders = Orders::new().await;
    let mut dropped = 0;
    for round in 0..60 {
        let (id, polls) = (format!("msg_{round}"), 1 + round % 6);
        let mut delivery = Box::pin(orders.deliver(&id, commit));
        let mut left = polls;
        let done = std::future::poll_fn(|context| {
            left -= 1;
            match delivery.as_mut().poll(context) {
                std::task::Poll::Pending if left == 0 => std::task::Poll::Ready(None),
                answer => answer.map(Some),
            }
        });
        dropped += usize::from(done.await.is_none());
        drop(delivery);
        let mut answer = orders.deliver(&id, commit).await;
        while answer == IN_FLIGHT {
            tokio::time::sleep(Duration::from_millis(10)).await;
            answer = orders.deliver(&id, commit).await;
        }
        assert_eq!(answer, HANDLED, "after {polls} polls");
        assert_eq!(orders.done(&id).await, 1, "after {polls} polls");
    }
    assert!(dropped > 0);
}
