//! What a backfill finds in the project's list, and what it leaves alone.

use std::time::Duration;

use gemini_webhooks::client::ClientErrorKind;
use gemini_webhooks::event::{JobId, JobKind};
use gemini_webhooks::testing::ManualClock;
use gemini_webhooks::testing::google::{BatchOutcome, Call, DeliveryFault, Fault, MockGoogle};
use gemini_webhooks::{Clock as _, SystemClock};
use gemini_webhooks_inbox::{
    Backfill, BackfillError, Backfilled, Expect, FoundJob, InboxErrorKind,
};
use serde_json::{Value, json};

use crate::home::Home;
use crate::on_both;
use crate::rig::{AT_ONCE, LATER, Rig, batch_request};

const HOUR: Duration = Duration::from_secs(60 * 60);

impl<H: Home> Rig<H> {
    fn backfill(&self) -> Backfill<H::DB> {
        let service = self.service.without_retries();
        self.inbox.backfill(&service).per_minute(10_000)
    }

    /// A batch that the inbox knows nothing of.
    async fn start_unknown_batch(&self) -> String {
        let batches = self.service.batches();
        let batch = batches.create("gemini-3", batch_request(), Some(&self.config));
        batch.await.unwrap().name().to_owned()
    }

    /// A batch that has ended, and of whose end nobody has told the inbox.
    async fn end_unknown_batch(&self, outcome: BatchOutcome) -> String {
        let name = self.start_unknown_batch().await;
        self.google.disturb(1, DeliveryFault::Lose);
        self.google.finish_batch(&name, outcome).await.unwrap();
        name
    }

    async fn stored(&self) -> u64 {
        self.inbox.entries().count().await.unwrap()
    }
}

/// Listed, running, too old, known, unusable and found.
fn counts(done: &Backfilled) -> [u64; 6] {
    let Backfilled {
        listed,
        running,
        too_old,
        known,
        unusable,
        found,
        ..
    } = *done;
    [listed, running, too_old, known, unusable, found]
}

fn job(name: &str) -> JobId {
    JobId::new(JobKind::Batch, name).unwrap()
}

/// Google's clock, which stands so far behind ours.
fn clock(behind: Duration) -> ManualClock {
    ManualClock::new(SystemClock.now() - behind)
}

async fn every_end_is_found_once(home: impl Home) {
    let rig = Rig::new(home).await;
    let mut expected = Vec::new();
    for (outcome, event) in [
        (BatchOutcome::Succeeded, "batch.succeeded"),
        (BatchOutcome::Failed, "batch.failed"),
        (BatchOutcome::Expired, "batch.expired"),
        (BatchOutcome::Cancelled, "batch.cancelled"),
    ] {
        let name = rig.end_unknown_batch(outcome).await;
        expected.push((job(&name), event));
    }
    rig.start_unknown_batch().await;
    let running = rig.start_unknown_batch().await;
    rig.google.begin_batch(&running).unwrap();

    let looked = rig.backfill().dry_run().await.unwrap();
    assert_eq!(counts(&looked), [6, 2, 0, 0, 0, 4]);
    assert_eq!((looked.looked_back, looked.is_capped), (24 * HOUR, false));
    assert_eq!(rig.stored().await, 0, "a dry run stores nothing");

    let done = rig.backfill().run().await.unwrap();
    assert_eq!(done, looked, "a dry run says what a run does");
    let mut found: Vec<FoundJob> = done.jobs.clone();
    assert!(found.iter().all(|found| found.ended_at.is_some()));
    found.sort_by(|one, other| one.job.cmp(&other.job));
    expected.sort();
    let found = found.iter().map(|found| (&found.job, &*found.event_type));
    assert!(found.eq(expected.iter().map(|(job, event)| (job, *event))));
    let entries = rig.inbox.entries().list().await.unwrap();
    for entry in &entries {
        let why = entry.history()[0].why();
        assert!(why.starts_with("found by a backfill, "), "{why}");
    }

    // What Google would have brought, with the same data.
    let seen = rig.work().await;
    assert_eq!(seen.len(), 4, "{seen:#?}");
    for delivery in rig.google.deliveries() {
        let body: Value = serde_json::from_slice(&delivery.body).unwrap();
        let line = format!("found {} {}", delivery.event_type, body["data"]);
        assert!(seen.contains(&line), "{line}: {seen:#?}");
    }
    for again in [rig.backfill().dry_run().await, rig.backfill().run().await] {
        assert_eq!(counts(&again.unwrap()), [6, 2, 0, 4, 0, 0]);
    }
}

async fn what_is_known_is_left_alone(home: impl Home) {
    let rig = Rig::new(home).await;
    let told = rig.start_batch(LATER).await;
    rig.google
        .finish_batch(&told, BatchOutcome::Succeeded)
        .await
        .unwrap();
    rig.google.disturb(1, DeliveryFault::Lose);
    let watched = rig.start_batch(AT_ONCE).await;
    rig.google
        .finish_batch(&watched, BatchOutcome::Failed)
        .await
        .unwrap();
    assert_eq!(rig.watcher().pass().await.unwrap().found, 1);
    let done = rig.backfill().run().await.unwrap();
    assert_eq!(counts(&done), [2, 0, 0, 2, 0, 0]);
    assert_eq!(rig.stored().await, 2);
}

async fn a_webhook_that_comes_after_the_backfill_is_a_copy(home: impl Home) {
    let rig = Rig::new(home).await;
    rig.google.disturb(1, DeliveryFault::Delay(HOUR));
    let name = rig.start_batch(LATER).await;
    rig.google
        .finish_batch(&name, BatchOutcome::Succeeded)
        .await
        .unwrap();
    assert_eq!(rig.backfill().run().await.unwrap().found, 1);
    rig.google.retry_now().await;
    assert!(rig.google.deliveries()[0].is_delivered);
    assert_eq!(rig.work().await.len(), 1);
    // The watcher takes it as answered.
    rig.make_overdue(LATER).await;
    assert_eq!(rig.watcher().pass().await.unwrap().asked, 0);
    assert_eq!(rig.inbox.awaited().await.unwrap().open, 0);
}

async fn what_the_app_wrote_down_goes_along(home: impl Home) {
    let rig = Rig::new(home).await;
    let name = rig.end_unknown_batch(BatchOutcome::Succeeded).await;
    let expect = Expect::within(LATER).metadata("order", 7);
    rig.inbox.expect(&job(&name), expect).await.unwrap();
    // As if the process had died before its name was written down.
    let expect = Expect::within(LATER).metadata("order", 8);
    let announced = rig.inbox.announce(JobKind::Batch, expect).await.unwrap();
    let mut request = batch_request();
    request["batch"]["displayName"] = format!("nightly ({})", announced.id()).into();
    let batches = rig.service.batches();
    let second = batches.create("gemini-3", request, None).await.unwrap();
    rig.google
        .finish_batch(second.name(), BatchOutcome::Failed)
        .await
        .unwrap();

    assert_eq!(rig.backfill().dry_run().await.unwrap().found, 2);
    assert_eq!(rig.inbox.awaited().await.unwrap().unnamed, 1);
    assert_eq!(rig.backfill().run().await.unwrap().found, 2);
    assert_eq!(rig.inbox.awaited().await.unwrap().unnamed, 0);
    for (name, order) in [(&*name, 7), (second.name(), 8)] {
        let id = format!("asked_{}", job(name));
        let entries = rig.inbox.entries().webhook_id(&id).list().await.unwrap();
        let metadata: Option<Value> = entries[0].event().user_metadata_as().unwrap();
        assert_eq!(metadata.unwrap()["order"], order);
    }
}

async fn what_ended_too_long_ago_is_left_alone(home: impl Home) {
    let clock = clock(30 * HOUR);
    let google = MockGoogle::builder().clock(clock.clone()).start().await;
    let rig = Rig::with(home, google.unwrap()).await;
    rig.end_unknown_batch(BatchOutcome::Succeeded).await;
    let later = rig.start_unknown_batch().await;
    clock.advance(10 * HOUR);
    rig.google.disturb(1, DeliveryFault::Lose);
    rig.google
        .finish_batch(&later, BatchOutcome::Succeeded)
        .await
        .unwrap();
    for (within, expected) in [
        (19 * HOUR, [2, 0, 2, 0, 0, 0]),
        (29 * HOUR, [2, 0, 1, 0, 0, 1]),
        (31 * HOUR, [2, 0, 0, 0, 0, 2]),
    ] {
        let backfill = rig.backfill().ended_within(within);
        assert_eq!(counts(&backfill.dry_run().await.unwrap()), expected);
    }
    let done = rig.backfill().run().await.unwrap();
    assert_eq!(counts(&done), [2, 0, 1, 0, 0, 1], "a day");
    assert_eq!(done.jobs[0].job, job(&later));
}

async fn it_looks_back_to_the_last_delivery(home: impl Home) {
    let clock = clock(Duration::ZERO);
    let google = MockGoogle::builder().clock(clock.clone()).start().await;
    let rig = Rig::with(home, google.unwrap()).await;
    let backfill = rig.backfill().since_last_event();
    let nothing = backfill.dry_run().await.unwrap();
    assert_eq!(nothing.looked_back, 24 * HOUR, "no event is there");

    let told = rig.start_batch(LATER).await;
    rig.google
        .finish_batch(&told, BatchOutcome::Succeeded)
        .await
        .unwrap();
    let age = async |time: Duration| {
        let statement = format!(
            "UPDATE gemini_webhooks_inbox SET received_at = received_at - {}",
            time.as_millis()
        );
        rig.home.execute(&statement).await;
    };
    age(30 * HOUR).await;
    clock.set(SystemClock.now() - 29 * HOUR);
    rig.end_unknown_batch(BatchOutcome::Succeeded).await;
    clock.set(SystemClock.now() - 31 * HOUR);
    rig.end_unknown_batch(BatchOutcome::Succeeded).await;
    let done = backfill.run().await.unwrap();
    assert_eq!(counts(&done), [3, 0, 1, 1, 0, 1]);
    let margin = Duration::from_secs(10 * 60);
    let looked_back = done.looked_back - 30 * HOUR;
    assert!((margin..2 * margin).contains(&looked_back), "{done:?}");
    assert!(!done.is_capped);
    // What was found is no delivery.
    let again = backfill.run().await.unwrap();
    assert_eq!(counts(&again), [3, 0, 1, 2, 0, 0]);

    age(14 * 24 * HOUR).await;
    let capped = backfill.dry_run().await.unwrap();
    assert!(capped.is_capped);
    assert_eq!(capped.looked_back, 7 * 24 * HOUR - HOUR);
}

async fn lists_of_any_form(home: impl Home) {
    let clock = clock(HOUR);
    let google = MockGoogle::builder().clock(clock.clone()).start().await;
    let rig = Rig::with(home, google.unwrap()).await;
    let batches = rig.service.batches();
    // A time as Google writes it.
    let now = async || {
        let started = batches.create("gemini-3", batch_request(), None);
        let time = started.await.unwrap().json()["metadata"]["createTime"].clone();
        time.as_str().unwrap().to_owned()
    };
    let lately = now().await;
    clock.set(SystemClock.now() - 48 * HOUR);
    let long_ago = now().await;
    let long_name = format!("batches/{}", "x".repeat(257));
    for (name, batch, expected) in [
        (
            "no end, created lately",
            json!({"name": "batches/1", "done": true, "metadata": {"createTime": lately}}),
            [1, 0, 0, 0, 0, 1],
        ),
        (
            "an end that is no time, created lately",
            json!({"name": "batches/2", "done": true, "metadata": {"createTime": lately, "endTime": "soon"}}),
            [1, 0, 0, 0, 0, 1],
        ),
        (
            "no end, created long ago",
            json!({"name": "batches/3", "done": true, "metadata": {"createTime": long_ago}}),
            [1, 0, 1, 0, 0, 0],
        ),
        (
            "no time at all",
            json!({"name": "batches/4", "done": true}),
            [1, 0, 1, 0, 0, 0],
        ),
        (
            "ended lately, created long ago",
            json!({"name": "batches/5", "metadata": {"state": "BATCH_STATE_SUCCEEDED", "createTime": long_ago, "endTime": lately}}),
            [1, 0, 0, 0, 0, 1],
        ),
        (
            "created long ago, and running",
            json!({"name": "batches/6", "metadata": {"state": "BATCH_STATE_RUNNING", "createTime": long_ago}}),
            [1, 1, 0, 0, 0, 0],
        ),
        (
            "a state of a later version",
            json!({"name": "batches/7", "metadata": {"state": "BATCH_STATE_PAUSED", "createTime": lately}}),
            [1, 1, 0, 0, 0, 0],
        ),
        (
            "a name that cannot be remembered",
            json!({"name": long_name, "done": true, "metadata": {"endTime": lately}}),
            [1, 0, 0, 0, 1, 0],
        ),
    ] {
        let list = json!({ "operations": [batch] }).to_string();
        let answer = Fault::Body(200, list);
        rig.google.fail(Call::BatchesList, 2, answer);
        let looked = rig.backfill().dry_run().await.unwrap();
        assert_eq!(counts(&looked), expected, "{name}");
        assert_eq!(rig.backfill().run().await.unwrap(), looked, "{name}");
    }
    assert_eq!(rig.stored().await, 3);
    rig.google
        .fail(Call::BatchesList, 1, Fault::Body(200, "{}".to_owned()));
    let empty = rig.backfill().run().await.unwrap();
    assert_eq!(counts(&empty), [0; 6]);
}

async fn all_pages_are_gone_through(home: impl Home) {
    let rig = Rig::new(home).await;
    for _ in 0..101 {
        rig.end_unknown_batch(BatchOutcome::Succeeded).await;
    }
    // The second page does not come.
    let page = json!({ "nextPageToken": "x" }).to_string();
    rig.google
        .fail(Call::BatchesList, 1, Fault::Body(200, page));
    for fault in [
        Fault::Status(503),
        Fault::RetryAfter(429, "1".to_owned()),
        Fault::CloseBefore,
    ] {
        rig.google.fail(Call::BatchesList, 1, fault);
    }
    for kind in [
        ClientErrorKind::Server,
        ClientErrorKind::RateLimited,
        ClientErrorKind::Transport,
    ] {
        let error = rig.backfill().run().await.unwrap_err();
        assert_eq!(error.client_error().unwrap().kind(), kind);
        assert!(error.inbox_error().is_none());
        assert_eq!(counts(error.so_far()), [0; 6]);
        let text = error.to_string();
        assert!(
            text.starts_with("the backfill has looked at no batch: "),
            "{text}"
        );
        assert!(text.contains("batches.list failed"), "{text}");
    }

    // It waits for the quota between two pages, and may be dropped there.
    let slow = rig.backfill().per_minute(1);
    let slow = tokio::spawn(async move { slow.run().await });
    let until = async |stored: u64| {
        for _ in 0..3_000 {
            if rig.stored().await >= stored {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("still {}", rig.stored().await);
    };
    until(100).await;
    for _ in 0..20 {
        assert_eq!(rig.stored().await, 100);
    }
    assert!(!slow.is_finished());
    slow.abort();
    assert!(slow.await.unwrap_err().is_cancelled());
    let before = rig.asked("/v1/batches");
    let done = rig.backfill().run().await.unwrap();
    assert_eq!(rig.asked("/v1/batches") - before, 2);
    assert_eq!(counts(&done), [101, 0, 0, 100, 0, 1]);
    assert_eq!(rig.work().await.len(), 101);
}

async fn what_was_stored_before_an_error_stays(home: impl Home) {
    let rig = Rig::new(home).await;
    let lately = rig.end_unknown_batch(BatchOutcome::Succeeded).await;
    let batch = rig.service.batches().get(&lately).await.unwrap();
    let page = json!({ "operations": [batch.json()], "nextPageToken": "x" }).to_string();
    let list = Call::BatchesList;
    rig.google.fail(list, 1, Fault::Body(200, page));
    rig.google.fail(list, 1, Fault::Status(500));
    let error = rig.backfill().run().await.unwrap_err();
    assert_eq!(counts(error.so_far()), [1, 0, 0, 0, 0, 1]);
    let text = error.to_string();
    assert!(
        text.contains("looked at: 1, found: 1); run it again"),
        "{text}"
    );
    assert_eq!(rig.stored().await, 1);

    // The service retries, unless it is told not to.
    rig.google.fail(list, 1, Fault::Status(500));
    let done = rig.inbox.backfill(&rig.service).run().await.unwrap();
    assert_eq!(counts(&done), [1, 0, 0, 1, 0, 0]);
}

async fn a_full_inbox_ends_it(home: impl Home) {
    let rig = Rig::new(home).await;
    for _ in 0..2 {
        rig.end_unknown_batch(BatchOutcome::Succeeded).await;
    }
    let small = rig.home.open().max_waiting(1).await.unwrap();
    let full = |error: BackfillError| {
        assert_eq!(error.inbox_error().unwrap().kind(), InboxErrorKind::Full);
        error.so_far().found
    };
    let error = small.backfill(&rig.service).run().await.unwrap_err();
    assert_eq!(full(error), 1);
    let looked = small.backfill(&rig.service).dry_run().await.unwrap();
    assert_eq!(counts(&looked), [2, 0, 0, 1, 0, 1], "it needs no room");
    assert_eq!(rig.work().await.len(), 1);
    let done = rig.backfill().run().await.unwrap();
    assert_eq!(counts(&done), [2, 0, 0, 1, 0, 1]);
    assert_eq!(rig.work().await.len(), 1);
}

async fn a_wrong_setting_is_named(home: impl Home) {
    let rig = Rig::new(home).await;
    let day = 24 * HOUR;
    let forgetful = rig.home.open().keep_dead(25 * HOUR).await.unwrap();
    let forgetful = |within| forgetful.backfill(&rig.service).ended_within(within);
    for (backfill, part) in [
        (rig.backfill().per_minute(0), "per_minute is 0"),
        (rig.backfill().ended_within(AT_ONCE), "ended_within is 0"),
        (
            rig.backfill().ended_within(7 * day),
            "would look back for 168 hours, and the inbox remembers events for 168 hours",
        ),
        (
            rig.backfill().ended_within(Duration::MAX),
            "for 167 hours at most",
        ),
        (
            forgetful(day + Duration::from_secs(360)),
            "look back for 24.1 hours",
        ),
    ] {
        for tried in [backfill.dry_run().await, backfill.run().await] {
            let error = tried.unwrap_err();
            let kind = error.inbox_error().unwrap().kind();
            assert_eq!(kind, InboxErrorKind::Invalid, "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }
    assert!(rig.google.requests().is_empty());
    for backfill in [rig.backfill().ended_within(167 * HOUR), forgetful(day)] {
        backfill.run().await.unwrap();
    }
}

on_both! {
    every_end_is_found_once
    what_is_known_is_left_alone
    a_webhook_that_comes_after_the_backfill_is_a_copy
    what_the_app_wrote_down_goes_along
    what_ended_too_long_ago_is_left_alone
    it_looks_back_to_the_last_delivery
    lists_of_any_form
    all_pages_are_gone_through
    what_was_stored_before_an_error_stays
    a_full_inbox_ends_it
    a_wrong_setting_is_named
}
