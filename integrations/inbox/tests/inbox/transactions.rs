//! Work that is done once, because its effect and its end are committed together.

use std::future::pending;
use std::time::Duration;

use gemini_webhooks::GeminiEvent;
use gemini_webhooks_inbox::{Change, InboxErrorKind, State, What, Work};
use tokio::sync::mpsc;

use crate::app::{BATCH, deliver, is_empty, until};
use crate::home::Home;
use crate::on_both;

on_both! {
    the_effect_and_the_end_are_one
    a_transaction_that_is_left_is_a_failure
    what_was_committed_stands
    who_has_lost_the_event_cannot_commit
}

const INSERT: &str = "INSERT INTO orders VALUES ('x')";
const ORDERS: &str = "SELECT count(*) FROM orders";
const SHORT: Duration = Duration::from_millis(5);

async fn the_effect_and_the_end_are_one<H: Home>(home: H) {
    let inbox = home.open().await.unwrap();
    home.execute("CREATE TABLE orders (event text NOT NULL)")
        .await;
    deliver(&inbox, "msg_1", BATCH).await;
    let worker = inbox
        .worker()
        .otherwise(async |_: GeminiEvent, work: Work<H::DB>| {
            let mut transaction = work.transaction().await?;
            H::run(&mut transaction, INSERT).await;
            if work.attempt() == 1 {
                return Err(gemini_webhooks_inbox::WorkError::new("before the commit"));
            }
            transaction.commit().await?;
            Ok(())
        })
        .pauses(SHORT, SHORT);
    let worker = tokio::spawn(worker.run_until(pending()));
    until(&inbox, is_empty).await;
    worker.abort();
    assert_eq!(home.number(ORDERS).await, 1);
    let done = inbox.entries().state(State::Done).list().await.unwrap();
    assert_eq!(done[0].attempts(), 2);
}

async fn a_transaction_that_is_left_is_a_failure<H: Home>(home: H) {
    let inbox = home.open().await.unwrap();
    home.execute("CREATE TABLE orders (event text NOT NULL)")
        .await;
    deliver(&inbox, "msg_1", BATCH).await;
    let worker = inbox
        .worker()
        .otherwise(async |_: GeminiEvent, work: Work<H::DB>| {
            let mut transaction = work.transaction().await?;
            H::run(&mut transaction, INSERT).await;
            Ok(())
        })
        .max_attempts(1);
    let worker = tokio::spawn(worker.run_until(pending()));
    until(&inbox, |depth| depth.dead == 1).await;
    worker.abort();
    assert_eq!(home.number(ORDERS).await, 0);
    let dead = inbox.entries().list().await.unwrap();
    let why = dead[0].history().last().unwrap().why();
    assert!(why.contains("has not committed it"), "{why}");
}

async fn what_was_committed_stands<H: Home>(home: H) {
    let inbox = home.open().await.unwrap();
    home.execute("CREATE TABLE orders (event text NOT NULL)")
        .await;
    deliver(&inbox, "msg_1", BATCH).await;
    let worker = inbox
        .worker()
        .otherwise(async |_: GeminiEvent, work: Work<H::DB>| {
            let mut transaction = work.transaction().await?;
            H::run(&mut transaction, INSERT).await;
            transaction.commit().await?;
            Err(gemini_webhooks_inbox::WorkError::new("after the commit"))
        });
    let worker = tokio::spawn(worker.run_until(pending()));
    until(&inbox, is_empty).await;
    worker.abort();
    let done = inbox.entries().state(State::Done).list().await.unwrap();
    let what: Vec<_> = done[0].history().iter().map(Change::what).collect();
    assert_eq!(what, [What::Stored, What::Begun, What::Done]);
    assert_eq!(home.number(ORDERS).await, 1);
}

async fn who_has_lost_the_event_cannot_commit<H: Home>(home: H) {
    let inbox = home.open().await.unwrap();
    home.execute("CREATE TABLE orders (event text NOT NULL)")
        .await;
    deliver(&inbox, "msg_1", BATCH).await;
    let (works, mut given) = mpsc::unbounded_channel();
    let worker = async || {
        let works = works.clone();
        let worker = home.open().await.unwrap().worker();
        let worker = worker
            .otherwise(move |_: GeminiEvent, work: Work<H::DB>| {
                works.send(work).unwrap();
                pending()
            })
            .heartbeat(Duration::from_secs(1));
        (tokio::spawn(worker.run_until(pending())),)
    };
    let (stuck,) = worker().await;
    let first = given.recv().await.unwrap();
    // It stops to give signs of life, and its work goes on.
    stuck.abort();
    let (sound,) = worker().await;
    let second = given.recv().await.unwrap();
    assert_eq!((first.attempt(), second.attempt()), (1, 2));

    let mut late = first.transaction().await.unwrap();
    H::run(&mut late, INSERT).await;
    let error = late.commit().await.unwrap_err();
    assert_eq!(error.kind(), InboxErrorKind::Lost);
    assert_eq!(home.number(ORDERS).await, 0, "nothing was committed");
    let mut good = second.transaction().await.unwrap();
    H::run(&mut good, INSERT).await;
    good.commit().await.unwrap();
    sound.abort();
    assert_eq!(home.number(ORDERS).await, 1);
    assert_eq!(inbox.entries().state(State::Done).count().await.unwrap(), 1);
}
