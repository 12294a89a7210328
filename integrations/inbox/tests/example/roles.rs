//! Receivers and workers, in one process and in two.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::process::{EVENT, Example, STALE, now, signature};

/// Runs each of these with either example on either database.
macro_rules! with_all {
    ($($name:ident)+) => {
        mod axum_inbox {
            $(with_all!(@ $name "axum_inbox");)+
        }
        mod actix_inbox {
            $(with_all!(@ $name "actix_inbox");)+
        }
    };
    (@ $name:ident $example:literal) => {
        mod $name {
            #[tokio::test(flavor = "multi_thread")]
            async fn in_sqlite() {
                let folder = tempfile::tempdir().unwrap();
                let url = format!("sqlite:{}", folder.path().join("inbox.db").display());
                super::super::$name($example, &url).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn in_postgresql() {
                let server = gemini_webhooks_harness::PostgresServer::start();
                super::super::$name($example, &server.url()).await;
            }
        }
    };
}

with_all! {
    one_process
    two_processes
    a_receiver_that_is_killed
}

/// Each genuine event is printed once, also over a restart, and nothing else is.
async fn one_process(name: &str, database: &str) {
    for run in ["first", "second"] {
        let mut example = Example::start(name, None, database).await;
        let new = format!("msg_{run}");
        assert_eq!(example.deliver(&new, EVENT).await, 200);
        assert_eq!(example.next().await, new);
        for copy in ["msg_first", &new] {
            assert_eq!(example.deliver(copy, EVENT).await, 200, "{copy}");
        }
        refuses(&example).await;
        // After all of these, so that it would have printed them by then.
        let last = format!("msg_{run}_last");
        assert_eq!(example.deliver(&last, EVENT).await, 200);
        assert_eq!(example.next().await, last);
        assert_eq!(example.stop().await, [""; 0]);
    }
}

async fn refuses(example: &Example) {
    let forged = signature("msg_other", now(), EVENT);
    assert_eq!(example.send("msg_forged", now(), &forged, EVENT).await, 400);
    let at = now() - STALE;
    let stale = signature("msg_stale", at, EVENT);
    assert_eq!(example.send("msg_stale", at, &stale, EVENT).await, 400);
    let changed = EVENT.replace("batch", "botch");
    assert_ne!(changed, EVENT);
    let genuine = signature("msg_changed", now(), EVENT);
    let answer = example.send("msg_changed", now(), &genuine, &changed);
    assert_eq!(answer.await, 400);
}

/// One receives and the other works, each also while the other is down.
async fn two_processes(name: &str, database: &str) {
    let receiver = Example::start(name, Some("receive"), database).await;
    assert_eq!(receiver.deliver("msg_1", EVENT).await, 200);
    let mut worker = Example::start(name, Some("work"), database).await;
    assert_eq!(worker.next().await, "msg_1");
    assert_eq!(receiver.deliver("msg_2", EVENT).await, 200);
    assert_eq!(worker.next().await, "msg_2");
    refuses(&receiver).await;
    assert_eq!(receiver.deliver("msg_1", EVENT).await, 200);
    assert_eq!(worker.stop().await, [""; 0]);

    assert_eq!(receiver.deliver("msg_3", EVENT).await, 200);
    assert_eq!(receiver.stop().await, [""; 0], "it does not work");
    let mut worker = Example::start(name, Some("work"), database).await;
    assert_eq!(worker.next().await, "msg_3");
    assert_eq!(worker.stop().await, [""; 0]);
}

/// What it has answered 200 is worked off by another process.
async fn a_receiver_that_is_killed(name: &str, database: &str) {
    let receiver = Arc::new(Example::start(name, Some("receive"), database).await);
    let ids: Vec<_> = (0..20).map(|number| format!("msg_{number:02}")).collect();
    let mut deliveries = JoinSet::new();
    for id in ids.clone() {
        let receiver = Arc::clone(&receiver);
        deliveries.spawn(async move { receiver.deliver(&id, EVENT).await });
    }
    while let Some(status) = deliveries.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    let receiver = Arc::into_inner(receiver).expect("all deliveries have ended");
    receiver.kill().await;

    let mut worker = Example::start(name, Some("work"), database).await;
    let mut seen = Vec::new();
    for _ in &ids {
        seen.push(worker.next().await);
    }
    seen.sort();
    assert_eq!(seen, ids);
    assert_eq!(worker.stop().await, [""; 0]);
}
