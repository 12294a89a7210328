use axum::{Router, http::StatusCode, routing::post};
use gemini_webhooks::{ConfigError, GeminiEvent, VerifyLayer, WebhookReceiver};

fn app(secret: &str) -> Result<Router, ConfigError> {
    let receiver = WebhookReceiver::builder().signing_secret(secret).build()?;
    let verify = VerifyLayer::new(receiver);
    let routes = Router::new()
        .route("/batches", post(on_batch).layer(verify.clone()))
        .route("/videos", post(on_video).layer(verify));
    Ok(routes)
}

async fn on_batch(event: GeminiEvent) -> StatusCode {
    println!("{:?}", event.kind());
    StatusCode::OK
}

async fn on_video(event: GeminiEvent) -> StatusCode {
    println!("{:?}", event.kind());
    StatusCode::OK
}
