use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::{Router, http::StatusCode, routing::post};
use gemini_webhooks::{GeminiEvent, VerifyLayer, WebhookReceiver};

/// Each layer stands around those above it.
fn app(receiver: WebhookReceiver) -> Router {
    let callback = post(on_event)
        .route_layer(from_fn(count))
        .layer(VerifyLayer::new(receiver));
    Router::new().route("/gemini-callback", callback)
}

async fn count(event: GeminiEvent, request: Request, next: Next) -> Response {
    println!("one more of type {:?}", event.type_name());
    next.run(request).await
}

async fn on_event(event: GeminiEvent) -> StatusCode {
    println!("{:?}", event.kind());
    StatusCode::OK
}
