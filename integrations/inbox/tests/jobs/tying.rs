//! `accept_if(inbox.expects())`: deliveries of jobs that were written down, and of others.

use gemini_webhooks::WebhookReceiver;
use gemini_webhooks::event::{JobId, JobKind};
use gemini_webhooks::testing::google::{
    BatchOutcome, DeliveryFault, InteractionStatus, MockGoogle,
};

use crate::app::{BATCH, deliver};
use crate::home::Home;
use crate::on_both;
use crate::rig::{AT_ONCE, LATER, Rig, batch_request};

/// What the app answered to the deliveries about this job.
fn answers(google: &MockGoogle, job: &str) -> Vec<u16> {
    let about = google.deliveries().into_iter().filter(|sent| {
        let body = String::from_utf8_lossy(&sent.body).into_owned();
        body.contains(job)
    });
    let attempts = about.flat_map(|sent| sent.attempts);
    attempts.map(|attempt| attempt.answer.unwrap()).collect()
}

async fn only_jobs_that_were_written_down_get_in(home: impl Home) {
    let rig = Rig::new(home).await;
    let own = rig.start_batch(LATER).await;
    // A stranger's, who has the URL: Google signs it as well.
    let batches = rig.service.batches();
    let config = rig
        .config
        .clone()
        .user_metadata("gemini_webhooks_id", "a guess");
    let strange = batches
        .create("gemini-3", batch_request(), Some(&config))
        .await
        .unwrap();
    for (name, status) in [(&*own, 200), (strange.name(), 400)] {
        rig.google
            .finish_batch(name, BatchOutcome::Succeeded)
            .await
            .unwrap();
        assert_eq!(answers(&rig.google, name), [status], "{name}");
    }
    // A retry, after the event is worked off.
    assert_eq!(rig.work().await.len(), 1);
}

async fn a_job_that_may_be_about_to_be_named_comes_again(home: impl Home) {
    let rig = Rig::new(home).await;
    let announced = rig.inbox.announce(JobKind::Batch, LATER).await.unwrap();
    let batches = rig.service.batches();
    // Without the id in its metadata, so that its event does not tell whose it is.
    let batch = batches
        .create("gemini-3", batch_request(), Some(&rig.config))
        .await
        .unwrap();
    rig.google
        .finish_batch(batch.name(), BatchOutcome::Succeeded)
        .await
        .unwrap();
    assert_eq!(answers(&rig.google, batch.name()), [503]);
    // Of another kind nothing is being started.
    let interactions = rig.service.interactions();
    let request = crate::rig::interaction_request();
    let other = interactions
        .create(request, Some(&rig.config))
        .await
        .unwrap();
    rig.google
        .set_interaction(other.id(), InteractionStatus::Completed)
        .await
        .unwrap();
    assert_eq!(answers(&rig.google, other.id()), [400]);

    let job = JobId::new(JobKind::Batch, batch.name()).unwrap();
    rig.inbox.started(&announced, &job).await.unwrap();
    rig.google.retry_now().await;
    assert_eq!(answers(&rig.google, batch.name()), [503, 200]);
    assert_eq!(rig.work().await.len(), 1);
}

async fn a_job_without_a_name_whose_time_is_over_holds_up_nobody(home: impl Home) {
    let rig = Rig::new(home).await;
    rig.inbox.announce(JobKind::Batch, AT_ONCE).await.unwrap();
    rig.make_due().await;
    assert_eq!(rig.watcher().pass().await.unwrap().given_up, 1);
    let batches = rig.service.batches();
    let strange = batches
        .create("gemini-3", batch_request(), Some(&rig.config))
        .await
        .unwrap();
    rig.google
        .finish_batch(strange.name(), BatchOutcome::Succeeded)
        .await
        .unwrap();
    assert_eq!(answers(&rig.google, strange.name()), [400]);
}

async fn a_dead_database_is_503(home: impl Home) {
    let rig = Rig::new(home).await;
    let own = rig.start_batch(LATER).await;
    rig.home
        .execute("ALTER TABLE gemini_webhooks_inbox_jobs RENAME TO away")
        .await;
    rig.google
        .finish_batch(&own, BatchOutcome::Succeeded)
        .await
        .unwrap();
    assert_eq!(answers(&rig.google, &own), [503]);
    rig.home
        .execute("ALTER TABLE away RENAME TO gemini_webhooks_inbox_jobs")
        .await;
    rig.google.retry_now().await;
    assert_eq!(answers(&rig.google, &own), [503, 200]);
}

async fn a_webhook_of_a_backfilled_job_is_a_copy(home: impl Home) {
    let rig = Rig::new(home).await;
    let batches = rig.service.batches();
    let batch = batches.create("gemini-3", batch_request(), Some(&rig.config));
    let name = batch.await.unwrap().name().to_owned();
    rig.google.disturb(
        1,
        DeliveryFault::Delay(std::time::Duration::from_secs(3600)),
    );
    let ended = rig.google.finish_batch(&name, BatchOutcome::Succeeded);
    ended.await.unwrap();
    let backfilled = rig.inbox.backfill(&rig.service).run().await.unwrap();
    assert_eq!(backfilled.found, 1);
    rig.google.retry_now().await;
    assert_eq!(answers(&rig.google, &name), [200]);
    assert_eq!(rig.work().await.len(), 1);
}

async fn static_webhooks_are_the_projects_own(home: impl Home) {
    let rig = Rig::new(home).await;
    let receiver = WebhookReceiver::builder()
        .signing_secret(gemini_webhooks::testing::SECRET)
        .accept_if(rig.inbox.expects())
        .without_replay_protection()
        .build()
        .unwrap();
    let layer = gemini_webhooks::VerifyLayer::new(receiver);
    let app = axum::routing::post(rig.inbox.handler()).route_layer(layer);
    let app = axum::Router::new().route("/", app);
    let request = crate::app::request("m_1", BATCH);
    let answer = tower::ServiceExt::oneshot(app, request).await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(
        deliver(&rig.inbox, "m_1", BATCH).await.0,
        200,
        "without the check too"
    );
}

on_both! {
    only_jobs_that_were_written_down_get_in
    a_job_that_may_be_about_to_be_named_comes_again
    a_job_without_a_name_whose_time_is_over_holds_up_nobody
    a_dead_database_is_503
    a_webhook_of_a_backfilled_job_is_a_copy
    static_webhooks_are_the_projects_own
}
