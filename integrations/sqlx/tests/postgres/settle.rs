//! Settling in the app's transaction, through a `VerifyLayer`.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use gemini_webhooks::Delivery;
use gemini_webhooks::replay::Claimed;
use gemini_webhooks_sqlx::postgres::{SETTLE_STATEMENT, SettleParameters, settle_in};
use gemini_webhooks_sqlx::sqlx::{Connection as _, PgConnection, query, query_scalar};
use gemini_webhooks_sqlx::{SettleError, SettleErrorKind};
use tokio::sync::Notify;
use tower::BoxError;

use crate::app::{HANDLED, IN_FLIGHT, NOT_SETTLED};
use crate::database::key;
use crate::shop::{End, Shop, handle, work};

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_handles_the_event() {
    let shop = Shop::open().await;
    assert_eq!(shop.deliver("msg_1", End::Commit(200)).await, HANDLED);
    assert_eq!(shop.work_done("msg_1").await, 1);
    // Its copies do not reach the handler.
    assert_eq!(shop.deliver("msg_1", End::Panic).await, HANDLED);
    assert_eq!(shop.claim("msg_1").await, Claimed::Settled);
}

/// The work is not done, so the answer is not the handler's, and the retry runs at once.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_commit_a_2xx_is_not_sent() {
    let shop = Shop::open().await;
    for (id, end) in [
        ("rolled-back", End::Rollback(200)),
        ("rolled-back-204", End::Rollback(204)),
        ("forgotten", End::Forget(200)),
    ] {
        assert_eq!(shop.deliver(id, end).await, NOT_SETTLED, "{id}");
        assert_eq!(shop.work_done(id).await, 0, "{id}");
        assert_eq!(shop.deliver(id, End::Commit(200)).await, HANDLED, "{id}");
        assert_eq!(shop.work_done(id).await, 1, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_error_the_retry_runs() {
    let shop = Shop::open().await;
    for end in [End::Fail, End::Rollback(500), End::Forget(404)] {
        let id = format!("{end:?}");
        let status = match end {
            End::Forget(status) => status,
            _ => 500,
        };
        let answer = shop.deliver(&id, end).await;
        assert_eq!((answer.status, answer.kind), (status, None), "{end:?}");
        assert_eq!(shop.work_done(&id).await, 0, "{end:?}");
        assert_eq!(shop.deliver(&id, End::Commit(200)).await, HANDLED);
        assert_eq!(shop.work_done(&id).await, 1, "{end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_panic_the_retry_runs() {
    let shop = Shop::open().await;
    let panicking = shop.clone();
    let delivery = tokio::spawn(async move { panicking.deliver("msg_1", End::Panic).await });
    assert!(delivery.await.unwrap_err().is_panic());
    // It is released in the background.
    loop {
        match shop.deliver("msg_1", End::Commit(200)).await {
            IN_FLIGHT => tokio::time::sleep(Duration::from_millis(10)).await,
            answer => break assert_eq!(answer, HANDLED),
        }
    }
    assert_eq!(shop.work_done("msg_1").await, 1);
}

/// The work is done, whatever the answer says.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_commit_and_an_error_the_retry_does_not_run() {
    let shop = Shop::open().await;
    let answer = shop.deliver("msg_1", End::Commit(500)).await;
    assert_eq!((answer.status, answer.kind), (500, None));
    assert_eq!(shop.deliver("msg_1", End::Panic).await, HANDLED);
    assert_eq!(shop.work_done("msg_1").await, 1);
}

/// While the transaction is open, a copy is told at once that the event is in flight, also after the
/// lease has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_does_not_wait_for_the_transaction() {
    for expired in [false, true] {
        let shop = Shop::open().await;
        let (settled, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let first = tokio::spawn({
            let (shop, settled, go_on) = (shop.clone(), Arc::clone(&settled), Arc::clone(&go_on));
            async move {
                let app = shop.app.clone();
                let handler = move |delivery: Delivery| {
                    let (shop, settled, go_on) =
                        (shop.clone(), Arc::clone(&settled), Arc::clone(&go_on));
                    async move {
                        if expired {
                            shop.expire("msg_1").await;
                        }
                        let mut transaction = shop.pool.begin().await?;
                        work(&mut transaction, &delivery).await?;
                        settle_in(&mut transaction, &delivery).await?;
                        settled.notify_one();
                        go_on.notified().await;
                        transaction.commit().await?;
                        Ok(200)
                    }
                };
                app.deliver("msg_1", handler).await
            }
        });
        settled.notified().await;
        for _ in 0..3 {
            // If it waited, it would be answered 503 after two seconds.
            let copy = shop.deliver("msg_1", End::Panic).await;
            assert_eq!(copy, IN_FLIGHT, "expired: {expired}");
        }
        go_on.notify_one();
        assert_eq!(first.await.unwrap(), HANDLED);
        assert_eq!(shop.deliver("msg_1", End::Panic).await, HANDLED);
        assert_eq!(shop.work_done("msg_1").await, 1);
    }
}

/// Another delivery has claimed the event, because the lease has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_lost_rolls_back() {
    let shop = Shop::open().await;
    let handler = {
        let shop = shop.clone();
        move |delivery: Delivery| {
            let shop = shop.clone();
            async move {
                shop.expire("msg_1").await;
                assert_eq!(shop.claim("msg_1").await, Claimed::Claimed);
                let mut transaction = shop.pool.begin().await?;
                work(&mut transaction, &delivery).await?;
                let lost = settle_in(&mut transaction, &delivery).await.unwrap_err();
                assert_eq!(lost.kind(), SettleErrorKind::ClaimLost);
                assert!(lost.source().is_none());
                let says = lost.to_string();
                for part in ["\"test\"/v1/\"msg_1\"", "120s", "roll the transaction back"] {
                    assert!(says.contains(part), "{says}");
                }
                Err(lost.into())
            }
        }
    };
    let answer = shop.app.deliver("msg_1", handler).await;
    assert_eq!((answer.status, answer.kind), (500, None));
    assert_eq!(shop.work_done("msg_1").await, 0);
    // The other's claim stands.
    assert!(shop.claim("msg_1").await.is_in_flight());
}

/// Nobody has claimed the event since.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_has_ended_is_no_loss_by_itself() {
    let shop = Shop::open().await;
    let handler = {
        let shop = shop.clone();
        move |delivery| {
            let shop = shop.clone();
            async move {
                shop.expire("msg_1").await;
                handle(shop.pool.clone(), delivery, End::Commit(200)).await
            }
        }
    };
    assert_eq!(shop.app.deliver("msg_1", handler).await, HANDLED);
    assert_eq!(shop.claim("msg_1").await, Claimed::Settled);
}

/// An app may try its transaction again. If it was committed before, that is an error, and the work is not
/// done twice.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_settled_once() {
    let shop = Shop::open().await;
    let pool = shop.pool.clone();
    let answer = shop.app.deliver("msg_1", move |delivery: Delivery| {
        let pool = pool.clone();
        async move {
            for end in [End::Rollback(200), End::Forget(200), End::Commit(200)] {
                handle(pool.clone(), delivery.clone(), end).await?;
            }
            let again = handle(pool.clone(), delivery.clone(), End::Commit(200)).await;
            let error = again.unwrap_err();
            let error: &SettleError = error.downcast_ref().unwrap();
            assert_eq!(error.kind(), SettleErrorKind::ClaimLost);
            assert!(
                error.to_string().contains("it is settled already"),
                "{error}"
            );
            Ok(200)
        }
    });
    assert_eq!(answer.await, HANDLED);
    assert_eq!(shop.claim("msg_1").await, Claimed::Settled);
    assert_eq!(shop.work_done("msg_1").await, 1);
}

/// Outside of a transaction it would take effect at once, and the work could still fail.
#[tokio::test(flavor = "multi_thread")]
async fn outside_of_a_transaction_it_is_an_error() {
    let shop = Shop::open().await;
    let pool = shop.pool.clone();
    let answer = shop.app.deliver("msg_1", move |delivery: Delivery| {
        let pool = pool.clone();
        async move {
            let mut connection = pool.acquire().await?;
            let error = settle_in(&mut connection, &delivery).await.unwrap_err();
            assert_eq!(error.kind(), SettleErrorKind::NoTransaction);
            assert!(error.to_string().contains("begin one"), "{error}");
            // A savepoint is in a transaction.
            let mut transaction = connection.begin().await?;
            let mut savepoint = transaction.begin().await?;
            settle_in(&mut savepoint, &delivery).await?;
            savepoint.rollback().await?;
            transaction.commit().await?;
            Ok(200)
        }
    });
    assert_eq!(answer.await, NOT_SETTLED);
    assert_eq!(shop.deliver("msg_1", End::Commit(200)).await, HANDLED);
}

/// It is remembered for the receiver's retention, counted from the settle.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_remembered_for_the_retention() {
    let shop = Shop::open().await;
    assert_eq!(shop.deliver("in-it", End::Commit(200)).await, HANDLED);
    assert_eq!(
        shop.app.deliver("without", async |_| Ok(200)).await,
        HANDLED
    );
    for id in ["in-it", "without"] {
        let sql = "SELECT extract(epoch FROM until - clock_timestamp())::bigint \
                   FROM gemini_webhooks_claims WHERE key = $1 AND settled";
        let left: i64 = query_scalar(sql)
            .bind(key(id).to_bytes())
            .fetch_one(&shop.pool)
            .await
            .unwrap();
        let expected = 25 * 60 * 60;
        assert!((expected..expected + 600).contains(&left), "{id}: {left}");
    }
}

/// The statement and its parameters, for other drivers.
#[tokio::test(flavor = "multi_thread")]
async fn the_statement_by_itself() {
    async fn settle(connection: &mut PgConnection, delivery: &Delivery) -> Result<u64, BoxError> {
        let parameters = SettleParameters::of(delivery)?;
        let shown = format!("{parameters:?}");
        assert!(
            shown.contains("msg_1") && !shown.contains("token"),
            "{shown}"
        );
        let done = query(SETTLE_STATEMENT)
            .bind(parameters.key())
            .bind(parameters.token())
            .bind(parameters.retention())
            .execute(connection)
            .await?;
        parameters.check(done.rows_affected())?;
        Ok(done.rows_affected())
    }

    let shop = Shop::open().await;
    let handler = |commits: bool| {
        let pool = shop.pool.clone();
        move |delivery: Delivery| {
            let pool = pool.clone();
            async move {
                let mut transaction = pool.begin().await?;
                assert_eq!(settle(&mut transaction, &delivery).await?, 1);
                let lost = SettleParameters::of(&delivery)?.check(0).unwrap_err();
                assert_eq!(lost.kind(), SettleErrorKind::ClaimLost);
                match commits {
                    true => transaction.commit().await?,
                    false => transaction.rollback().await?,
                }
                Ok(200)
            }
        }
    };
    assert_eq!(shop.app.deliver("msg_1", handler(false)).await, NOT_SETTLED);
    assert_eq!(shop.app.deliver("msg_1", handler(true)).await, HANDLED);
    assert_eq!(shop.app.deliver("msg_1", handler(false)).await, HANDLED);
}
