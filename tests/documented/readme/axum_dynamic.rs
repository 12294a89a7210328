use axum::{Router, http::StatusCode, routing::post};
use gemini_webhooks::{ConfigError, EndpointToken, GeminiEvent, VerifyLayer, WebhookReceiver};

fn receiver(token: EndpointToken) -> Result<WebhookReceiver, ConfigError> {
    println!(
        "hand out {}",
        token.url("https://example.com/gemini-webhook-dynamic")
    );
    WebhookReceiver::builder()
        .google_keys()
        .endpoint_token(token)
        .build()
}

fn app(receiver: WebhookReceiver) -> Router {
    let route = post(on_event).layer(VerifyLayer::new(receiver));
    Router::new().route("/gemini-webhook-dynamic", route)
}

async fn on_event(event: GeminiEvent) -> StatusCode {
    println!("{:?}", event.kind());
    StatusCode::OK
}
