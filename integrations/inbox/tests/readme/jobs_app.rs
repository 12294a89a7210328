use std::time::Duration;

use axum::{Router, routing::post};
use gemini_webhooks::client::{WebhookConfig, WebhookService};
use gemini_webhooks::{GeminiEvent, VerifyLayer, WebhookReceiverBuilder};
use gemini_webhooks_inbox::sqlx::Sqlite;
use gemini_webhooks_inbox::{Expect, Expectation, Inbox, StartError, Work};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Starts a batch. It is written down before, so that it is expected also if
/// this process dies in between.
async fn start(
    inbox: &Inbox<Sqlite>,
    service: &WebhookService,
    config: &WebhookConfig, // has the URL of this app
) -> Result<String, StartError> {
    let request = json!({"batch": {"inputConfig": {"fileName": "files/1"}}});
    let (model, batches) = ("gemini-3-flash-preview", service.batches());
    let expect = Expect::within(DAY).metadata("order", 7);
    let batch = inbox
        .start_batch(&batches, model, request, Some(config), expect)
        .await?;
    Ok(batch.name().to_owned())
}

/// Receives, works, and watches.
async fn run(
    listener: TcpListener,
    inbox: Inbox<Sqlite>,
    service: WebhookService, // `WebhookService::from_env()?`
    receiver: WebhookReceiverBuilder, // has `google_keys()`
    stop: CancellationToken,
) -> Result<(), Box<dyn std::error::Error>> {
    let receiver = receiver
        // Only what is about a job that is written down gets in.
        .accept_if(inbox.expects())
        .without_replay_protection()
        .build()?;
    let callback = post(inbox.handler()).layer(VerifyLayer::new(receiver));
    let app = Router::new().route("/gemini-webhook-dynamic", callback);

    let worker = inbox.worker().otherwise(
        async |event: GeminiEvent, work: Work<_>| {
            let expected = work.expectation().await?;
            let order = expected.as_ref().map(Expectation::metadata);
            println!("{:?} of {order:?}", event.type_name());
            Ok(())
        },
    );
    let watcher = inbox.watch(service);

    let server = axum::serve(listener, app)
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    let (served, worked, watched) = tokio::join!(
        server,
        worker.run_until(stop.cancelled()),
        watcher.run_until(stop.cancelled()),
    );
    served?;
    worked?;
    watched?;
    Ok(())
}
