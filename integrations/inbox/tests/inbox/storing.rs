//! What is answered 200 is stored, once.

use std::time::Duration;

use gemini_webhooks_inbox::sqlx::PgPool;
use gemini_webhooks_inbox::{Change, Inbox, InboxErrorKind, State, Stored, What, migration};
use tokio::task::JoinSet;

use crate::app::{BATCH, VIDEO, about, deliver, is_empty, until, verified};
use crate::home::{Home, PostgresHome, SqliteHome};
use crate::on_both;

on_both! {
    an_event_is_stored_as_it_came
    copies_are_stored_once
    a_job_is_stored_once_whoever_reports_it
    apps_are_kept_apart
    no_more_than_may_wait
    a_small_inbox_that_is_worked_off
    a_burst_at_the_bound
    beside_what_an_app_writes
    tables_are_made_once
    tables_of_a_later_version
    tables_made_by_hand
    settings_that_cannot_be
}

async fn an_event_is_stored_as_it_came(home: impl Home) {
    let inbox = home.open().await.unwrap();
    let (status, body) = deliver(&inbox, "msg_1", BATCH).await;
    assert_eq!((status, &*body), (200, r#"{"status":"received"}"#));
    drop(inbox);

    let inbox = home.open().await.unwrap();
    let entries = inbox.entries().list().await.unwrap();
    let [entry] = &entries[..] else {
        panic!("{entries:?}");
    };
    assert_eq!(entry.webhook_id(), "msg_1");
    assert_eq!(entry.event().raw(), &about("msg_1", BATCH));
    assert_eq!((entry.state(), entry.attempts()), (State::Waiting, 0));
    assert_eq!(entry.scheme(), "v1");
    assert_eq!(entry.ended_at(), None);
    let what: Vec<_> = entry.history().iter().map(Change::what).collect();
    assert_eq!(what, [What::Stored]);
    assert_eq!(entry.history()[0].at(), entry.received_at());

    // A type that no database takes as a text.
    deliver(&inbox, "msg_2", r#"{"type":"a\u0000b"}"#).await;
    deliver(&inbox, "msg_3", "no event at all").await;
    assert_eq!(inbox.entries().event_type("a\0b").count().await.unwrap(), 1);
    assert_eq!(inbox.entries().count().await.unwrap(), 3);
}

async fn copies_are_stored_once(home: impl Home) {
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(home.open().await.unwrap());
    }
    let mut copies = JoinSet::new();
    for number in 0..60 {
        let replica = replicas[number % 3].clone();
        let (delivery, event) = verified(&format!("msg_{}", number % 5), BATCH).await;
        copies.spawn(async move { replica.put(&delivery, &event).await.unwrap() });
    }
    let stored = copies.join_all().await;
    let new = stored.iter().filter(|stored| **stored == Stored::New);
    assert_eq!((stored.len(), new.count()), (60, 5));
    assert_eq!(replicas[0].entries().count().await.unwrap(), 5);

    let (delivery, event) = verified("msg_new", BATCH).await;
    assert_eq!(
        replicas[0].put(&delivery, &event).await.unwrap(),
        Stored::New
    );
    assert_eq!(
        replicas[1].put(&delivery, &event).await.unwrap(),
        Stored::Copy
    );
}

/// Two webhooks report one job, each under an id of its own, and name it in two forms.
async fn a_job_is_stored_once_whoever_reports_it(home: impl Home) {
    let inbox = home.open().await.unwrap();
    for (id, event, stored) in [
        (
            "msg_1",
            r#"{"type":"batch.succeeded","data":{"id":"batches/8kq2"}}"#,
            Stored::New,
        ),
        (
            "msg_2",
            r#"{"type":"batch.succeeded","data":{"id":"8kq2"}}"#,
            Stored::Copy,
        ),
        (
            "msg_3",
            r#"{"type":"batch.failed","data":{"id":"8kq2"}}"#,
            Stored::Copy,
        ),
        (
            "msg_4",
            r#"{"type":"batch.succeeded","data":{"id":"8kq3"}}"#,
            Stored::New,
        ),
        (
            "msg_5",
            r#"{"type":"interaction.completed","data":{"id":"8kq2"}}"#,
            Stored::New,
        ),
        (
            "msg_6",
            r#"{"type":"interaction.requires_action","data":{"id":"8kq2"}}"#,
            Stored::New,
        ),
        (
            "msg_7",
            r#"{"type":"interaction.requires_action","data":{"id":"8kq2"}}"#,
            Stored::New,
        ),
        (
            "msg_6",
            r#"{"type":"interaction.requires_action","data":{"id":"8kq2"}}"#,
            Stored::Copy,
        ),
        ("msg_8", r#"{"type":"batch.succeeded"}"#, Stored::New),
        ("msg_9", r#"{"type":"batch.succeeded"}"#, Stored::New),
    ] {
        let (delivery, event) = verified(id, event).await;
        assert_eq!(inbox.put(&delivery, &event).await.unwrap(), stored, "{id}");
    }
    assert_eq!(inbox.depth().await.unwrap().waiting, 7);
}

async fn apps_are_kept_apart(home: impl Home) {
    let orders = home.open().namespace("orders").await.unwrap();
    let videos = home.open().namespace("videos").await.unwrap();
    deliver(&orders, "msg_1", BATCH).await;
    deliver(&videos, "msg_1", VIDEO).await;
    for (inbox, event) in [(&orders, BATCH), (&videos, VIDEO)] {
        let entries = inbox.entries().list().await.unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].event().raw(), &about("msg_1", event));
        assert_eq!(inbox.depth().await.unwrap().waiting, 1);
    }
}

async fn no_more_than_may_wait(home: impl Home) {
    let inbox = home.open().max_waiting(3).await.unwrap();
    for number in 0..3 {
        assert_eq!(
            deliver(&inbox, &format!("msg_{number}"), BATCH).await.0,
            200
        );
    }
    let (status, body) = deliver(&inbox, "msg_3", BATCH).await;
    assert_eq!((status, &*body), (503, r#"{"error":"inbox_full"}"#));
    // What is stored is known all the same.
    assert_eq!(deliver(&inbox, "msg_1", BATCH).await.0, 200);
    let (delivery, event) = verified("msg_3", BATCH).await;
    let error = inbox.put(&delivery, &event).await.unwrap_err();
    assert_eq!(error.kind(), InboxErrorKind::Full);
    assert!(
        error.to_string().contains("whether a worker runs"),
        "{error}"
    );
    assert_eq!(inbox.entries().count().await.unwrap(), 3);

    home.execute("UPDATE gemini_webhooks_inbox SET state = 2 WHERE webhook_id = 'msg_0'")
        .await;
    // It is counted again after a moment.
    while deliver(&inbox, "msg_3", BATCH).await.0 != 200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(inbox.entries().count().await.unwrap(), 4);
}

async fn a_small_inbox_that_is_worked_off(home: impl Home) {
    let inbox = home.open().max_waiting(1).await.unwrap();
    for number in 0..5 {
        let answer = deliver(&inbox, &format!("msg_{number}"), BATCH).await;
        assert_eq!(answer.0, 200, "{answer:?}");
        home.execute("UPDATE gemini_webhooks_inbox SET state = 2")
            .await;
    }
}

async fn a_burst_at_the_bound(home: impl Home) {
    let inbox = home.open().max_waiting(10).await.unwrap();
    for number in 0..9 {
        deliver(&inbox, &format!("msg_{number}"), BATCH).await;
    }
    // The last count is old by then.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let mut burst = JoinSet::new();
    for number in 0..40 {
        let inbox = inbox.clone();
        burst.spawn(async move { deliver(&inbox, &format!("new_{number}"), BATCH).await.0 });
    }
    let answers = burst.join_all().await;
    let stored = answers.iter().filter(|status| **status == 200);
    assert_eq!(stored.count(), 1, "{answers:?}");
    assert_eq!(inbox.depth().await.unwrap().waiting, 10);
}

async fn beside_what_an_app_writes<H: Home>(home: H) {
    let inbox = home.open().await.unwrap();
    home.execute("CREATE TABLE orders (event text NOT NULL)")
        .await;
    let (delivery, event) = verified("msg_1", BATCH).await;

    let mut transaction = home.begin().await;
    H::run(&mut transaction, "INSERT INTO orders VALUES ('msg_1')").await;
    assert_eq!(
        inbox
            .put_in(&mut transaction, &delivery, &event)
            .await
            .unwrap(),
        Stored::New
    );
    transaction.rollback().await.unwrap();
    assert_eq!(
        inbox.entries().count().await.unwrap(),
        0,
        "it was rolled back"
    );

    let mut transaction = home.begin().await;
    H::run(&mut transaction, "INSERT INTO orders VALUES ('msg_1')").await;
    assert_eq!(
        inbox
            .put_in(&mut transaction, &delivery, &event)
            .await
            .unwrap(),
        Stored::New
    );
    transaction.commit().await.unwrap();
    assert_eq!(inbox.entries().count().await.unwrap(), 1);
    assert_eq!(home.number("SELECT count(*) FROM orders").await, 1);

    let mut transaction = home.begin().await;
    assert_eq!(
        inbox
            .put_in(&mut transaction, &delivery, &event)
            .await
            .unwrap(),
        Stored::Copy
    );
    transaction.rollback().await.unwrap();
}

async fn tables_are_made_once(home: impl Home) {
    let mut opened = JoinSet::new();
    for _ in 0..4 {
        opened.spawn(home.open().into_future());
    }
    while let Some(inbox) = opened.join_next().await {
        inbox.unwrap().unwrap();
    }
    assert_eq!(
        home.number("SELECT count(*) FROM gemini_webhooks_inbox_version")
            .await,
        1
    );
}

async fn tables_of_a_later_version(home: impl Home) {
    drop(home.open().await.unwrap());
    home.execute("INSERT INTO gemini_webhooks_inbox_version (version) VALUES (77)")
        .await;
    let error = home.open().await.unwrap_err();
    assert_eq!(error.kind(), InboxErrorKind::NewerTables);
    assert!(error.to_string().contains("are of version 77"), "{error}");
}

async fn settings_that_cannot_be(home: impl Home) {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    for (opening, says) in [
        (home.open().namespace(""), "namespace"),
        (home.open().max_waiting(0), "max_waiting"),
        (home.open().timeout(Duration::ZERO), "timeout"),
        (home.open().connections(0), "connections"),
        (home.open().keep_done(hours(24)), "25 hours"),
        (home.open().keep_dead(hours(1)), "25 hours"),
    ] {
        let error = opening.await.unwrap_err();
        assert_eq!(error.kind(), InboxErrorKind::Invalid);
        assert!(error.to_string().contains(says), "{error}");
    }
}

async fn tables_made_by_hand<H: Home>(home: H) {
    let error = home.open().without_migrating().await.unwrap_err();
    assert_eq!(error.kind(), InboxErrorKind::Invalid);
    assert!(error.to_string().contains("`migration`"), "{error}");
    for _ in 0..2 {
        home.execute(&migration::<H::DB>()).await;
    }
    let inbox = home.open().without_migrating().await.unwrap();
    assert_eq!(deliver(&inbox, "msg_1", BATCH).await.0, 200);
}

/// A database whose default isolation makes statements fail that meet others.
#[tokio::test(flavor = "multi_thread")]
async fn serializable_by_default() {
    let home = PostgresHome::with("&options[default_transaction_isolation]=serializable").await;
    let inbox = home.open().connections(8).await.unwrap();
    let mut copies = JoinSet::new();
    for number in 0..400 {
        let inbox = inbox.clone();
        // Twenty copies of each at the same moment.
        copies.spawn(async move { deliver(&inbox, &format!("msg_{}", number / 20), BATCH).await });
    }
    let worker = inbox.worker().ignore_others();
    let worker = tokio::spawn(worker.run_until(std::future::pending()));
    while let Some(answer) = copies.join_next().await {
        assert_eq!(answer.unwrap().0, 200);
    }
    until(&inbox, is_empty).await;
    worker.abort();
    let done = inbox.entries().state(State::Done);
    assert_eq!(done.count().await.unwrap(), 20);
}

#[tokio::test]
async fn a_database_in_memory() {
    for database in ["", ":memory:", "sqlite:x?mode=memory", "sqlite::memory:"] {
        assert!(Inbox::sqlite(database).await.is_err(), "{database}");
    }
}

/// Whoever looks into the wrong database leaves nothing behind in it.
#[tokio::test]
async fn what_is_no_inbox_is_left_as_it_is() {
    let home = SqliteHome::new().await;
    let opening = || home.open().without_migrating();
    assert_eq!(opening().await.unwrap_err().kind(), InboxErrorKind::Invalid);
    assert!(!std::fs::exists(home.file()).unwrap());

    home.execute("CREATE TABLE orders (event text NOT NULL)")
        .await;
    let before = std::fs::read(home.file()).unwrap();
    let error = opening().await.unwrap_err();
    assert_eq!(error.kind(), InboxErrorKind::Invalid);
    assert_eq!(std::fs::read(home.file()).unwrap(), before);

    std::fs::write(home.file(), "This is no database, but a text. ".repeat(64)).unwrap();
    let error = opening().await.unwrap_err();
    assert_eq!(error.kind(), InboxErrorKind::Unavailable);
    assert!(error.to_string().contains("not a database"), "{error}");
}

/// A database that refuses is not taken for one without tables.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_refused() {
    let home = PostgresHome::new().await;
    home.open().await.unwrap();
    let options = (*home.pool.connect_options()).clone();
    let options = options.username("nobody_of_this_name").password("s3cret");
    let pool = PgPool::connect_lazy_with(options);
    let error = Inbox::postgres(pool).without_migrating().await.unwrap_err();
    assert_eq!(error.kind(), InboxErrorKind::Unavailable);
    assert!(error.to_string().contains("nobody_of_this_name"), "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
}
