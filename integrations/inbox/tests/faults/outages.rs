//! A server that is stopped, paused or killed, or does not answer on some connections.

use std::time::Duration;

use gemini_webhooks_harness::PostgresServer;
use gemini_webhooks_inbox::sqlx::{Connection as _, query_scalar, raw_sql};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::rig::{Rig, TIMEOUT, Watched, assert_refused, until_stored};

/// As short as the tests can afford.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// An event is stored before, one runs meanwhile and ends without a database, and many arrive.
async fn outage(fail: impl FnOnce(&PostgresServer), mend: impl FnOnce(&PostgresServer)) {
    let rig = Rig::direct().await;
    let worker = Watched::start(&rig.inbox, |worker| worker);
    until_stored(&rig.inbox, "before").await;
    until_stored(&rig.inbox, "held").await;
    worker.until_begun("held").await;

    fail(&rig.server);
    worker.let_end(1);
    for number in 0..3 {
        assert_refused(&rig.inbox, &format!("alone_{number}"), TIMEOUT).await;
    }
    let mut together = JoinSet::new();
    for number in 0..20 {
        let inbox = rig.inbox.clone();
        together.spawn(async move {
            assert_refused(&inbox, &format!("together_{number}"), TIMEOUT).await;
        });
    }
    while let Some(refused) = together.join_next().await {
        refused.unwrap();
    }
    worker.assert_running();
    mend(&rig.server);

    let numbers = (0..3).map(|number| format!("alone_{number}"));
    let ids = numbers.chain((0..20).map(|number| format!("together_{number}")));
    let ids: Vec<_> = ids.chain(["before".into(), "held".into()]).collect();
    for id in &ids {
        until_stored(&rig.inbox, id).await;
    }
    rig.until_done().await;
    for id in &ids {
        assert_eq!(rig.stored(id).await, 1, "{id}");
        assert_eq!(worker.runs(id), 1, "{id}");
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped() {
    outage(PostgresServer::stop, PostgresServer::start_again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed() {
    outage(PostgresServer::kill, PostgresServer::start_again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paused() {
    outage(PostgresServer::pause, PostgresServer::resume).await;
}

/// Deliveries come all the time, and each is sent until it is answered 200.
#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again() {
    let rig = Rig::direct().await;
    let worker = Watched::start(&rig.inbox, |worker| worker);
    let mut senders = JoinSet::new();
    for sender in 0..4 {
        let inbox = rig.inbox.clone();
        senders.spawn(async move {
            for number in 0..40 {
                until_stored(&inbox, &format!("msg_{sender}_{number}")).await;
                sleep(Duration::from_millis(20)).await;
            }
        });
    }
    for _ in 0..3 {
        sleep(Duration::from_millis(400)).await;
        rig.server.kill();
        rig.server.start_again();
    }
    while let Some(done) = senders.join_next().await {
        done.unwrap();
    }
    rig.until_done().await;
    let table = "SELECT count(*) FROM gemini_webhooks_inbox";
    assert_eq!(rig.number(table).await, 160);
    let mut seen = worker.seen.all();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 160);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn longer_than_the_heartbeat() {
    let rig = Rig::direct().await;
    let worker = Watched::start(&rig.inbox, |worker| worker.heartbeat(HEARTBEAT));
    until_stored(&rig.inbox, "held").await;
    worker.until_begun("held").await;
    rig.server.stop();
    sleep(HEARTBEAT * 3).await;
    rig.server.start_again();
    runs_it_once(&rig, worker).await;
}

/// The rest of the database goes on meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn signs_of_life_that_fail() {
    let rig = Rig::direct().await;
    let mut connection = rig.connection().await;
    let failing = "
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN RAISE EXCEPTION ''no sign of life''; END';
        CREATE TRIGGER fail BEFORE UPDATE ON gemini_webhooks_inbox
            FOR EACH ROW WHEN (new.state = old.state AND new.runs = old.runs) EXECUTE FUNCTION fail();";
    raw_sql(failing).execute(&mut connection).await.unwrap();
    let worker = Watched::start(&rig.inbox, |worker| worker.heartbeat(HEARTBEAT));
    until_stored(&rig.inbox, "held").await;
    worker.until_begun("held").await;
    sleep(HEARTBEAT * 3).await;
    runs_it_once(&rig, worker).await;
}

/// A worker does not take an event that it still runs, though its hold has ended.
async fn runs_it_once(rig: &Rig, worker: Watched) {
    until_stored(&rig.inbox, "after").await;
    worker.until_begun("after").await;
    assert_eq!(worker.runs("held"), 1);
    worker.let_end(1);
    rig.until_done().await;
    assert_eq!(worker.runs("held"), 1);
    worker.stop().await;
}

/// As with a partner that is gone without a word: what is open gets no answer, and what is new does.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_hang() {
    let rig = Rig::direct().await;
    let worker = Watched::start(&rig.inbox, |worker| worker);
    let mut first = JoinSet::new();
    for number in 0..20 {
        let inbox = rig.inbox.clone();
        first.spawn(async move { until_stored(&inbox, &format!("before_{number}")).await });
    }
    while let Some(stored) = first.join_next().await {
        stored.unwrap();
    }
    rig.until_done().await;

    let stopped = Stopped::all_of(&rig).await;
    assert_refused(&rig.inbox, "during", TIMEOUT).await;
    until_stored(&rig.inbox, "during").await;
    worker.until_begun("during").await;
    rig.until_done().await;
    assert_eq!(rig.stored("during").await, 1);
    drop(stopped);
    worker.stop().await;
}

/// Processes of the server that stand still, each with a connection, until this is dropped.
struct Stopped(Vec<String>);

impl Stopped {
    async fn all_of(rig: &Rig) -> Self {
        let mut connection = rig.connection().await;
        let ids: Vec<i32> = query_scalar(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap();
        connection.close().await.unwrap();
        assert!(!ids.is_empty());
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        signal("-STOP", &ids);
        Self(ids)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal("-CONT", &self.0);
    }
}

fn signal(signal: &str, ids: &[String]) {
    let sent = std::process::Command::new("kill")
        .arg(signal)
        .args(ids)
        .status();
    assert!(sent.unwrap().success());
}
