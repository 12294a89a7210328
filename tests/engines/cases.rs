//! What the page says of its app, of its worker and of the server.

use std::process::Command;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, RetentionPolicy};
use futures_util::TryStreamExt as _;
use gemini_webhooks::jwks::KeySet;
use gemini_webhooks::testing::{self, Rs256Signer};
use gemini_webhooks_harness::NatsServer;
use tokio::time::timeout;

use crate::app::{App, EVENT, Run, Worker, now, signed};

const OTHER: &str = r#"{"type":"video.generated"}"#;

#[tokio::test]
async fn an_event_is_stored_and_worked_on_once() {
    let app = App::start().await;
    let mut worker = app.worker(10).await;
    for (headers, body, status) in [
        (String::new(), EVENT, 400),
        (signed("msg_1", 0, OTHER), EVENT, 400),
        (signed("msg_1", 0, EVENT), EVENT, 200),
        (signed("msg_1", 1, EVENT), EVENT, 200),
    ] {
        assert_eq!(app.post(&headers, body).await, status, "{headers}");
    }
    assert_eq!(app.stored().await, 1);
    worker.next(Run::Succeeds).await.unwrap();
    assert_eq!(worker.runs(), [EVENT]);
    assert_eq!(worker.left().await, (0, 0));
    assert_eq!(app.copy("msg_1", EVENT).await, 200);
    assert_eq!(worker.left().await, (0, 0));
    assert_eq!(app.stored().await, 1);
}

#[tokio::test]
async fn a_copy_is_recognised_after_a_restart() {
    type End = fn(&NatsServer);
    let ends: [(End, usize); 2] = [
        (NatsServer::stop, 0),
        // The server writes the end of the work a moment after it has confirmed it. If it is killed in
        // between, it hands the event out again.
        (NatsServer::kill, 1),
    ];
    for (end, again) in ends {
        let app = App::start().await;
        let mut worker = app.worker(10).await;
        assert_eq!(app.deliver("msg_1", EVENT).await, 200);
        worker.next(Run::Succeeds).await.unwrap();
        assert_eq!(worker.runs(), [EVENT]);

        end(&app.server);
        app.server.start_again();
        app.retry("msg_1", EVENT).await;
        assert_eq!(app.stored().await, 1);
        assert_eq!(app.deliver("msg_2", OTHER).await, 200);
        assert_eq!(app.stored().await, 2);
        worker.next(Run::Succeeds).await.unwrap();
        assert_eq!(worker.runs(), [OTHER]);
        let (waiting, taken) = worker.left().await;
        assert_eq!(waiting, 0);
        assert!(taken <= again, "{taken}");
    }
}

#[tokio::test]
async fn what_is_not_confirmed_is_503() {
    let app = App::start().await;
    app.server.kill();
    assert_eq!(app.deliver("msg_1", EVENT).await, 503);
    app.server.start_again();
    app.retry("msg_1", EVENT).await;
    assert_eq!(app.stored().await, 1);

    // It gets the message, and answers too late. The retry is a copy.
    app.server.pause();
    assert_eq!(app.deliver("msg_2", OTHER).await, 503);
    app.server.resume();
    app.retry("msg_2", OTHER).await;
    assert_eq!(app.stored().await, 2);

    let mut worker = app.worker(10).await;
    worker.next(Run::Succeeds).await.unwrap();
    worker.next(Run::Succeeds).await.unwrap();
    assert_eq!(worker.runs(), [EVENT, OTHER]);
    assert_eq!(worker.left().await, (0, 0));
}

#[tokio::test]
async fn a_failure_is_tried_again_and_becomes_a_dead_letter() {
    let app = App::start().await;
    let mut worker = app.worker(2).await;
    assert_eq!(app.deliver("msg_1", EVENT).await, 200);
    worker.next(Run::Fails).await.unwrap();
    assert_eq!(worker.left().await, (0, 1));
    // What failed does not hold up what came after it.
    assert_eq!(app.deliver("msg_2", OTHER).await, 200);
    worker.next(Run::Succeeds).await.unwrap();
    assert_eq!(worker.runs(), [EVENT, OTHER]);

    worker.next(Run::Panics).await.unwrap();
    assert_eq!(worker.runs(), [EVENT]);
    assert_eq!(app.dead().await, None);
    worker.next(Run::Succeeds).await.unwrap();
    assert_eq!(worker.runs(), Vec::<String>::new());
    let dead = ("dead v1 msg_1".to_owned(), EVENT.to_owned());
    assert_eq!(app.dead().await, Some(dead));
    assert_eq!(worker.left().await, (0, 0));
    // Its copies are still recognised.
    assert_eq!(app.copy("msg_1", EVENT).await, 200);
    assert_eq!(worker.left().await, (0, 0));

    // So it is tried again under an id of its own.
    assert!(app.publish(Some("v1 msg_1"), EVENT).await);
    assert!(!app.publish(Some("again v1 msg_1"), EVENT).await);
    worker.next(Run::Succeeds).await.unwrap();
    assert_eq!(worker.runs(), [EVENT]);
    assert_eq!(worker.left().await, (0, 0));
}

#[tokio::test]
async fn a_message_without_an_id_is_given_up() {
    let app = App::start().await;
    assert!(!app.publish(None, OTHER).await);
    assert_eq!(app.deliver("msg_1", EVENT).await, 200);
    let mut worker = app.worker(10).await;
    assert_eq!(worker.until_done().await, [EVENT]);
    assert_eq!(app.dead().await, None);
}

#[tokio::test]
async fn an_id_may_have_any_text() {
    let google = Rs256Signer::generate("google").unwrap();
    let keys = testing::key_set([google.jwk()]);
    let keys = KeySet::from_json(keys.as_bytes()).unwrap();
    let app = App::receiving(|receiver| {
        receiver
            .jwks(keys)
            .allow_any_google_project()
            .accept_jwt("my-app")
    })
    .await;
    let claims = testing::claims(EVENT, "my-app", now()).unwrap();
    // The second would be like the first if nothing but the line break was escaped.
    for (stored, id) in [(1, r"a\r\n\u0000é"), (2, r"a\\r\\n\\u{0}é")] {
        let claims = claims.replacen('{', &format!(r#"{{"jti":"{id}","#), 1);
        for copy in ["msg_1", "msg_2"] {
            let headers = google.sign(copy, now(), &claims);
            let headers = headers.map(|(name, value)| format!("{name}: {value}\r\n"));
            assert_eq!(app.post(&headers.concat(), "").await, 200, "{id}");
            assert_eq!(app.stored().await, stored, "{id}");
        }
    }
    let worker = app.worker(0).await;
    worker.next(Run::Succeeds).await.unwrap();
    let (id, _) = app.dead().await.unwrap();
    assert_eq!(id, r"dead jwt jti:a\r\n\u{0}\u{e9}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_kills_its_worker_becomes_a_dead_letter() {
    let app = App::start().await;
    let mut worker = app.worker(2).await;
    worker.give_up_soon(&app.jetstream).await;
    assert_eq!(app.deliver("msg_1", EVENT).await, 200);
    for _ in 0..2 {
        let died = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "cases::a_worker_that_dies",
                "--ignored",
                "--nocapture",
            ])
            .env(SERVER, app.server.url())
            .output()
            .unwrap();
        // Neither is there an exit code after a signal.
        assert_eq!(died.status.code(), None, "{died:?}");
    }
    worker.next(Run::Succeeds).await.unwrap();
    assert_eq!(worker.runs(), Vec::<String>::new());
    let dead = ("dead v1 msg_1".to_owned(), EVENT.to_owned());
    assert_eq!(app.dead().await, Some(dead));
    assert_eq!(worker.left().await, (0, 0));
}

const SERVER: &str = "ENGINES_TEST_SERVER";

#[tokio::test]
#[ignore = "the process that another test starts"]
async fn a_worker_that_dies() {
    let server = std::env::var(SERVER).unwrap();
    let worker = Worker::connect(&server, 2).await;
    worker.die().await.unwrap();
    panic!("there was no event");
}

#[tokio::test]
async fn a_full_stream_refuses_new_events_and_keeps_the_old() {
    let app = App::start().await;
    app.limit(2).await;
    for (id, body, status) in [
        ("msg_1", EVENT, 200),
        ("msg_2", OTHER, 200),
        ("msg_3", EVENT, 503),
        // A copy needs no room.
        ("msg_1", EVENT, 200),
    ] {
        assert_eq!(app.deliver(id, body).await, status, "{id}");
    }
    let mut worker = app.worker(10).await;
    worker.next(Run::Succeeds).await.unwrap();
    worker.next(Run::Succeeds).await.unwrap();
    assert_eq!(worker.runs(), [EVENT, OTHER]);
    assert_eq!(worker.left().await, (0, 0));
    // What is done takes its room until it is too old.
    assert_eq!(app.deliver("msg_3", EVENT).await, 503);
    app.limit(3).await;
    assert_eq!(app.deliver("msg_3", EVENT).await, 200);
    // It has no room for dead letters either, and need not have.
    app.worker(0).await.next(Run::Succeeds).await.unwrap();
    let dead = ("dead v1 msg_3".to_owned(), EVENT.to_owned());
    assert_eq!(app.dead().await, Some(dead));
    assert_eq!(worker.left().await, (0, 0));
}

/// Why the documented stream keeps what is done.
#[tokio::test]
async fn a_work_queue_forgets_what_is_done_when_the_server_restarts() {
    let server = NatsServer::start();
    let client = async_nats::connect(server.url()).await.unwrap();
    let jetstream = jetstream::new(client);
    let stream = Config {
        name: "QUEUE".to_owned(),
        retention: RetentionPolicy::WorkQueue,
        duplicate_window: Duration::from_secs(25 * 3600),
        ..Config::default()
    };
    let stream = jetstream.create_stream(stream).await.unwrap();
    assert!(!is_copy(&jetstream).await);
    let worker = stream
        .create_consumer(pull::Config::default())
        .await
        .unwrap();
    let mut messages = worker.messages().await.unwrap();
    let message = messages.try_next().await.unwrap().unwrap();
    message.double_ack().await.unwrap();
    assert!(is_copy(&jetstream).await);

    server.kill();
    server.start_again();
    let client = async_nats::connect(server.url()).await.unwrap();
    assert!(!is_copy(&jetstream::new(client)).await);
}

async fn is_copy(jetstream: &jetstream::Context) -> bool {
    let message = PublishMessage::build().message_id("v1 msg_1");
    let sent = jetstream.send_publish("QUEUE", message).await.unwrap();
    sent.await.unwrap().duplicate
}

/// Why the documented worker counts by itself.
#[tokio::test]
async fn beyond_max_deliver_there_is_an_advisory_and_nothing_else() {
    let app = App::start().await;
    assert_eq!(app.deliver("msg_1", EVENT).await, 200);
    let advisories = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.GEMINI.limited";
    let mut advisories = app.jetstream.client().subscribe(advisories).await.unwrap();
    let limited = pull::Config {
        durable_name: Some("limited".to_owned()),
        max_deliver: 1,
        ack_wait: Duration::from_secs(1),
        ..pull::Config::default()
    };
    let stream = app.jetstream.get_stream("GEMINI").await.unwrap();
    let mut limited = stream.create_consumer(limited).await.unwrap();
    let mut messages = limited.messages().await.unwrap();
    messages.try_next().await.unwrap().unwrap();
    let advisory = futures_util::StreamExt::next(&mut advisories);
    let advisory = timeout(Duration::from_secs(20), advisory).await.unwrap();
    let advisory = String::from_utf8(advisory.unwrap().payload.to_vec()).unwrap();
    assert!(advisory.contains(r#""stream_seq":1"#), "{advisory}");
    // The consumer counts it neither as waiting nor as taken.
    let info = limited.info().await.unwrap();
    assert_eq!((info.num_pending, info.num_ack_pending), (0, 0));
    assert_eq!(app.stored().await, 1);
}
