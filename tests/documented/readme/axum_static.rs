use axum::{Router, http::StatusCode, routing::post};
use gemini_webhooks::{ConfigError, GeminiEvent, VerifyLayer, WebhookReceiver};

fn app(secret: &str) -> Result<Router, ConfigError> {
    let receiver = WebhookReceiver::builder().signing_secret(secret).build()?;
    let callback = post(on_event).layer(VerifyLayer::new(receiver));
    Ok(Router::new().route("/gemini-callback", callback))
}

async fn on_event(event: GeminiEvent) -> StatusCode {
    println!("{:?}", event.kind());
    StatusCode::OK
}
