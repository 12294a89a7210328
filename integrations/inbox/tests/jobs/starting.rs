//! Jobs that the inbox starts, and crashes in between.

use gemini_webhooks::client::WebhookService;
use gemini_webhooks::event::JobKind;
use gemini_webhooks::testing::google::{API_KEY, BatchOutcome, Call, Fault, InteractionStatus};
use gemini_webhooks_inbox::{Expect, StartErrorKind, State};
use serde_json::json;

use crate::home::Home;
use crate::on_both;
use crate::rig::{AT_ONCE, LATER, Rig, batch_request, interaction_request};

async fn a_started_job_is_expected_with_its_metadata(home: impl Home) {
    let rig = Rig::new(home).await;
    let config = rig.config.clone().user_metadata("order", 7);
    let expect = Expect::within(LATER).metadata("kind", "nightly");
    let batches = rig.service.batches();
    let batch = rig
        .inbox
        .start_batch(&batches, "gemini-3", batch_request(), Some(&config), expect)
        .await
        .unwrap();
    let job = batch.job().unwrap();
    let known = rig.inbox.expectation(&job).await.unwrap().unwrap();
    assert_eq!(
        json!(known.metadata()),
        json!({"kind": "nightly", "order": 7})
    );
    let own_id = known.announced().id();
    assert_eq!(batch.display_name(), Some(&*format!("nightly ({own_id})")));
    rig.google
        .finish_batch(batch.name(), BatchOutcome::Succeeded)
        .await
        .unwrap();
    let sent = &rig.google.deliveries()[0];
    assert!(sent.is_delivered, "{:?}", sent.attempts);
    let body: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
    let carried = body
        .pointer("/user_metadata")
        .or(body.pointer("/data/user_metadata"));
    assert_eq!(
        carried,
        Some(&json!({"gemini_webhooks_id": own_id, "kind": "nightly", "order": 7}))
    );
    assert_eq!(rig.work().await.len(), 1);
}

async fn what_was_not_started_is_not_expected(home: impl Home) {
    let rig = Rig::new(home).await;
    rig.google.fail(Call::BatchesCreate, 1, Fault::Status(400));
    let (batches, config) = (rig.service.batches(), Some(&rig.config));
    let start = rig
        .inbox
        .start_batch(&batches, "gemini-3", batch_request(), config, LATER);
    let error = start.await.unwrap_err();
    assert_eq!(error.kind(), StartErrorKind::NotStarted);
    assert!(
        error.to_string().starts_with("the job was not started: "),
        "{error}"
    );
    assert_eq!(error.client_error().unwrap().status(), Some(400));
    assert_eq!(rig.inbox.awaited().await.unwrap().open, 0);

    rig.home
        .execute("DROP TABLE gemini_webhooks_inbox_jobs")
        .await;
    let start = rig
        .inbox
        .start_batch(&batches, "gemini-3", batch_request(), config, LATER);
    let error = start.await.unwrap_err();
    assert_eq!(error.kind(), StartErrorKind::NotWritten);
    assert_eq!(rig.google.requests().len(), 1, "nothing more was started");
}

/// A service whose answer to the start is lost.
fn once<H: Home>(rig: &Rig<H>) -> WebhookService {
    let service = WebhookService::builder().api_key(API_KEY).max_retries(0);
    service.base_url(rig.google.base_url()).build().unwrap()
}

async fn a_batch_whose_name_was_lost_is_found_in_the_list(home: impl Home) {
    let rig = Rig::new(home).await;
    for _ in 0..250 {
        let batches = rig.service.batches();
        batches
            .create("gemini-3", batch_request(), None)
            .await
            .unwrap();
    }
    rig.google.fail(Call::BatchesCreate, 1, Fault::CloseAfter);
    let (batches, config) = (once(&rig).batches(), Some(&rig.config));
    let start = rig
        .inbox
        .start_batch(&batches, "gemini-3", batch_request(), config, AT_ONCE);
    let error = start.await.unwrap_err();
    assert_eq!(error.kind(), StartErrorKind::MayHaveStarted);
    assert!(
        error.to_string().contains("do not start it again"),
        "{error}"
    );
    assert_eq!(rig.inbox.awaited().await.unwrap().unnamed, 1);

    let pass = rig.watcher().pass().await.unwrap();
    assert_eq!(pass.asked, 0, "it may be about to be named");
    rig.make_due().await;
    rig.google.fail(Call::BatchesList, 1, Fault::Status(503));
    let pass = rig.watcher().pass().await.unwrap();
    assert_eq!(
        (pass.asked, pass.named, pass.failed, pass.given_up),
        (1, 0, 1, 0)
    );
    rig.make_due().await;
    let pass = rig.watcher().pass().await.unwrap();
    assert_eq!((pass.named, pass.running), (1, 1), "{pass:?}");
    assert!(pass.asked >= 2, "{pass:?}");
    assert_eq!(rig.inbox.awaited().await.unwrap().unnamed, 0);
}

async fn a_batch_that_is_in_no_list_is_a_dead_letter(home: impl Home) {
    let rig = Rig::new(home).await;
    rig.start_batch(LATER).await;
    rig.inbox.announce(JobKind::Batch, LATER).await.unwrap();
    let watcher = rig.watcher();
    assert_eq!(
        watcher.pass().await.unwrap().asked,
        0,
        "it may be about to be named"
    );
    rig.make_due().await;
    let pass = watcher.pass().await.unwrap();
    assert_eq!(
        (pass.given_up, pass.running),
        (0, 1),
        "its time is not over"
    );
    rig.make_overdue(LATER).await;
    assert_eq!(watcher.pass().await.unwrap().given_up, 1);
    let dead = rig.inbox.entries().state(State::Dead).list().await.unwrap();
    assert!(
        dead[0].history()[0]
            .why()
            .contains("no batch of the project has its id")
    );
    assert_eq!(
        dead[0].event().type_name(),
        Some("gemini-webhooks.batch.lost")
    );
}

async fn an_interaction_whose_name_was_lost_is_named_by_its_delivery(home: impl Home) {
    let rig = Rig::new(home).await;
    let interactions = once(&rig).interactions();
    let start = async |within| {
        rig.google
            .fail(Call::InteractionsCreate, 1, Fault::CloseAfter);
        let config = Some(&rig.config);
        let request = interaction_request();
        let start = rig
            .inbox
            .start_interaction(&interactions, request, config, within);
        assert_eq!(
            start.await.unwrap_err().kind(),
            StartErrorKind::MayHaveStarted
        );
    };
    start(LATER).await;
    start(AT_ONCE).await;
    rig.make_due_if_over().await;
    assert_eq!(
        rig.watcher().pass().await.unwrap().given_up,
        1,
        "the second"
    );
    let dead = rig.inbox.entries().state(State::Dead).list().await.unwrap();
    assert!(
        dead[0].history()[0]
            .why()
            .contains("what it is called is not known")
    );

    // Both run all the same, and end: the first on time, the second late.
    for id in rig.google.job_names() {
        rig.google
            .set_interaction(&id, InteractionStatus::Completed)
            .await
            .unwrap();
    }
    assert!(rig.google.deliveries().iter().all(|sent| sent.is_delivered));
    assert_eq!(rig.work().await.len(), 2);
    assert_eq!(rig.inbox.awaited().await.unwrap().unnamed, 0);
}

on_both! {
    a_started_job_is_expected_with_its_metadata
    what_was_not_started_is_not_expected
    a_batch_whose_name_was_lost_is_found_in_the_list
    a_batch_that_is_in_no_list_is_a_dead_letter
    an_interaction_whose_name_was_lost_is_named_by_its_delivery
}
