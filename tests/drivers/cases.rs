//! What must hold, whatever the driver.

use std::time::Duration;

use gemini_webhooks::VerifyErrorKind::{InFlight, NotSettled};
use gemini_webhooks_sqlx::SettleErrorKind;
use tokio::time::{sleep, timeout};

use crate::app::{Answered, App, Run};
use crate::rigs::Driver;
use crate::store::Store;

const OK: Answered = (200, None);
const FAILED: Answered = (500, None);
const COPY: Answered = (409, Some(InFlight));

/// A repeat of what was handled does not run. Nor does anything that was to run remain.
async fn is_handled<D: Driver>(store: &Store, app: &App<D>, id: &str) {
    assert_eq!(app.deliver(id).await, OK);
    assert_eq!(store.works(id).await, 1);
    assert_eq!(app.left(), 0);
}

pub(crate) async fn committed_and_200<D: Driver>(store: &Store) {
    let app = App::<D>::new(store).await;
    app.expect([Run::commits(200)]);
    assert_eq!(app.deliver("msg_1").await, OK);
    is_handled(store, &app, "msg_1").await;
    // The other replica knows as well.
    is_handled(store, &App::<D>::new(store).await, "msg_1").await;
}

pub(crate) async fn rolled_back_and_200<D: Driver>(store: &Store) {
    let app = App::<D>::new(store).await;
    app.expect([Run::rolls_back(200), Run::commits(200)]);
    assert_eq!(app.deliver("msg_1").await, (503, Some(NotSettled)));
    assert_eq!(store.works("msg_1").await, 0);
    // The retry.
    assert_eq!(app.deliver("msg_1").await, OK);
    is_handled(store, &app, "msg_1").await;
}

pub(crate) async fn committed_and_500<D: Driver>(store: &Store) {
    let app = App::<D>::new(store).await;
    app.expect([Run::commits(500)]);
    assert_eq!(app.deliver("msg_1").await, FAILED);
    is_handled(store, &app, "msg_1").await;
}

/// The lease ends before the transaction begins, and another replica claims the event.
pub(crate) async fn claim_lost<D: Driver>(store: &Store) {
    let (app, other) = (App::<D>::new(store).await, App::<D>::new(store).await);
    let (run, mut begin) = Run::commits(200).begins_late();
    app.expect([run]);
    let first = app.spawn("msg_1");
    begin.reached().await;
    store.end_lease("msg_1").await;

    let (run, mut end) = Run::stays_open(200);
    other.expect([run]);
    let second = other.spawn("msg_1");
    end.reached().await;

    begin.go(());
    assert_eq!(first.await.unwrap(), FAILED);
    assert_eq!(app.errors(), [SettleErrorKind::ClaimLost]);
    assert_eq!(store.works("msg_1").await, 0);

    end.go(true);
    assert_eq!(second.await.unwrap(), OK);
    is_handled(store, &other, "msg_1").await;
    is_handled(store, &app, "msg_1").await;
}

/// The answer to a copy comes before the transaction ends, and is none of a guard that waited in vain.
pub(crate) async fn copy_while_open<D: Driver>(store: &Store) {
    let (app, other) = (App::<D>::new(store).await, App::<D>::new(store).await);
    let (run, mut end) = Run::stays_open(200);
    app.expect([run]);
    let first = app.spawn("msg_1");
    end.reached().await;
    for replica in [&app, &other] {
        assert_eq!(replica.deliver("msg_1").await, COPY);
    }
    end.go(true);
    assert_eq!(first.await.unwrap(), OK);
    is_handled(store, &app, "msg_1").await;
}

/// The same, where the lease has ended before the transaction began: nobody else took the event.
pub(crate) async fn copy_while_open_after_the_lease<D: Driver>(store: &Store) {
    let (app, other) = (App::<D>::new(store).await, App::<D>::new(store).await);
    let (run, mut end) = Run::stays_open(200);
    let (run, mut begin) = run.begins_late();
    app.expect([run]);
    let first = app.spawn("msg_1");
    begin.reached().await;
    store.end_lease("msg_1").await;
    begin.go(());
    end.reached().await;
    for replica in [&app, &other] {
        assert_eq!(replica.deliver("msg_1").await, COPY);
    }
    end.go(true);
    assert_eq!(first.await.unwrap(), OK);
    is_handled(store, &app, "msg_1").await;
}

/// The transaction is rolled back while a copy is answered, and the retry runs.
pub(crate) async fn rolled_back_after_a_copy<D: Driver>(store: &Store) {
    let app = App::<D>::new(store).await;
    let (run, mut end) = Run::stays_open(200);
    app.expect([run, Run::commits(200)]);
    let first = app.spawn("msg_1");
    end.reached().await;
    assert_eq!(app.deliver("msg_1").await, COPY);
    end.go(false);
    assert_eq!(first.await.unwrap(), (503, Some(NotSettled)));
    assert_eq!(app.deliver("msg_1").await, OK);
    is_handled(store, &app, "msg_1").await;
}

/// The sender leaves, and the handler is dropped with its transaction.
pub(crate) async fn dropped_while_open<D: Driver>(store: &Store) {
    let app = App::<D>::new(store).await;
    let (run, mut end) = Run::stays_open(200);
    app.expect([run]);
    let first = app.spawn("msg_1");
    end.reached().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    if D::OUTLIVES_ITS_HANDLER {
        assert_eq!(app.deliver("msg_1").await, COPY);
        end.go(true);
    } else {
        app.expect([Run::commits(200)]);
    }
    assert_eq!(retried(&app, "msg_1").await, OK);
    is_handled(store, &app, "msg_1").await;
}

/// Delivers until the transaction has ended and the claim is released, which is done in the background.
async fn retried<D: Driver>(app: &App<D>, id: &str) -> Answered {
    let retries = async {
        loop {
            match app.deliver(id).await {
                COPY => sleep(Duration::from_millis(20)).await,
                answered => return answered,
            }
        }
    };
    timeout(Duration::from_secs(20), retries)
        .await
        .expect("the transaction ends, and so does the claim")
}
