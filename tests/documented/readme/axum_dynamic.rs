use axum::{Router, http::StatusCode, routing::post};
use gemini_webhooks::{
    ConfigError, EndpointToken, GeminiEvent, VerifyLayer, WebhookReceiver,
};

fn receiver(token: EndpointToken) -> Result<WebhookReceiver, ConfigError> {
    WebhookReceiver::builder()
        .google_keys()
        .endpoint_token(token)
        .build()
}

fn app(receiver: WebhookReceiver) -> Router {
    let callback = post(on_event).layer(VerifyLayer::new(receiver));
    Router::new().route("/gemini-webhook-dynamic", callback)
}

async fn on_event(event: GeminiEvent) -> StatusCode {
    println!("{:?}", event.kind());
    StatusCode::OK
}
