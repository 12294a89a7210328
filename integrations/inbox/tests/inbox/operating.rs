//! Looking at the inbox, what is discarded, and what is removed of it.

use std::collections::HashSet;
use std::future::pending;
use std::time::Duration;

use gemini_webhooks::GeminiEvent;
use gemini_webhooks_inbox::{Change, Entry, State, Stored, What, Work};

use crate::app::{BATCH, Seen, VIDEO, deliver, is_empty, until, verified};
use crate::home::Home;
use crate::on_both;

on_both! {
    events_are_found
    the_newest_first
    only_what_has_ended_is_tried_again
    what_is_discarded_is_over_and_remembered
    beside_a_worker_an_event_is_worked_off_or_discarded
    what_is_old_is_removed
    the_age_of_the_oldest
}

async fn events_are_found(home: impl Home) {
    let inbox = home.open().await.unwrap();
    for number in 0..5 {
        deliver(&inbox, &format!("msg_{number}"), BATCH).await;
    }
    deliver(&inbox, "msg_video", VIDEO).await;
    let all = inbox.entries();
    assert_eq!(all.clone().count().await.unwrap(), 6);
    assert_eq!(
        all.clone()
            .event_type("batch.succeeded")
            .count()
            .await
            .unwrap(),
        5
    );
    assert_eq!(all.clone().state(State::Dead).count().await.unwrap(), 0);
    let first = all.clone().limit(2).list().await.unwrap();
    let last = first.last().unwrap().number();
    let then = all.clone().after(last).limit(2).list().await.unwrap();
    let ids: Vec<_> = first.iter().chain(&then).map(Entry::webhook_id).collect();
    assert_eq!(ids, ["msg_0", "msg_1", "msg_2", "msg_3"]);
    let one = all.number(last).list().await.unwrap();
    assert_eq!(one[0].webhook_id(), "msg_1");
}

async fn the_newest_first(home: impl Home) {
    let inbox = home.open().await.unwrap();
    for number in 0..5 {
        deliver(&inbox, &format!("msg_{number}"), BATCH).await;
    }
    let all = inbox.entries();
    let first = all.clone().limit(2).list_newest().await.unwrap();
    let last = first.last().unwrap().number();
    let then = all
        .clone()
        .before(last)
        .limit(2)
        .list_newest()
        .await
        .unwrap();
    let ids: Vec<_> = first.iter().chain(&then).map(Entry::webhook_id).collect();
    assert_eq!(ids, ["msg_4", "msg_3", "msg_2", "msg_1"]);
    let oldest = then.last().unwrap().number();
    let between = all.after(oldest).before(last);
    assert_eq!(between.clone().count().await.unwrap(), 1);
    assert_eq!(between.list().await.unwrap()[0].webhook_id(), "msg_2");
}

async fn only_what_has_ended_is_tried_again(home: impl Home) {
    let inbox = home.open().await.unwrap();
    for id in ["waits", "runs", "done", "dead"] {
        deliver(&inbox, id, BATCH).await;
    }
    for (state, id) in [(1, "runs"), (2, "done"), (3, "dead")] {
        let set = format!(
            "UPDATE gemini_webhooks_inbox SET state = {state}, attempts = 20 WHERE webhook_id = '{id}'"
        );
        home.execute(&set).await;
    }
    assert_eq!(
        inbox
            .entries()
            .webhook_id("waits")
            .retry("?")
            .await
            .unwrap(),
        0
    );
    assert_eq!(inbox.entries().retry("all of them").await.unwrap(), 2);
    let depth = inbox.depth().await.unwrap();
    assert_eq!((depth.waiting, depth.running, depth.dead), (3, 1, 0));
    let dead = inbox.entries().webhook_id("dead").list().await.unwrap();
    assert_eq!(dead[0].attempts(), 0);
}

async fn what_is_discarded_is_over_and_remembered(home: impl Home) {
    let inbox = home.open().await.unwrap();
    for id in ["waits", "runs", "done", "dead"] {
        deliver(&inbox, id, BATCH).await;
    }
    for (state, id) in [(1, "runs"), (2, "done"), (3, "dead")] {
        let set = format!(
            "UPDATE gemini_webhooks_inbox SET state = {state}, attempts = 20 WHERE webhook_id = '{id}'"
        );
        home.execute(&set).await;
    }
    let all = inbox.entries();
    assert_eq!(all.clone().limit(1).discard("a test").await.unwrap(), 1);
    assert_eq!(all.clone().discard("a test").await.unwrap(), 1);
    assert_eq!(all.clone().discard("a test").await.unwrap(), 0);
    let depth = inbox.depth().await.unwrap();
    assert_eq!((depth.waiting, depth.running, depth.dead), (0, 1, 0));
    for (id, discarded) in [
        ("waits", true),
        ("runs", false),
        ("done", false),
        ("dead", true),
    ] {
        let entries = all.clone().webhook_id(id).list().await.unwrap();
        let last = entries[0].history().last().unwrap();
        if discarded {
            assert_eq!((last.what(), last.why()), (What::Discarded, "a test"));
            assert_eq!(entries[0].state(), State::Done);
            assert_eq!(entries[0].ended_at(), Some(last.at()));
        } else {
            assert_eq!(last.what(), What::Stored, "{id}");
        }
    }

    let (delivery, event) = verified("waits", BATCH).await;
    assert_eq!(inbox.put(&delivery, &event).await.unwrap(), Stored::Copy);

    // The decision can be taken back.
    assert_eq!(all.clone().webhook_id("dead").retry("?").await.unwrap(), 1);
    let worker = inbox.worker().ignore_others();
    let worker = tokio::spawn(worker.run_until(pending()));
    until(&inbox, |depth| depth.waiting == 0).await;
    for (id, steps) in [
        ("waits", vec![What::Stored, What::Discarded]),
        (
            "dead",
            vec![
                What::Stored,
                What::Discarded,
                What::Retried,
                What::Begun,
                What::Done,
            ],
        ),
    ] {
        let id_of = all.clone().webhook_id(id);
        for _ in 0..500 {
            if id_of.clone().state(State::Done).count().await.unwrap() == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let entries = id_of.list().await.unwrap();
        let what: Vec<_> = entries[0].history().iter().map(Change::what).collect();
        assert_eq!(what, steps, "{id}");
    }
    worker.abort();
}

async fn beside_a_worker_an_event_is_worked_off_or_discarded(home: impl Home) {
    const EVENTS: usize = 200;
    let inbox = home.open().await.unwrap();
    for number in 0..EVENTS {
        deliver(&inbox, &format!("msg_{number}"), BATCH).await;
    }
    let seen = Seen::default();
    let worker = inbox
        .worker()
        .with_state(seen.clone())
        .otherwise(async |_: GeminiEvent, work: Work<_, Seen>| {
            work.state().add(work.webhook_id());
            Ok(())
        })
        .concurrency(4);
    let worker = tokio::spawn(worker.run_until(pending()));
    until(&inbox, |depth| depth.waiting < 200).await;
    let mut discarded = 0;
    loop {
        // Where the worker takes its events as well.
        let some = inbox.entries().state(State::Waiting).limit(3);
        discarded += some.discard("a test").await.unwrap();
        if inbox.depth().await.unwrap().waiting == 0 {
            break;
        }
    }
    until(&inbox, is_empty).await;
    worker.abort();
    let run = seen.all();
    let ids: HashSet<_> = run.iter().collect();
    assert_eq!(ids.len(), run.len(), "one ran twice");
    let discarded = usize::try_from(discarded).unwrap();
    assert_eq!(run.len() + discarded, EVENTS);
    let entries = inbox.entries().limit(1_000).list().await.unwrap();
    for entry in entries {
        let last = entry.history().last().unwrap().what();
        let expected = if ids.contains(&entry.webhook_id().to_owned()) {
            What::Done
        } else {
            What::Discarded
        };
        assert_eq!(last, expected, "{entry:?}");
    }
}

async fn what_is_old_is_removed(home: impl Home) {
    let inbox = home.open().await.unwrap();
    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;
    for (id, state, ended, copies) in [
        ("done, a day ago", 2, DAY, DAY),
        ("done, eight days ago", 2, 8 * DAY, 7 * DAY),
        (
            "done, eight days ago, and copies may come",
            2,
            8 * DAY,
            -HOUR,
        ),
        ("dead, eight days ago", 3, 8 * DAY, 7 * DAY),
        ("dead, thirty-one days ago", 3, 31 * DAY, 30 * DAY),
        ("waits, for a year", 0, 365 * DAY, 365 * DAY),
    ] {
        deliver(&inbox, "msg", BATCH).await;
        let set = format!(
            "UPDATE gemini_webhooks_inbox SET webhook_id = '{id}', key = CAST('{id}' AS {}), state = {state}, \
             due_at = due_at + {DAY}, ended_at = received_at - {ended}, copies_until = received_at - {copies} \
             WHERE webhook_id = 'msg'",
            if std::any::type_name_of_val(&home).contains("Postgres") {
                "bytea"
            } else {
                "blob"
            }
        );
        home.execute(&set).await;
    }
    let worker = inbox.worker().ignore_others();
    let worker = tokio::spawn(worker.run_until(pending()));
    for _ in 0..500 {
        if inbox.entries().count().await.unwrap() == 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    worker.abort();
    let left = inbox.entries().list().await.unwrap();
    let left: Vec<_> = left.iter().map(Entry::webhook_id).collect();
    assert_eq!(
        left,
        [
            "done, a day ago",
            "done, eight days ago, and copies may come",
            "dead, eight days ago",
            "waits, for a year",
        ]
    );
}

async fn the_age_of_the_oldest(home: impl Home) {
    let inbox = home.open().await.unwrap();
    assert_eq!(inbox.depth().await.unwrap().oldest, None);
    deliver(&inbox, "msg_1", BATCH).await;
    deliver(&inbox, "msg_2", BATCH).await;
    home.execute("UPDATE gemini_webhooks_inbox SET received_at = received_at - 60000 WHERE webhook_id = 'msg_2'")
        .await;
    let oldest = inbox.depth().await.unwrap().oldest.unwrap();
    assert!(
        oldest >= Duration::from_secs(60) && oldest < Duration::from_secs(90),
        "{oldest:?}"
    );
}
