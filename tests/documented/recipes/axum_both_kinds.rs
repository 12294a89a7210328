use axum::{Router, http::StatusCode, routing::post};
use gemini_webhooks::{
    ConfigError, EndpointToken, GeminiEvent, VerifyLayer, WebhookReceiver,
};

fn app(secret: &str, token: EndpointToken) -> Result<Router, ConfigError> {
    let of_project = WebhookReceiver::builder()
        .signing_secret(secret)
        .build()?;
    let of_jobs = WebhookReceiver::builder()
        .google_keys()
        .endpoint_token(token)
        .build()?;
    let of_project = post(on_event).layer(VerifyLayer::new(of_project));
    let of_jobs = post(on_event).layer(VerifyLayer::new(of_jobs));
    let routes = Router::new()
        .route("/gemini-callback", of_project)
        .route("/gemini-webhook-dynamic", of_jobs);
    Ok(routes)
}

async fn on_event(event: GeminiEvent) -> StatusCode {
    println!("{:?}", event.kind());
    StatusCode::OK
}
