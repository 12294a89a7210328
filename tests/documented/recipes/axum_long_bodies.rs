use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::{Router, http::StatusCode, routing::post};
use gemini_webhooks::{ConfigError, VerifyLayer, WebhookReceiver};

const MAX_BODY_BYTES: usize = 3 * 1024 * 1024;

fn app(secret: &str) -> Result<Router, ConfigError> {
    let receiver = WebhookReceiver::builder()
        .signing_secret(secret)
        .max_body_bytes(MAX_BODY_BYTES)
        .build()?;
    let callback = post(on_event)
        .route_layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(VerifyLayer::new(receiver));
    Ok(Router::new().route("/gemini-callback", callback))
}

async fn on_event(body: Bytes) -> StatusCode {
    println!("{} bytes", body.len());
    StatusCode::OK
}
