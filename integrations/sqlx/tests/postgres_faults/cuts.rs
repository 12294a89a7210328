//! A connection that is cut in the middle of a statement, or that hangs.

use std::time::Duration;

use gemini_webhooks::Delivery;
use gemini_webhooks_harness::Direction::{self, ToClient, ToServer};
use tokio::time::sleep;

use crate::app::{Answer, HANDLED, IN_FLIGHT};
use crate::rig::{FAILED, Rig, Runs, UNAVAILABLE, until_handled};

/// Before the first byte, and after some.
const CUTS: [(Direction, u64); 5] = [
    (ToServer, 0),
    (ToServer, 40),
    (ToClient, 0),
    (ToClient, 3),
    (ToClient, 12),
];

/// Whether the claim was made or not: it is not held, and the retry runs.
#[tokio::test(flavor = "multi_thread")]
async fn at_the_claim() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    until_handled(&rig.app, "before", runs.answering(200)).await;
    for (number, (direction, bytes)) in CUTS.into_iter().enumerate() {
        let id = format!("msg_{number}");
        rig.quiet().await;
        let cuts = rig.proxy.cuts();
        rig.proxy.cut_at(direction, bytes);
        let answer = rig.app.deliver(&id, runs.answering(200)).await;
        assert_eq!(rig.proxy.cuts(), cuts + 1);
        assert_eq!(answer, UNAVAILABLE, "{direction:?} {bytes}");
        assert_eq!(runs.count(), 1 + number, "it has not run");
        until_handled(&rig.app, &id, runs.answering(200)).await;
        assert_eq!(runs.count(), 2 + number, "it has run once");
    }
}

/// A handler that cuts the guard's connection when it is about to answer, once.
async fn cut_after_the_handler(status: u16, expected: Answer, runs_in_all: usize) {
    let rig = std::sync::Arc::new(Rig::start().await);
    for (direction, bytes) in CUTS {
        let runs = Runs::default();
        let id = format!("msg_{direction:?}_{bytes}");
        let handler = {
            let (rig, runs) = (std::sync::Arc::clone(&rig), runs.clone());
            move |_: Delivery| {
                let (rig, runs) = (std::sync::Arc::clone(&rig), runs.clone());
                async move {
                    runs.count_one();
                    rig.quiet().await;
                    rig.proxy.cut_at(direction, bytes);
                    Ok(status)
                }
            }
        };
        let cuts = rig.proxy.cuts();
        assert_eq!(rig.app.deliver(&id, handler).await, expected, "{id}");
        assert_eq!(rig.proxy.cuts(), cuts + 1, "{id}");
        // The receiver tries again by itself, within the lease.
        for answer in until_handled(&rig.app, &id, runs.answering(200)).await {
            assert_eq!(answer, IN_FLIGHT, "{id}");
        }
        assert_eq!(runs.count(), runs_in_all, "{id}");
    }
}

/// The handler's answer is sent, and the event is marked in the background.
#[tokio::test(flavor = "multi_thread")]
async fn at_the_settle() {
    cut_after_the_handler(200, HANDLED, 1).await;
}

/// The claim is released in the background, long before its lease ends.
#[tokio::test(flavor = "multi_thread")]
async fn at_the_release() {
    cut_after_the_handler(500, FAILED, 2).await;
}

/// The sender leaves while the claim is on its way, and the server has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_dropped_in_the_middle_of_its_claim() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    until_handled(&rig.app, "before", runs.answering(200)).await;
    for direction in [ToServer, ToClient] {
        let id = format!("msg_{direction:?}");
        rig.quiet().await;
        let sent = rig.proxy.bytes(ToServer);
        rig.proxy.hold_only(direction);
        let delivery = tokio::spawn({
            let (app, id, handler) = (rig.app.clone(), id.clone(), runs.answering(200));
            async move { app.deliver(&id, handler).await }
        });
        while rig.proxy.bytes(ToServer) == sent {
            sleep(Duration::from_millis(5)).await;
        }
        delivery.abort();
        assert!(delivery.await.unwrap_err().is_cancelled());
        rig.proxy.pass();
        let before = runs.count();
        until_handled(&rig.app, &id, runs.answering(200)).await;
        assert_eq!(runs.count(), before + 1);
    }
}
