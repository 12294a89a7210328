//! The server is away, or does not answer.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use gemini_webhooks_harness::{Direction, Proxy, RedisServer};
use gemini_webhooks_redis::RedisGuard;
use gemini_webhooks_redis::redis::{Client, aio::ConnectionManager};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::common::{App, until};

const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

async fn app(url: &str) -> App {
    App::new(RedisGuard::connect(url).await.unwrap())
}

async fn managed(url: &str) -> App {
    let client = Client::open(url).unwrap();
    App::new(RedisGuard::from(
        ConnectionManager::new(client).await.unwrap(),
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_stopped_and_started_again() {
    let server = RedisServer::start_with(&DURABLE);
    let app = app(&server.url()).await;
    assert_eq!(app.status("before").await, 200);
    server.stop();
    // The first may go over the connection before it is known to be gone.
    app.assert_unavailable("first", &[]).await;
    for number in 0..5 {
        let id = format!("while it is down {number}");
        let address = format!("127.0.0.1:{}", server.port());
        app.assert_unavailable(&id, &[&address, "Connection refused", "Is it running"])
            .await;
    }
    server.start_again();
    // No delivery pays for what others have found: this is the first.
    assert_eq!(app.status("while it is down 0").await, 200);
    for id in ["before", "while it is down 0", "while it is down 1"] {
        assert_eq!(app.status(id).await, 200);
        assert_eq!(app.runs(id), 1, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_while_nobody_asks() {
    let server = RedisServer::start_with(&DURABLE);
    let app = app(&server.url()).await;
    assert_eq!(app.status("a").await, 200);
    for number in 0..3 {
        server.stop();
        sleep(Duration::from_millis(500)).await;
        server.start_again();
        // The server has forgotten the scripts, too.
        let id = format!("after restart {number}");
        assert_eq!(app.status(&id).await, 200);
        assert_eq!(app.status("a").await, 200);
        assert_eq!((app.runs("a"), app.runs(&id)), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_managers_of_apps_recover_as_well() {
    let server = RedisServer::start_with(&DURABLE);
    let app = managed(&server.url()).await;
    assert_eq!(app.status("a").await, 200);
    server.kill();
    app.assert_unavailable("b", &["Redis does not answer"])
        .await;
    server.start_again();
    app.deliver_until_done("b").await;
    assert_eq!(app.status("a").await, 200);
    assert_eq!((app.runs("a"), app.runs("b")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_that_the_server_forgets() {
    let server = RedisServer::start();
    let app = app(&server.url()).await;
    app.work(|id| if id == "fails" { 500 } else { 200 });
    for _ in 0..2 {
        server.cli(&["SCRIPT", "FLUSH"]);
        assert_eq!(app.status("a").await, 200);
        assert_eq!(app.status("fails").await, 500);
    }
    assert_eq!((app.runs("a"), app.runs("fails")), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_writes_a_log_forgets_nothing() {
    let server = RedisServer::start_with(&DURABLE);
    let app = app(&server.url()).await;
    for _ in 0..3 {
        assert_eq!(app.status("a").await, 200);
        server.kill();
        server.start_again();
    }
    assert_eq!(app.status("a").await, 200);
    assert_eq!(app.runs("a"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_without_a_log_forgets_and_loses_none() {
    let server = RedisServer::start_with(&["--save", ""]);
    let app = app(&server.url()).await;
    let killer = std::sync::Arc::new(server);
    let killed = std::sync::Arc::clone(&killer);
    // One is being handled when the server dies.
    app.work(move |id| {
        if id == "b" {
            killed.kill();
            killed.start_again();
        }
        200
    });
    assert_eq!(app.status("a").await, 200);
    assert_eq!(app.status("b").await, 200);
    assert_eq!((app.runs("a"), app.runs("b")), (1, 1));
    assert_eq!(app.status("a").await, 200);
    assert_eq!(app.runs("a"), 2, "what was settled before is forgotten");
    app.work(|_| 200);
    until("the settle of b is tried again", async || {
        killer.cli(&["DBSIZE"]) == "2"
    })
    .await;
    assert_eq!(app.status("b").await, 200);
    assert_eq!(app.runs("b"), 1, "it was settled after the restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_server_makes_late_claims_that_are_given_up() {
    let server = RedisServer::start();
    let app = app(&server.url()).await;
    assert_eq!(app.status("warm").await, 200);
    server.pause();
    app.assert_unavailable("late", &["no answer"]).await;
    assert_eq!(app.runs("late"), 0);
    server.resume();
    // Not 409 until the lease of two minutes is over.
    let soon = timeout(Duration::from_secs(10), app.deliver_until_done("late"));
    soon.await.unwrap();
    assert_eq!(app.status("late").await, 200);
    assert_eq!(app.runs("late"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_deliveries_over_a_pause_and_a_crash() {
    let server = RedisServer::start_with(&DURABLE);
    let app = app(&server.url()).await;
    let mut senders = JoinSet::new();
    let calls = AtomicU64::new(0);
    app.work(move |_| {
        if calls.fetch_add(1, Relaxed).is_multiple_of(7) {
            500
        } else {
            200
        }
    });
    for sender in 0..16 {
        let app = app.clone();
        senders.spawn(async move {
            for number in 0..40 {
                app.deliver_until_done(&format!("{sender}/{number}")).await;
                sleep(Duration::from_millis(20)).await;
            }
        });
    }
    sleep(Duration::from_millis(200)).await;
    server.pause();
    sleep(Duration::from_secs(3)).await;
    server.resume();
    sleep(Duration::from_secs(1)).await;
    server.kill();
    sleep(Duration::from_secs(1)).await;
    server.start_again();
    senders.join_all().await;
    app.work(|_| panic!("it has been handled"));
    for id in ids() {
        assert_eq!(app.successes(&id), 1, "{id}");
        app.deliver_until_done(&id).await;
    }
}

fn ids() -> impl Iterator<Item = String> {
    (0..16).flat_map(|sender| (0..40).map(move |number| format!("{sender}/{number}")))
}

/// Each operation, its request lost or its answer, at once or after some bytes.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_at_each_operation() {
    let server = RedisServer::start();
    let proxy = std::sync::Arc::new(Proxy::start(server.port()));
    let url = proxy.through(&server.url());
    for connect in ["own", "managed"] {
        let app = if connect == "own" {
            app(&url).await
        } else {
            managed(&url).await
        };
        assert_eq!(app.status("warm").await, 200);
        for direction in [Direction::ToServer, Direction::ToClient] {
            for bytes in [0, 2] {
                let case = format!("{connect}, {direction:?}, {bytes}");
                let cut = |proxy: &Proxy| proxy.cut_at(direction, bytes);

                let id = format!("claim, {case}");
                let cuts = proxy.cuts();
                cut(&proxy);
                app.assert_unavailable(&id, &["does not answer", "The connection broke"])
                    .await;
                assert_eq!(proxy.cuts(), cuts + 1, "{case}");
                app.deliver_until_done(&id).await;
                assert_eq!(app.status(&id).await, 200);
                assert_eq!(app.runs(&id), 1, "{id}");

                for (status, operation) in [(200, "settle"), (500, "release")] {
                    let id = format!("{operation}, {case}");
                    let cutter = std::sync::Arc::clone(&proxy);
                    app.work(move |_| {
                        cutter.cut_at(direction, bytes);
                        status
                    });
                    let cuts = proxy.cuts();
                    assert_eq!(app.status(&id).await, status, "{id}");
                    app.work(|_| 200);
                    assert_eq!(proxy.cuts(), cuts + 1, "{id}");
                    // While the settle is tried again, a copy may be told to come later.
                    app.deliver_until_done(&id).await;
                    let runs = if operation == "settle" { 1 } else { 2 };
                    assert_eq!(app.runs(&id), runs, "{id}");
                }
            }
        }
    }
}
