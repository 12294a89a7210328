//! `settle_in` while the server fails: the work of each event is done exactly once.

use std::sync::Arc;
use std::time::Duration;

use gemini_webhooks::Delivery;
use gemini_webhooks_harness::Direction::{self, ToClient, ToServer};
use gemini_webhooks_sqlx::postgres::settle_in;
use gemini_webhooks_sqlx::sqlx::postgres::PgPool;
use gemini_webhooks_sqlx::sqlx::{query, query_as};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::app::{Answered, HANDLED};
use crate::rig::{FAILED, Once, Rig, UNAVAILABLE, app, until_handled};

/// When the proxy cuts a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Work,
    Settle,
    Commit,
    /// When the receiver asks whether the claim is settled.
    Confirm,
}

/// Works and settles in a transaction by way of the proxy, which cuts once.
async fn handle(
    rig: Arc<Rig>,
    delivery: Delivery,
    cut: Option<(At, Direction)>,
    ignores_errors: bool,
) -> Answered {
    let cut_at = |at| match cut {
        Some((when, direction)) if when == at => rig.proxy.cut_at(direction, 0),
        _ => {}
    };
    let done: Answered = async {
        let mut transaction = rig.guard.pool().begin().await?;
        rig.quiet_but(1).await;
        cut_at(At::Work);
        query("INSERT INTO work VALUES ($1)")
            .bind(delivery.id())
            .execute(&mut *transaction)
            .await?;
        cut_at(At::Settle);
        settle_in(&mut transaction, &delivery).await?;
        cut_at(At::Commit);
        transaction.commit().await?;
        Ok(200)
    }
    .await;
    if cut.is_some_and(|(at, _)| at == At::Confirm) {
        rig.quiet().await;
        cut_at(At::Confirm);
    }
    match done {
        Err(_) if ignores_errors => Ok(200),
        done => done,
    }
}

impl Rig {
    /// Waits until all connections of the guard's pool but so many are idle.
    async fn quiet_but(&self, lent: usize) {
        let pool = self.guard.pool();
        while pool.num_idle() + lent < pool.size() as usize {
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A commit whose answer is lost was made: the retry is answered 200 without the handler. One that did
/// not arrive was not made: the retry works.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut() {
    let rig = Arc::new(Rig::start().await);
    for at in [At::Work, At::Settle, At::Commit, At::Confirm] {
        for direction in [ToServer, ToClient] {
            for ignores_errors in [false, true] {
                if at == At::Work && ignores_errors {
                    // Such a handler has not said that it settles: the receiver believes its 200.
                    continue;
                }
                let case = format!("{at:?}-{direction:?}-{ignores_errors}");
                let once = Once::default();
                let handler = {
                    let rig = Arc::clone(&rig);
                    move |delivery| {
                        let cut = once.is_first().then_some((at, direction));
                        handle(Arc::clone(&rig), delivery, cut, ignores_errors)
                    }
                };
                let cuts = rig.proxy.cuts();
                let answer = rig.app.deliver(&case, handler.clone()).await;
                assert_eq!(rig.proxy.cuts(), cuts + 1, "{case}");
                let committed = at == At::Confirm || (at == At::Commit && direction == ToClient);
                match at {
                    At::Confirm => assert_eq!(answer, UNAVAILABLE, "{case}"),
                    _ if !ignores_errors => assert_eq!(answer, FAILED, "{case}"),
                    // It was asked whether the claim is settled.
                    _ if committed => assert_eq!(answer, HANDLED, "{case}"),
                    _ => assert_eq!(answer.status, 503, "{case}"),
                }
                assert_eq!(rig.work_done(&case).await, i64::from(committed), "{case}");
                until_handled(&rig.app, &case, handler).await;
                assert_eq!(rig.work_done(&case).await, 1, "{case}");
            }
        }
    }
}

/// A handler that does not know whether its commit arrived, and tries its transaction again.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_tried_again() {
    let rig = Arc::new(Rig::start().await);
    for direction in [ToServer, ToClient] {
        let id = format!("msg_{direction:?}");
        let handler = {
            let rig = Arc::clone(&rig);
            move |delivery: Delivery| {
                let rig = Arc::clone(&rig);
                async move {
                    let cut = Some((At::Commit, direction));
                    let first = handle(Arc::clone(&rig), delivery.clone(), cut, false).await;
                    assert!(first.is_err(), "it was cut");
                    handle(rig, delivery, None, false).await
                }
            }
        };
        let answer = rig.app.deliver(&id, handler).await;
        let expected = match direction {
            // It had not arrived.
            ToServer => HANDLED,
            ToClient => FAILED,
        };
        assert_eq!(answer, expected, "{id}");
        assert_eq!(rig.work_done(&id).await, 1, "{id}");
        let handler = async |_| panic!("it runs again");
        assert_eq!(rig.app.deliver(&id, handler).await, HANDLED, "{id}");
    }
}

async fn work(pool: PgPool, delivery: Delivery) -> Answered {
    let mut transaction = pool.begin().await?;
    query("INSERT INTO work VALUES ($1)")
        .bind(delivery.id())
        .execute(&mut *transaction)
        .await?;
    settle_in(&mut transaction, &delivery).await?;
    transaction.commit().await?;
    Ok(200)
}

/// Two replicas get the same events at the same time, and the server crashes again and again.
#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_and_a_server_that_crashes() {
    let rig = Rig::start().await;
    let mut senders = JoinSet::new();
    for sender in 0..8 {
        // Of two receivers, as in two processes.
        let (app, pool) = (app(&rig.guard), rig.pool.clone());
        senders.spawn(async move {
            for number in 0..40 {
                let (id, pool) = (format!("msg_{}_{number}", sender / 2), pool.clone());
                until_handled(&app, &id, move |delivery| work(pool.clone(), delivery)).await;
                sleep(Duration::from_millis(20)).await;
            }
        });
    }
    for _ in 0..3 {
        sleep(Duration::from_millis(300)).await;
        rig.server.kill();
        rig.server.start_again();
    }
    while let Some(done) = senders.join_next().await {
        done.unwrap();
    }
    let done: Vec<(String, i64)> = query_as("SELECT id, count(*) FROM work GROUP BY id")
        .fetch_all(&rig.pool)
        .await
        .unwrap();
    assert_eq!(done.len(), 160, "all events");
    assert!(
        done.iter().all(|(_, count)| *count == 1),
        "once each: {done:?}"
    );
}
