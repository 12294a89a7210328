use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::{Router, http::StatusCode, routing::post};
use gemini_webhooks::{GeminiEvent, VerifyLayer, WebhookReceiver};
use http_body_util::Full;
use tower::ServiceBuilder;

/// Each `layer` stands around those below it.
fn app(receiver: WebhookReceiver) -> Router {
    let layers = ServiceBuilder::new()
        .layer(VerifyLayer::new(receiver))
        .map_request(|request: Request<Full<Bytes>>| request.map(Body::new))
        .layer(from_fn(count));
    Router::new().route("/gemini-callback", post(on_event).layer(layers))
}

async fn count(event: GeminiEvent, request: Request, next: Next) -> Response {
    println!("one more of type {:?}", event.type_name());
    next.run(request).await
}

async fn on_event(event: GeminiEvent) -> StatusCode {
    println!("{:?}", event.kind());
    StatusCode::OK
}
