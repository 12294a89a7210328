//! Writing down jobs, with and without their names.

use gemini_webhooks::event::{JobId, JobKind};
use gemini_webhooks_inbox::{Announced, Expect, InboxErrorKind, Progress, Work};
use serde_json::json;

use crate::app::{BATCH, Seen, deliver, is_empty, until, verified};
use crate::home::Home;
use crate::on_both;
use crate::rig::{AT_ONCE, LATER};

fn batch(id: &str) -> JobId {
    JobId::new(JobKind::Batch, id).unwrap()
}

async fn a_job_is_expected_until_its_event_is_there(home: impl Home) {
    let inbox = home.open().await.unwrap();
    let expect = Expect::within(AT_ONCE).metadata("order", 7);
    inbox.expect(&batch("batches/m_1"), expect).await.unwrap();
    inbox.expect(&batch("m_2"), LATER).await.unwrap();
    let awaited = inbox.awaited().await.unwrap();
    assert_eq!((awaited.open, awaited.unnamed, awaited.overdue), (2, 0, 1));
    assert!(awaited.longest_overdue.is_some());

    assert_eq!(deliver(&inbox, "m_1", BATCH).await.0, 200);
    let seen = Seen::default();
    let worker =
        inbox
            .worker()
            .with_state(seen.clone())
            .otherwise(async |_, work: Work<_, Seen>| {
                let expectation = work.expectation().await?.ok_or("not expected").unwrap();
                work.state().add(json!(expectation.metadata()).to_string());
                assert!(!work.found());
                Ok(())
            });
    let stop = tokio_util::sync::CancellationToken::new();
    let working = tokio::spawn(worker.run_until(stop.clone().cancelled_owned()));
    until(&inbox, is_empty).await;
    // Which is noted beside the work.
    for _ in 0..1000 {
        if inbox.awaited().await.unwrap().open == 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    stop.cancel();
    working.await.unwrap().unwrap();
    assert_eq!(seen.all(), [r#"{"order":7}"#]);
    let awaited = inbox.awaited().await.unwrap();
    assert_eq!((awaited.open, awaited.overdue), (1, 0));
    let answered = inbox.expectation(&batch("m_1")).await.unwrap().unwrap();
    assert_eq!(answered.progress(), Progress::Answered);
    assert_eq!(answered.job(), Some(&batch("m_1")));
    assert!(inbox.expectation(&batch("m_3")).await.unwrap().is_none());
}

async fn it_is_written_down_with_the_apps_own_transaction_or_not_at_all(home: impl Home) {
    let inbox = home.open().await.unwrap();
    let mut transaction = home.begin().await;
    inbox
        .expect_in(&mut transaction, &batch("m_1"), LATER)
        .await
        .unwrap();
    let kind = JobKind::Interaction;
    inbox
        .announce_in(&mut transaction, kind, LATER)
        .await
        .unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(inbox.awaited().await.unwrap().open, 0);

    let mut transaction = home.begin().await;
    inbox
        .expect_in(&mut transaction, &batch("m_1"), LATER)
        .await
        .unwrap();
    inbox
        .announce_in(&mut transaction, kind, LATER)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let awaited = inbox.awaited().await.unwrap();
    assert_eq!((awaited.open, awaited.unnamed), (2, 1));
}

async fn expecting_a_job_again_replaces_what_was_wanted(home: impl Home) {
    let inbox = home.open().await.unwrap();
    let first = Expect::within(AT_ONCE).metadata("order", 7);
    inbox.expect(&batch("m_1"), first).await.unwrap();
    let again = Expect::within(LATER).metadata("order", 8);
    inbox.expect(&batch("batches/m_1"), again).await.unwrap();
    let awaited = inbox.awaited().await.unwrap();
    assert_eq!((awaited.open, awaited.overdue), (1, 0));
    let found = inbox.expectation(&batch("m_1")).await.unwrap().unwrap();
    assert_eq!(json!(found.metadata()), json!({"order": 8}));
    assert!(found.answer_by() > found.written_at());
}

async fn an_announced_job_gets_its_name_once(home: impl Home) {
    let inbox = home.open().await.unwrap();
    let announced = inbox.announce(JobKind::Batch, LATER).await.unwrap();
    assert_eq!(announced.id().len(), 32);
    let interaction = JobId::new(JobKind::Interaction, "v1_1").unwrap();
    let kind = async |announced: &Announced, job: &JobId| {
        let named = inbox.started(announced, job).await;
        named.map_err(|error| error.kind())
    };
    let invalid = Err(InboxErrorKind::Invalid);
    assert_eq!(
        kind(&announced, &interaction).await,
        invalid,
        "another kind"
    );
    assert_eq!(inbox.awaited().await.unwrap().unnamed, 1);
    assert_eq!(kind(&announced, &batch("1")).await, Ok(()));
    assert_eq!(
        kind(&announced, &batch("batches/1")).await,
        Ok(()),
        "the same"
    );
    assert_eq!(kind(&announced, &batch("2")).await, invalid, "another name");
    let unknown = Announced::new(JobKind::Batch, "0123");
    assert_eq!(
        kind(&unknown, &batch("3")).await,
        invalid,
        "never announced"
    );
    let awaited = inbox.awaited().await.unwrap();
    assert_eq!((awaited.open, awaited.unnamed), (1, 0));

    // By another process, which has the id only.
    let second = inbox.announce(JobKind::Batch, LATER).await.unwrap();
    inbox.expect(&batch("9"), LATER).await.unwrap();
    let read = Announced::new(JobKind::Batch, second.id());
    assert_eq!(
        kind(&read, &batch("9")).await,
        Ok(()),
        "expected by its name too"
    );
    assert_eq!(inbox.awaited().await.unwrap().open, 2);

    let third = inbox.announce(JobKind::Video, LATER).await.unwrap();
    inbox.not_started(&third).await.unwrap();
    inbox.not_started(&announced).await.unwrap();
    assert_eq!(
        inbox.awaited().await.unwrap().open,
        2,
        "what has a name stays"
    );
}

async fn an_event_tells_the_name_of_an_announced_job(home: impl Home) {
    let inbox = home.open().await.unwrap();
    for (place, transaction) in [("put", false), ("put_in", true)] {
        let announced = inbox.announce(JobKind::Batch, LATER).await.unwrap();
        let body = json!({
            "type": "batch.succeeded",
            "data": {"id": format!("batches/{place}")},
            "user_metadata": {"gemini_webhooks_id": announced.id()},
        });
        let (delivery, event) = verified(place, &body.to_string()).await;
        if transaction {
            let mut transaction = home.begin().await;
            inbox
                .put_in(&mut transaction, &delivery, &event)
                .await
                .unwrap();
            transaction.commit().await.unwrap();
        } else {
            inbox.put(&delivery, &event).await.unwrap();
        }
        let found = inbox.expectation(&batch(place)).await.unwrap().unwrap();
        assert_eq!(found.announced(), &announced);
        assert_eq!(inbox.awaited().await.unwrap().unnamed, 0);
    }
}

async fn an_event_that_asks_the_app_to_act_answers_its_job(home: impl Home) {
    let inbox = home.open().await.unwrap();
    let job = JobId::new(JobKind::Interaction, "v1_1").unwrap();
    inbox.expect(&job, LATER).await.unwrap();
    let event = r#"{"type":"interaction.requires_action","data":{"id":"v1_1"}}"#;
    assert_eq!(deliver(&inbox, "m_1", event).await.0, 200);
    assert_eq!(inbox.awaited().await.unwrap().open, 0);
    // It goes on under its id.
    inbox.expect(&job, LATER).await.unwrap();
    assert_eq!(inbox.awaited().await.unwrap().open, 1);
}

async fn tables_of_an_earlier_version_are_brought_up_to_date(home: impl Home) {
    drop(home.open().await.unwrap());
    for statement in [
        "DROP TABLE gemini_webhooks_inbox_jobs",
        "DROP TABLE gemini_webhooks_inbox_leases",
        "DELETE FROM gemini_webhooks_inbox_version",
        "INSERT INTO gemini_webhooks_inbox_version (version) VALUES (1)",
    ] {
        home.execute(statement).await;
    }
    let refused = home.open().without_migrating().await.unwrap_err();
    assert_eq!(refused.kind(), InboxErrorKind::Invalid);
    assert!(refused.to_string().contains("older version"), "{refused}");
    let inbox = home.open().await.unwrap();
    inbox.expect(&batch("1"), LATER).await.unwrap();
    assert_eq!(inbox.awaited().await.unwrap().open, 1);
}

on_both! {
    a_job_is_expected_until_its_event_is_there
    it_is_written_down_with_the_apps_own_transaction_or_not_at_all
    expecting_a_job_again_replaces_what_was_wanted
    an_announced_job_gets_its_name_once
    an_event_tells_the_name_of_an_announced_job
    an_event_that_asks_the_app_to_act_answers_its_job
    tables_of_an_earlier_version_are_brought_up_to_date
}
