//! Jobs that are expected anew, and what came too late for that; answers that are none.

use std::sync::Arc;
use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};
use gemini_webhooks::client::WebhookService;
use gemini_webhooks::event::{JobId, JobKind};
use gemini_webhooks::testing::google::{
    BatchOutcome, Call, DeliveryFault, Fault, InteractionStatus,
};
use gemini_webhooks_inbox::{Database, Expect, Inbox, InboxErrorKind, Progress, State};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use crate::app::{BATCH, deliver};
use crate::home::Home;
use crate::on_both;
use crate::rig::{AT_ONCE, LATER, Rig};

const ACT: &str = r#"{"type":"interaction.requires_action","data":{"id":"v1_1"}}"#;

fn interaction() -> JobId {
    JobId::new(JobKind::Interaction, "v1_1").unwrap()
}

/// In Google's place, something that expects the interaction anew while it is asked about it.
async fn expects_anew<DB: Database>(
    inbox: &Inbox<DB>,
    status: u16,
    answer: Value,
) -> (WebhookService, AbortOnDropHandle<()>) {
    let inbox = inbox.clone();
    let answer = Arc::new(answer);
    let app = Router::new().route(
        "/v1/interactions/v1_1",
        get(move || {
            let (inbox, answer) = (inbox.clone(), Arc::clone(&answer));
            async move {
                inbox.expect(&interaction(), LATER).await.unwrap();
                let status = axum::http::StatusCode::from_u16(status).unwrap();
                (status, Json((*answer).clone()))
            }
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let service = WebhookService::builder()
        .api_key("fake-key-123")
        .base_url(format!("http://{}", listener.local_addr().unwrap()))
        .build()
        .unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (service, AbortOnDropHandle::new(serving))
}

async fn an_old_answer_says_nothing_about_a_job_that_is_expected_anew(home: impl Home) {
    let rig = Rig::new(home).await;
    let gone = json!({"error": {"code": 404, "message": "none", "status": "NOT_FOUND"}});
    for (name, status, answer, earlier_denials) in [
        (
            "a call to act",
            200,
            json!({"id": "v1_1", "status": "requires_action"}),
            0,
        ),
        (
            "it runs",
            200,
            json!({"id": "v1_1", "status": "in_progress"}),
            0,
        ),
        ("it is gone", 404, gone, 2),
    ] {
        rig.inbox.expect(&interaction(), AT_ONCE).await.unwrap();
        let denied = format!("UPDATE gemini_webhooks_inbox_jobs SET denied = {earlier_denials}");
        rig.home.execute(&denied).await;
        let (service, _serving) = expects_anew(&rig.inbox, status, answer).await;
        let pass = rig.inbox.watch(service).pass().await.unwrap();
        assert_eq!((pass.asked, pass.found, pass.given_up), (1, 0, 0), "{name}");
        assert_eq!(rig.inbox.entries().count().await.unwrap(), 0, "{name}");
        let known = rig
            .inbox
            .expectation(&interaction())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(known.progress(), Progress::Open, "{name}");
        let left = known
            .answer_by()
            .duration_since(known.written_at())
            .unwrap();
        assert!(left > LATER / 2, "{name}: {left:?}");
        assert_eq!(rig.inbox.awaited().await.unwrap().overdue, 0, "{name}");
    }
}

async fn a_copy_does_not_answer_a_job_that_is_expected_anew(home: impl Home) {
    let rig = Rig::new(home).await;
    rig.inbox.expect(&interaction(), LATER).await.unwrap();
    assert_eq!(deliver(&rig.inbox, "m_1", ACT).await.0, 200);
    assert_eq!(rig.inbox.awaited().await.unwrap().open, 0);
    // The handler acts, and the interaction goes on under its id.
    tokio::time::sleep(Duration::from_millis(2)).await;
    rig.inbox.expect(&interaction(), LATER).await.unwrap();
    assert_eq!(deliver(&rig.inbox, "m_1", ACT).await.0, 200, "a copy");
    assert_eq!(rig.inbox.awaited().await.unwrap().open, 1);
    assert_eq!(
        deliver(&rig.inbox, "m_2", ACT).await.0,
        200,
        "another call to act"
    );
    assert_eq!(rig.inbox.awaited().await.unwrap().open, 0);
}

async fn an_answer_is_kept_until_its_job_is_not_expected_any_more(home: impl Home) {
    let rig = Rig::new(home).await;
    let job = JobId::new(JobKind::Batch, "m_1").unwrap();
    rig.inbox.expect(&job, LATER).await.unwrap();
    // The other is of a job that nobody expects: it is removed, which shows that the worker has cleaned up.
    for id in ["m_1", "m_2"] {
        assert_eq!(deliver(&rig.inbox, id, BATCH).await.0, 200);
    }
    assert_eq!(rig.work().await.len(), 2);
    let day = 24 * 60 * 60 * 1000;
    let long_ago = format!(
        "UPDATE gemini_webhooks_inbox SET ended_at = ended_at - {}, copies_until = 0",
        30_i64 * day
    );
    rig.home.execute(&long_ago).await;
    let events = async || rig.inbox.entries().count().await.unwrap();
    rig.clean_up(async || events().await < 2).await;
    let kept = rig.inbox.entries().list().await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].webhook_id(), "m_1");
    rig.make_due().await;
    let pass = rig.watcher().pass().await.unwrap();
    assert_eq!((pass.asked, pass.found), (0, 0));
    rig.clean_up(async || events().await == 0).await;
    let old_job = format!(
        "UPDATE gemini_webhooks_inbox_jobs SET ended_at = ended_at - {}",
        8 * day
    );
    rig.home.execute(&old_job).await;
    let jobs = "SELECT count(*) FROM gemini_webhooks_inbox_jobs";
    rig.clean_up(async || rig.home.number(jobs).await == 0)
        .await;
}

async fn an_answer_about_another_job_is_none(home: impl Home) {
    let rig = Rig::new(home).await;
    let name = rig.start_batch(AT_ONCE).await;
    let other = json!({"name": "batches/other", "done": true, "metadata": {"state": "BATCH_STATE_SUCCEEDED"}});
    rig.google
        .fail(Call::BatchesGet, 1, Fault::Body(200, other.to_string()));
    let pass = rig.watcher().pass().await.unwrap();
    assert_eq!((pass.failed, pass.found), (1, 0));
    rig.google.disturb(1, DeliveryFault::Lose);
    rig.google
        .finish_batch(&name, BatchOutcome::Succeeded)
        .await
        .unwrap();
    rig.make_due().await;
    assert_eq!(rig.watcher().pass().await.unwrap().found, 1);
}

async fn what_cannot_be_read_holds_up_nothing(home: impl Home) {
    let rig = Rig::new(home).await;
    for id in ["1", "2", "3", "4", "5"] {
        let job = JobId::new(JobKind::Batch, id).unwrap();
        rig.inbox.expect(&job, AT_ONCE).await.unwrap();
    }
    for statement in [
        "UPDATE gemini_webhooks_inbox_jobs SET kind = 'song' WHERE id = '1'",
        "UPDATE gemini_webhooks_inbox_jobs SET metadata = '{' WHERE id = '2'",
        "UPDATE gemini_webhooks_inbox_jobs SET id = '' WHERE id = '3'",
        "UPDATE gemini_webhooks_inbox_jobs SET metadata = '[]' WHERE id = '4'",
        "UPDATE gemini_webhooks_inbox_jobs SET kind = 'batches' WHERE id = '5'",
    ] {
        rig.home.execute(statement).await;
    }
    rig.lose_batch().await;
    let watcher = rig.watcher().concurrency(1);
    let mut found = 0;
    let mut given_up = 0;
    for _ in 0..6 {
        let pass = watcher.pass().await.unwrap();
        found += pass.found;
        given_up += pass.given_up;
    }
    assert_eq!((found, given_up), (1, 1));
    let dead = rig.inbox.entries().state(State::Dead).list().await.unwrap();
    assert!(dead[0].history()[0].why().contains("none that a job has"));
}

async fn metadata_that_could_not_be_read_are_refused(home: impl Home) {
    let rig = Rig::new(home).await;
    let nested = (0..130).fold(Value::Null, |value, _| json!([value]));
    let expect = Expect::within(LATER).metadata("x", nested);
    let refused = rig
        .inbox
        .expect(&interaction(), expect.clone())
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), InboxErrorKind::Invalid);
    let refused = rig
        .inbox
        .announce(JobKind::Batch, expect)
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), InboxErrorKind::Invalid);
    assert_eq!(rig.inbox.awaited().await.unwrap().open, 0);
}

async fn jobs_of_an_exhausted_quota_hold_up_no_other(home: impl Home) {
    let rig = Rig::new(home).await;
    rig.google.disturb(1, DeliveryFault::Lose);
    let id = rig.start_interaction(AT_ONCE).await;
    rig.google
        .set_interaction(&id, InteractionStatus::InProgress)
        .await
        .unwrap();
    let name = rig.start_batch(AT_ONCE).await;
    rig.google
        .finish_batch(&name, BatchOutcome::Succeeded)
        .await
        .unwrap();
    rig.google
        .fail(Call::InteractionsGet, 100, Fault::Status(429));
    assert_eq!(rig.watcher().concurrency(1).pass().await.unwrap().failed, 1);
    // Another watcher, whose pause is over.
    assert_eq!(rig.watcher().concurrency(1).pass().await.unwrap().found, 1);
}

async fn errors_make_a_dead_letter_only_after_many_tries(home: impl Home) {
    let rig = Rig::new(home).await;
    let why = async |rig: &Rig<_>| {
        let dead = rig.inbox.entries().state(State::Dead).list().await.unwrap();
        dead.first().map(|dead| dead.history()[0].why().to_owned())
    };
    for (call, unnamed, part) in [
        (Call::BatchesGet, false, "has not said what became of it"),
        (Call::BatchesList, true, "cannot be looked for"),
    ] {
        if unnamed {
            rig.inbox.announce(JobKind::Batch, AT_ONCE).await.unwrap();
        } else {
            rig.start_batch(AT_ONCE).await;
        }
        rig.google.fail(call, 2, Fault::Status(500));
        rig.make_overdue(Duration::from_secs(8 * 24 * 60 * 60))
            .await;
        for (asked, given_up) in [(19, 0), (20, 1)] {
            let statement = format!(
                "UPDATE gemini_webhooks_inbox_jobs SET ask_at = 0, asked = {asked} WHERE state = 0"
            );
            rig.home.execute(&statement).await;
            let pass = rig.watcher().pass().await.unwrap();
            assert_eq!((pass.failed, pass.given_up), (1, given_up), "{call:?}");
        }
        assert!(why(&rig).await.unwrap().contains(part), "{call:?}");
        rig.home.execute("DELETE FROM gemini_webhooks_inbox").await;
    }
}

async fn a_list_without_an_end_is_broken_off(home: impl Home) {
    let rig = Rig::new(home).await;
    rig.inbox.announce(JobKind::Batch, AT_ONCE).await.unwrap();
    rig.make_due().await;
    let page = json!({"operations": [], "nextPageToken": "again"});
    rig.google
        .fail(Call::BatchesList, 10, Fault::Body(200, page.to_string()));
    let pass = rig.watcher().pass().await.unwrap();
    assert_eq!((pass.asked, pass.failed, pass.given_up), (2, 1, 0));
}

async fn two_passes_of_a_watcher_ask_once(home: impl Home) {
    let rig = Rig::new(home).await;
    for _ in 0..8 {
        rig.start_batch(AT_ONCE).await;
    }
    let watcher = rig.watcher();
    let (first, second) = tokio::join!(watcher.pass(), watcher.pass());
    assert_eq!(first.unwrap().asked + second.unwrap().asked, 8);
}

async fn started_beside_an_expect_of_the_same_job(home: impl Home) {
    let rig = Rig::new(home).await;
    let announced = rig.inbox.announce(JobKind::Batch, LATER).await.unwrap();
    let job = JobId::new(JobKind::Batch, "1").unwrap();
    let (expected, started) = tokio::join!(
        rig.inbox.expect(&job, LATER),
        rig.inbox.started(&announced, &job)
    );
    expected.unwrap();
    started.unwrap();
    let awaited = rig.inbox.awaited().await.unwrap();
    assert_eq!((awaited.open, awaited.unnamed), (1, 0));
}

on_both! {
    an_old_answer_says_nothing_about_a_job_that_is_expected_anew
    a_copy_does_not_answer_a_job_that_is_expected_anew
    an_answer_is_kept_until_its_job_is_not_expected_any_more
    an_answer_about_another_job_is_none
    what_cannot_be_read_holds_up_nothing
    metadata_that_could_not_be_read_are_refused
    jobs_of_an_exhausted_quota_hold_up_no_other
    errors_make_a_dead_letter_only_after_many_tries
    a_list_without_an_end_is_broken_off
    two_passes_of_a_watcher_ask_once
    started_beside_an_expect_of_the_same_job
}
