use axum::{Router, http::StatusCode, routing::post};
use gemini_webhooks::client::WebhookService;
use gemini_webhooks::{
    EndpointToken, GeminiEvent, VerifyLayer, WebhookReceiver,
    WebhookReceiverBuilder,
};

/// `service` has the API key of the project that starts the jobs.
fn receiver(
    service: &WebhookService,
    token: EndpointToken,
) -> WebhookReceiverBuilder {
    WebhookReceiver::builder()
        .google_keys()
        .endpoint_token(token)
        .accept_if(service.owns())
}

fn app(receiver: WebhookReceiver) -> Router {
    let callback = post(on_event).layer(VerifyLayer::new(receiver));
    Router::new().route("/gemini-webhook-dynamic", callback)
}

async fn on_event(event: GeminiEvent) -> StatusCode {
    println!("ours: {:?}", event.job());
    StatusCode::OK
}
