//! What the commands find and change.

use std::sync::Arc;

use gemini_webhooks::GeminiEvent;
use gemini_webhooks_inbox::{Database, Inbox, State, Stored, What, Work};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::home::{BATCH, Place, VIDEO, about, postgres, put, sqlite, until, work};

/// Runs each of these on either database.
macro_rules! on_both {
    ($($name:ident)+) => {
        mod on_sqlite {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    let place = crate::home::Place::new_sqlite();
                    let inbox = super::sqlite(&place).await;
                    super::$name(&inbox, &place).await;
                }
            )+
        }

        mod on_postgres {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    let place = crate::home::Place::new_postgres().await;
                    let inbox = super::postgres(&place).await;
                    super::$name(&inbox, &place).await;
                    place.clear().await;
                }
            )+
        }
    };
}

pub(crate) use on_both;

on_both! {
    what_is_there_is_counted_listed_and_shown
    dead_letters_are_tried_again
    what_is_dropped_is_remembered
    what_is_named_and_cannot_be_changed
    more_than_fit_on_a_page
}

/// Two dead letters, one event that is done, and one that waits.
async fn fill<DB: Database>(inbox: &Inbox<DB>) {
    put(inbox, "dead_1", BATCH.as_bytes()).await;
    put(inbox, "dead_2", VIDEO.as_bytes()).await;
    put(inbox, "done", BATCH.as_bytes()).await;
    work(inbox).await;
    put(inbox, "waits", VIDEO.as_bytes()).await;
}

async fn number<DB: Database>(inbox: &Inbox<DB>, id: &str) -> String {
    let entries = inbox.entries().webhook_id(id).list().await.unwrap();
    entries[0].number().to_string()
}

async fn last<DB: Database>(inbox: &Inbox<DB>, id: &str) -> (State, What, String) {
    let entries = inbox.entries().webhook_id(id).list().await.unwrap();
    let last = entries[0].history().last().unwrap();
    (entries[0].state(), last.what(), last.why().to_owned())
}

fn ids(events: &[Value]) -> Vec<&str> {
    let ids = events.iter().map(|event| event["webhook_id"].as_str());
    ids.map(Option::unwrap).collect()
}

async fn what_is_there_is_counted_listed_and_shown<DB: Database>(inbox: &Inbox<DB>, place: &Place) {
    let depth = place.json(&["count", "--json"]).await;
    assert_eq!(
        depth,
        [json!({ "waiting": 0, "running": 0, "dead": 0, "oldest_seconds": null })]
    );
    let nothing = place.run(&["list"]).await;
    assert_eq!((nothing.code, &*nothing.stdout), (Some(0), ""));
    assert!(nothing.stderr.contains("\"default\""), "{nothing:?}");
    assert!(
        nothing.stderr.contains("another --namespace?"),
        "{nothing:?}"
    );

    fill(inbox).await;
    let lines = place.lines(&["count"]).await;
    assert_eq!(lines[..3], ["waiting  1", "running  0", "dead     2"]);
    assert!(lines[3].starts_with("oldest   "), "{lines:?}");
    let depth = place.json(&["count", "--json"]).await;
    assert_eq!(
        (&depth[0]["waiting"], &depth[0]["dead"]),
        (&json!(1), &json!(2))
    );
    assert!(depth[0]["oldest_seconds"].is_u64(), "{depth:?}");
    for (filter, count) in [
        (vec!["--state", "dead"], 2),
        (vec!["--state", "dead", "--type", "batch.succeeded"], 1),
        (vec!["--type", "video.generated"], 2),
        (vec!["--webhook-id", "done"], 1),
        (vec!["--state", "running"], 0),
    ] {
        let arguments = [&["count"][..], &filter].concat();
        assert_eq!(place.lines(&arguments).await, [count.to_string()]);
        let arguments = [&["list", "--json"][..], &filter].concat();
        assert_eq!(place.json(&arguments).await.len(), count, "{filter:?}");
    }

    let events = place.json(&["list", "--json"]).await;
    assert_eq!(ids(&events), ["dead_1", "dead_2", "done", "waits"]);
    let states: Vec<_> = events.iter().map(|event| &event["state"]).collect();
    assert_eq!(states, ["dead", "dead", "done", "waiting"]);
    assert_eq!(events[0]["type"], "batch.succeeded");
    assert_eq!(events[0]["attempts"], 2);
    assert_eq!(events[0]["last"]["why"], crate::home::HOSTILE);

    let none = place.run(&["list", "--type", "no.such"]).await;
    assert!(none.stderr.contains("\"default\" matches."), "{none:?}");
    assert!(!none.stderr.contains("--namespace"), "{none:?}");

    let table = place.run(&["list"]).await.stdout;
    assert_eq!(
        table.lines().count(),
        5,
        "no event has forged a line: {table}"
    );
    assert!(table.contains("<img src=x"), "{table}");
    assert!(!table.contains(['\u{1b}', '\u{202e}']), "{table:?}");

    let shown = place.json(&["show", "dead_1", "--json"]).await;
    assert_eq!(shown[0]["body"], about("dead_1", BATCH));
    assert_eq!(shown[0]["event"]["data"]["id"], "batches/dead_1");
    let what = shown[0]["history"].as_array().unwrap().iter();
    let what: Vec<_> = what.map(|change| &change["what"]).collect();
    assert_eq!(what, ["stored", "begun", "failed", "begun", "dead"]);
    let by_number = place
        .json(&["show", &number(inbox, "dead_1").await, "--json"])
        .await;
    assert_eq!(by_number, shown);
    let page = place.run(&["show", "dead_1"]).await.stdout;
    for part in [
        "dead_1",
        "batch.succeeded",
        "\"id\": \"batches/dead_1\"",
        "<img src=x",
    ] {
        assert!(page.contains(part), "{part} is missing: {page}");
    }
    assert!(!page.contains(['\u{1b}', '\u{202e}']), "{page:?}");

    let nobody = place.run(&["show", "msg_none"]).await;
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.stderr.contains("msg_none"), "{nobody:?}");
    let elsewhere = place.run(&["list", "--namespace", "other"]).await;
    assert_eq!(elsewhere.stdout, "");
    assert!(elsewhere.stderr.contains("\"other\""), "{elsewhere:?}");
}

async fn dead_letters_are_tried_again<DB: Database>(inbox: &Inbox<DB>, place: &Place) {
    fill(inbox).await;
    let all = ["retry", "--all-dead", "--why", "a test"];
    let dry = place
        .json(&[&all[..], &["--dry-run", "--json"]].concat())
        .await;
    assert_eq!(
        (&dry[0]["found"], &dry[0]["changed"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(
        ids(dry[0]["first"].as_array().unwrap()),
        ["dead_1", "dead_2"]
    );
    let dry = place.run(&[&all[..], &["--dry-run"]].concat()).await;
    assert!(
        dry.stdout.starts_with("2 events would be tried again:\n"),
        "{dry:?}"
    );
    assert!(dry.stdout.contains("dead_2"), "{dry:?}");
    let unasked = place.run(&all).await;
    assert_eq!((unasked.code, &*unasked.stdout), (Some(2), ""));
    assert!(unasked.stderr.contains("--yes"), "{unasked:?}");
    assert_eq!(inbox.depth().await.unwrap().dead, 2, "nothing has changed");

    let one = [
        "retry",
        "--state",
        "dead",
        "--type",
        "batch.succeeded",
        "--yes",
    ];
    let one = place.run(&one).await;
    assert_eq!(one.stdout, "1 event to be tried again\n", "{one:?}");
    assert!(
        one.stderr.contains("1 event will be tried again:"),
        "{one:?}"
    );
    assert!(one.stderr.contains("dead_1"), "{one:?}");
    let rest = place.json(&[&all[..], &["--yes", "--json"]].concat()).await;
    assert_eq!(
        (&rest[0]["found"], &rest[0]["changed"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        last(inbox, "dead_2").await,
        (State::Waiting, What::Retried, "a test".to_owned())
    );

    work(inbox).await;
    let shown = place.json(&["show", "dead_2", "--json"]).await;
    let what: Vec<_> = shown[0]["history"]
        .as_array()
        .unwrap()
        .iter()
        .skip(5)
        .collect();
    let what: Vec<_> = what.iter().map(|change| &change["what"]).collect();
    assert_eq!(what, ["retried", "begun", "failed", "begun", "dead"]);
    let none = place
        .run(&["retry", "--state", "dead", "--type", "no.such", "--yes"])
        .await;
    assert_eq!((none.code, &*none.stdout), (Some(0), ""), "{none:?}");
    assert!(none.stderr.contains("Nothing to retry"), "{none:?}");
}

async fn what_is_dropped_is_remembered<DB: Database>(inbox: &Inbox<DB>, place: &Place) {
    fill(inbox).await;
    let dead = number(inbox, "dead_1").await;
    let dropped = place
        .run(&["drop", &dead, "--why", "it is too late", "--yes"])
        .await;
    assert_eq!(
        (dropped.code, &*dropped.stdout),
        (Some(0), "1 event dropped\n"),
        "{dropped:?}"
    );
    assert_eq!(
        last(inbox, "dead_1").await,
        (State::Done, What::Discarded, "it is too late".to_owned())
    );
    assert_eq!(put(inbox, "dead_1", BATCH.as_bytes()).await, Stored::Copy);
    let waiting = ["drop", "--state", "waiting", "--yes"];
    assert_eq!(place.lines(&waiting).await, ["1 event dropped"]);

    // A worker leaves it alone, and it says so itself.
    put(inbox, "later", BATCH.as_bytes()).await;
    work(inbox).await;
    for id in ["dead_1", "waits"] {
        let shown = place.json(&["show", id, "--json"]).await;
        assert_eq!(shown[0]["state"], "dropped");
        let history = shown[0]["history"].as_array().unwrap();
        assert_eq!(history.last().unwrap()["what"], "dropped");
    }
    let done = place.json(&["list", "--state", "done", "--json"]).await;
    assert_eq!(ids(&done), ["dead_1", "done", "waits", "later"]);

    // The decision can be taken back.
    let back = place.lines(&["retry", &dead, "--yes"]).await;
    assert_eq!(back, ["1 event to be tried again"]);
    assert_eq!(last(inbox, "dead_1").await.0, State::Waiting);
}

async fn what_is_named_and_cannot_be_changed<DB: Database>(inbox: &Inbox<DB>, place: &Place) {
    fill(inbox).await;
    put(inbox, "runs", BATCH.as_bytes()).await;
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let worker = inbox
        .worker()
        .with_state((Arc::clone(&begun), Arc::clone(&go_on)))
        .otherwise(
            async |_: GeminiEvent, work: Work<_, (Arc<Notify>, Arc<Notify>)>| {
                if work.webhook_id() == "runs" {
                    work.state().0.notify_one();
                    work.state().1.notified().await;
                }
                Ok(())
            },
        );
    let worker = tokio::spawn(worker.run_until(std::future::pending()));
    begun.notified().await;
    until(inbox, |depth| depth.waiting == 0 && depth.running == 1).await;

    let (runs, done) = (number(inbox, "runs").await, number(inbox, "done").await);
    let dead = number(inbox, "dead_1").await;
    let dropped = place
        .run(&["drop", &runs, &done, &dead, "987654", "--yes"])
        .await;
    assert_eq!(
        (dropped.code, &*dropped.stdout),
        (Some(1), "1 event dropped\n"),
        "{dropped:?}"
    );
    for why in [
        format!("{runs} is left alone: a worker runs it"),
        format!("{done} is left alone: it is over"),
        "987654 is left alone: there is no such event".to_owned(),
    ] {
        assert!(dropped.stderr.contains(&why), "{why}: {dropped:?}");
    }
    assert_eq!(last(inbox, "runs").await.0, State::Running);
    let retried = place.run(&["retry", &runs, "--yes", "--json"]).await;
    assert_eq!(retried.code, Some(1));
    let said: Value = serde_json::from_str(&retried.stdout).unwrap();
    assert_eq!(said["changed"], 0);
    assert_eq!(said["left_alone"][0]["number"].to_string(), runs);

    go_on.notify_one();
    until(inbox, |depth| depth.running == 0).await;
    worker.abort();
    assert_eq!(last(inbox, "runs").await.1, What::Done);
}

async fn more_than_fit_on_a_page<DB: Database>(inbox: &Inbox<DB>, place: &Place) {
    const EVENTS: usize = 250;
    for number in 0..EVENTS {
        put(inbox, &format!("msg_{number}"), BATCH.as_bytes()).await;
    }
    let all = place.json(&["list", "--limit", "1000", "--json"]).await;
    assert_eq!(all.len(), EVENTS);
    let newest = place
        .json(&["list", "--newest", "--limit", "1000", "--json"])
        .await;
    assert!(newest.iter().eq(all.iter().rev()));

    // As a user goes through the pages.
    let page = place.run(&["list", "--limit", "120"]).await;
    let hint = page.stderr.split("--after ").nth(1).unwrap();
    let after = hint.trim().trim_end_matches('.');
    assert_eq!(after, all[119]["number"].to_string());
    let rest = place
        .run(&["list", "--after", after, "--limit", "130", "--json"])
        .await;
    let read: Vec<Value> = rest
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(read, all[120..]);
    assert_eq!(rest.stderr, "", "there are no more");
    let before = all[100]["number"].to_string();
    let older = place
        .json(&[
            "list", "--newest", "--before", &before, "--limit", "2", "--json",
        ])
        .await;
    assert_eq!(older, [all[99].clone(), all[98].clone()]);

    let dropped = place.run(&["drop", "--state", "waiting", "--yes"]).await;
    assert_eq!(dropped.stdout, format!("{EVENTS} events dropped\n"));
    assert!(dropped.stderr.contains("and 240 more"), "{dropped:?}");
    assert_eq!(place.lines(&["count", "--state", "done"]).await, ["250"]);
    assert_eq!(inbox.depth().await.unwrap().waiting, 0);
}
