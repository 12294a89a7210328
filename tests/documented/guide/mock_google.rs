use std::sync::atomic::{AtomicU32, Ordering};

use axum::{Router, http::StatusCode, routing::post};
use gemini_webhooks::client::{
    EnsuredSecret, SubscribedEvent, WebhookService, WebhookSpec,
};
use gemini_webhooks::testing::google::{API_KEY, BatchOutcome, MockGoogle};
use gemini_webhooks::{ConfigError, GeminiEvent, VerifyLayer, WebhookReceiver};
use serde_json::json;
use tokio::net::TcpListener;

fn app(secret: &str) -> Result<Router, ConfigError> {
    let receiver = WebhookReceiver::builder().signing_secret(secret).build()?;
    let callback = post(on_event).layer(VerifyLayer::new(receiver));
    Ok(Router::new().route("/gemini-callback", callback))
}

static RUNS: AtomicU32 = AtomicU32::new(0);

/// Fails the first time.
async fn on_event(_: GeminiEvent) -> StatusCode {
    match RUNS.fetch_add(1, Ordering::SeqCst) {
        0 => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::OK,
    }
}

#[tokio::test]
async fn a_retry_is_handled() -> Result<(), Box<dyn std::error::Error>> {
    let google = MockGoogle::start().await?;
    let service = WebhookService::builder()
        .base_url(google.base_url())
        .api_key(API_KEY)
        .build()?;

    let uri = "https://example.com/gemini-callback";
    let spec = WebhookSpec::new(uri, SubscribedEvent::ALL);
    let ensured = service.ensure(&spec).await?;
    let EnsuredSecret::New(secret) = ensured.secret() else {
        return Err(format!("no secret: {ensured}").into());
    };
    let app = app(secret.expose())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    // Without this, nothing is delivered to an `https` URI.
    let here = format!("http://{}", listener.local_addr()?);
    google.forward("https://example.com", &here);
    tokio::spawn(async move { axum::serve(listener, app).await });

    let request = json!({"batch": {"inputConfig": {"fileName": "files/1"}}});
    let batch = service.batches().create("gemini-3", request, None).await?;
    // Ends the job, and delivers its event.
    google
        .finish_batch(batch.name(), BatchOutcome::Succeeded)
        .await?;
    assert!(!google.deliveries()[0].is_delivered);
    google.retry_now().await;
    assert!(google.deliveries()[0].is_delivered);
    assert_eq!(google.deliveries()[0].attempts.len(), 2);
    assert_eq!(RUNS.load(Ordering::SeqCst), 2);
    Ok(())
}
