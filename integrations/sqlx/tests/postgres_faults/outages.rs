//! A server that is stopped, paused, restarted or killed.

use std::time::Duration;

use gemini_webhooks::replay::{GuardErrorKind, ReplayGuard as _};
use gemini_webhooks_harness::Direction;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::rig::{GUARD_TIMEOUT, Rig, Runs, SOON, UNAVAILABLE, until_handled};

#[tokio::test(flavor = "multi_thread")]
async fn stopped() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    until_handled(&rig.app, "before", runs.answering(200)).await;
    rig.server.stop();
    for number in 0..6 {
        let id = format!("during-{number}");
        let answer = rig.app.deliver(&id, runs.answering(200)).await;
        assert_eq!(answer, UNAVAILABLE, "{id}");
    }
    assert_eq!(runs.count(), 1, "nothing runs without its claim");
    let error = rig.guard.ready().await.unwrap_err();
    assert_eq!(error.kind(), GuardErrorKind::Unavailable, "{error}");
    rig.server.start_again();
    for number in 0..6 {
        until_handled(&rig.app, &format!("during-{number}"), runs.answering(200)).await;
    }
    until_handled(&rig.app, "before", runs.answering(200)).await;
    assert_eq!(runs.count(), 7, "each once");
}

/// Its port refuses connections, and the error says so.
#[tokio::test(flavor = "multi_thread")]
async fn the_reason_of_an_outage_is_told() {
    let rig = Rig::start().await;
    rig.proxy.cut();
    rig.proxy.refuse();
    // The connection that it had.
    rig.guard.ready().await.unwrap_err();
    let error = timeout(Duration::from_secs(2), rig.guard.ready()).await;
    let error = error
        .expect("in the time that a receiver gives it")
        .unwrap_err();
    let says = error.to_string();
    assert!(
        says.contains("refused") && says.contains("whether the server runs"),
        "{says}"
    );
    rig.proxy.pass();
    rig.proxy.hold();
    let error = timeout(Duration::from_secs(2), rig.guard.ready()).await;
    let error = error
        .expect("in the time that a receiver gives it")
        .unwrap_err();
    assert!(error.to_string().contains("it does not answer"), "{error}");
    rig.proxy.pass();
    let ready = async { while rig.guard.ready().await.is_err() {} };
    timeout(SOON, ready).await.expect("it recovers");
}

/// What nobody else limits in time gives up by itself, so that it is tried again on another connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_hangs() {
    let rig = Rig::start().await;
    rig.guard.cleanup().await.unwrap();
    rig.quiet().await;
    rig.proxy.hold_only(Direction::ToClient);
    let (cleanup, ready) = tokio::join!(rig.guard.cleanup(), rig.guard.ready());
    let error = cleanup.unwrap_err();
    assert_eq!(error.kind(), GuardErrorKind::Unavailable);
    assert!(
        error.to_string().contains("a step of the clean-up"),
        "{error}"
    );
    let error = ready.unwrap_err();
    assert!(error.to_string().contains("does not answer"), "{error}");
    // The others of its connections are held as well.
    rig.proxy.cut();
    let works = async { while rig.guard.cleanup().await.is_err() {} };
    timeout(SOON, works).await.expect("it recovers");
}

/// Claims that reached the server before it stood still are made when it goes on. Nobody waits for them
/// any more, so they are released.
#[tokio::test(flavor = "multi_thread")]
async fn paused() {
    let rig = Rig::start().await;
    let runs = Runs::default();
    // So many connections are open then.
    let mut first = JoinSet::new();
    for number in 0..8 {
        let (app, runs) = (rig.app.clone(), runs.clone());
        first.spawn(async move {
            let id = format!("before-{number}");
            until_handled(&app, &id, runs.answering(200)).await;
        });
    }
    while let Some(done) = first.join_next().await {
        done.unwrap();
    }
    rig.quiet().await;
    rig.server.pause();
    let mut during = JoinSet::new();
    for number in 0..20 {
        let (app, runs) = (rig.app.clone(), runs.clone());
        during.spawn(async move {
            app.deliver(&format!("during-{number}"), runs.answering(200))
                .await
        });
    }
    for answer in during.join_all().await {
        assert_eq!(answer, UNAVAILABLE);
    }
    // Then nobody waits.
    let at_once = async {
        for number in 0..20 {
            let answer = rig
                .app
                .deliver(&format!("later-{number}"), runs.answering(200))
                .await;
            assert_eq!(answer, UNAVAILABLE);
        }
    };
    timeout(GUARD_TIMEOUT * 10, at_once)
        .await
        .expect("503 at once");
    rig.server.resume();
    for number in 0..20 {
        for when in ["during", "later"] {
            until_handled(&rig.app, &format!("{when}-{number}"), runs.answering(200)).await;
        }
    }
    assert_eq!(runs.count(), 48, "each once");
}

/// Deliveries come all the time, and each event is sent until it is handled.
async fn while_deliveries_come(rig: &Rig, fail: impl Future<Output = ()>) {
    let runs = Runs::default();
    let mut senders = JoinSet::new();
    for sender in 0..8 {
        let (app, runs) = (rig.app.clone(), runs.clone());
        senders.spawn(async move {
            for number in 0..40 {
                let id = format!("msg_{sender}_{number}");
                until_handled(&app, &id, runs.answering(200)).await;
                sleep(Duration::from_millis(20)).await;
            }
        });
    }
    fail.await;
    while let Some(done) = senders.join_next().await {
        done.unwrap();
    }
    assert_eq!(runs.count(), 320, "each once");
    // Also what could not be settled at once has been settled by now, or is soon: no copy runs.
    for sender in 0..8 {
        for number in 0..40 {
            let id = format!("msg_{sender}_{number}");
            until_handled(&rig.app, &id, runs.answering(200)).await;
        }
    }
    assert_eq!(runs.count(), 320, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn restarted() {
    let rig = Rig::start().await;
    let restarts = async {
        for _ in 0..3 {
            sleep(Duration::from_millis(300)).await;
            rig.server.stop();
            rig.server.start_again();
        }
    };
    while_deliveries_come(&rig, restarts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed() {
    let rig = Rig::start().await;
    let kills = async {
        for _ in 0..3 {
            sleep(Duration::from_millis(300)).await;
            rig.server.kill();
            rig.server.start_again();
        }
    };
    while_deliveries_come(&rig, kills).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_all_the_time() {
    let rig = Rig::start().await;
    let cuts = async {
        for number in 0..30_u64 {
            sleep(Duration::from_millis(40)).await;
            let direction = match number % 2 {
                0 => Direction::ToServer,
                _ => Direction::ToClient,
            };
            rig.proxy.cut_at(direction, number * 13 % 200);
        }
    };
    while_deliveries_come(&rig, cuts).await;
    assert!(rig.proxy.cuts() > 10, "{} cuts", rig.proxy.cuts());
}
