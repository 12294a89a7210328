use axum::{Router, http::StatusCode, routing::post};
use gemini_webhooks::client::{WebhookConfig, WebhookService};
use gemini_webhooks::{
    EndpointToken, GeminiEvent, VerifyLayer, WebhookReceiver,
};
use serde_json::json;

/// Starts a batch whose events come to this app. Returns its name.
async fn start(
    service: &WebhookService,
    token: &EndpointToken,
) -> Result<String, Box<dyn std::error::Error>> {
    let config = WebhookConfig::new()
        .uri("https://example.com/gemini-webhook-dynamic")
        .with_endpoint_token(token)
        .user_metadata("job_group", "nightly");
    let request = json!({
        "batch": {
            "displayName": "nightly",
            "inputConfig": { "fileName": "files/abc123" },
        },
    });
    let batches = service.batches();
    let batch = batches
        .create("gemini-3-flash-preview", request, Some(&config))
        .await?;
    Ok(batch.name().to_owned())
}

/// `receiver` has `google_keys()` and the same `endpoint_token`.
fn app(receiver: WebhookReceiver) -> Router {
    let route = post(on_event).layer(VerifyLayer::new(receiver));
    Router::new().route("/gemini-webhook-dynamic", route)
}

async fn on_event(event: GeminiEvent) -> StatusCode {
    println!("{:?}", event.kind());
    StatusCode::OK
}
