use axum::{Router, routing::post};
use gemini_webhooks::event::BatchSucceeded;
use gemini_webhooks::{GeminiEvent, VerifyLayer, WebhookReceiver};
use gemini_webhooks_inbox::{Inbox, Work};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

async fn run(
    listener: TcpListener,
    secret: &str,
    database: &str, // such as "webhooks.db"
    stop: CancellationToken,
) -> Result<(), Box<dyn std::error::Error>> {
    let inbox = Inbox::sqlite(database).await?;

    let receiver = WebhookReceiver::builder()
        .signing_secret(secret)
        // The inbox recognises copies, over restarts and for all replicas.
        .without_replay_protection()
        .build()?;
    let callback = post(inbox.handler()).layer(VerifyLayer::new(receiver));
    let app = Router::new().route("/gemini-callback", callback);

    let worker = inbox
        .worker()
        .on(async |batch: BatchSucceeded, work: Work<_>| {
            println!("{:?} is ready, attempt {}", batch.id(), work.attempt());
            Ok(())
        })
        .otherwise(async |event: GeminiEvent, _: Work<_>| {
            println!("{:?} happened", event.type_name());
            Ok(())
        })
        .concurrency(8)
        .max_attempts(20);

    let server = axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned());
    let (served, worked) = tokio::join!(server, worker.run_until(stop.cancelled()));
    served?;
    worked?;
    Ok(())
}
