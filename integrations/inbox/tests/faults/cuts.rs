//! A connection that is cut in the middle of a statement.

use std::time::Duration;

use gemini_webhooks_harness::Direction::{self, ToClient, ToServer};
use gemini_webhooks_inbox::sqlx::postgres::PgConnection;
use gemini_webhooks_inbox::sqlx::raw_sql;
use gemini_webhooks_inbox::{Change, What};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::app::{BATCH, deliver};
use crate::rig::{Rig, SOON, UNAVAILABLE, Watched, until_stored};

/// Before the first byte, and after some.
const CUTS: [(Direction, u64); 9] = [
    (ToServer, 0),
    (ToServer, 1),
    (ToServer, 40),
    (ToServer, 300),
    (ToClient, 0),
    (ToClient, 3),
    (ToClient, 12),
    (ToClient, 25),
    (ToClient, 45),
];

/// So long a count of what waits is used.
const COUNTED: Duration = Duration::from_millis(1050);

/// Whether the event was stored or not: the answer 200 is given for no other, and the retry makes one of it.
#[tokio::test(flavor = "multi_thread")]
async fn at_the_put() {
    let rig = Rig::through_proxy().await;
    let (mut refused, mut stored_though_refused) = (0, 0);
    for counts_first in [false, true] {
        for (direction, bytes) in CUTS {
            let id = format!("msg_{counts_first}_{direction:?}_{bytes}");
            if !counts_first {
                sleep(COUNTED).await;
            }
            // Counts what waits, and prepares the statement on this connection.
            until_stored(&rig.inbox, &format!("before_{id}")).await;
            if counts_first {
                sleep(COUNTED).await;
            }
            rig.quiet().await;
            let cuts = rig.proxy.cuts();
            rig.proxy.cut_at(direction, bytes);
            let (status, body) = deliver(&rig.inbox, &id, BATCH).await;
            assert_eq!(rig.proxy.cuts(), cuts + 1, "{id}");
            let stored = rig.stored(&id).await;
            if status == 200 {
                assert_eq!(stored, 1, "{id} is answered 200");
            } else {
                assert_eq!((status, &*body), UNAVAILABLE, "{id}");
                refused += 1;
                stored_though_refused += stored;
            }
            until_stored(&rig.inbox, &id).await;
            assert_eq!(rig.stored(&id).await, 1, "{id}");
        }
    }
    assert!(refused > 0, "no cut has met a statement");
    assert!(stored_though_refused > 0, "no cut has met an answer");
}

/// The database has given the event to this worker, which does not know.
#[tokio::test(flavor = "multi_thread")]
async fn the_answer_of_a_take_is_lost() {
    let rig = Rig::through_proxy().await;
    let mut pause = Pause::of(&rig).await;
    until_stored(&rig.inbox, "msg_1").await;
    let heartbeat = Duration::from_secs(1);
    let worker = Watched::start(&rig.inbox, |worker| worker.heartbeat(heartbeat));
    pause.until_reached(&rig).await;
    rig.proxy.hold_only(ToClient);
    pause.end().await;
    until(
        &rig,
        "SELECT count(*) FROM gemini_webhooks_inbox WHERE state = 1",
    )
    .await;
    rig.proxy.cut();

    rig.until_done().await;
    assert_eq!(worker.seen.all(), ["msg_1"]);
    let entries = rig.inbox.entries().list().await.unwrap();
    let history: Vec<_> = entries[0].history().iter().map(Change::what).collect();
    use What::{Begun, Done, GivenBack, Stored};
    assert_eq!(history, [Stored, Begun, GivenBack, Begun, Done]);
    assert_eq!(entries[0].attempts(), 1, "the first was not begun");
    worker.stop().await;
}

/// The end of a run is written down, and the worker does not know.
#[tokio::test(flavor = "multi_thread")]
async fn the_answer_of_an_end_is_lost() {
    let rig = Rig::through_proxy().await;
    let worker = Watched::start(&rig.inbox, |worker| worker);
    until_stored(&rig.inbox, "held").await;
    worker.until_begun("held").await;
    let mut pause = Pause::of(&rig).await;
    worker.let_end(1);
    pause.until_reached(&rig).await;
    rig.proxy.hold_only(ToClient);
    pause.end().await;
    rig.until_done().await;
    rig.proxy.cut();
    until_stored(&rig.inbox, "after").await;
    rig.until_done().await;
    assert_eq!(worker.seen.all(), ["held", "after"]);
    worker.stop().await;
}

/// What changes the state of an event waits in the middle of its statement, until this ends.
struct Pause(PgConnection);

impl Pause {
    async fn of(rig: &Rig) -> Self {
        let mut connection = rig.connection().await;
        let statements = "
            CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN new; END';
            CREATE TRIGGER pause BEFORE UPDATE ON gemini_webhooks_inbox
                FOR EACH ROW WHEN (new.state <> old.state) EXECUTE FUNCTION pause();
            SELECT pg_advisory_lock(1);";
        raw_sql(statements).execute(&mut connection).await.unwrap();
        Self(connection)
    }

    async fn until_reached(&self, rig: &Rig) {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'";
        until(rig, waiting).await;
    }

    async fn end(&mut self) {
        let unlock = raw_sql("SELECT pg_advisory_unlock(1)");
        unlock.execute(&mut self.0).await.unwrap();
    }
}

/// Each event is sent until it is answered 200, and each is worked off.
#[tokio::test(flavor = "multi_thread")]
async fn all_the_time() {
    let rig = Rig::through_proxy().await;
    let heartbeat = Duration::from_secs(2);
    let worker = Watched::start(&rig.inbox, |worker| worker.heartbeat(heartbeat));
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
    for number in 0..40_u64 {
        sleep(Duration::from_millis(40)).await;
        let direction = match number % 2 {
            0 => ToServer,
            _ => ToClient,
        };
        rig.proxy.cut_at(direction, number * 13 % 200);
    }
    while let Some(done) = senders.join_next().await {
        done.unwrap();
    }
    assert!(rig.proxy.cuts() > 10, "{} cuts", rig.proxy.cuts());
    rig.until_done().await;
    let table = "SELECT count(*) FROM gemini_webhooks_inbox";
    assert_eq!(rig.number(table).await, 160);
    let mut seen = worker.seen.all();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 160);
    worker.stop().await;
}

async fn until(rig: &Rig, count: &str) {
    let there = async {
        while rig.number(count).await == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, there)
        .await
        .unwrap_or_else(|_| panic!("still none: {count}"));
}
