use axum::extract::{MatchedPath, Request};
use axum::{Router, http::StatusCode, routing::post};
use gemini_webhooks::{GeminiEvent, VerifyLayer, WebhookReceiver};
use tower_http::trace::TraceLayer;
use tracing::info_span;

fn app(receiver: WebhookReceiver) -> Router {
    let trace = TraceLayer::new_for_http().make_span_with(|request: &Request| {
        let route = request.extensions().get::<MatchedPath>();
        let route = route.map(MatchedPath::as_str);
        info_span!("request", method = %request.method(), route)
    });
    let callback = post(on_event).layer(VerifyLayer::new(receiver));
    Router::new()
        .route("/gemini-webhook-dynamic", callback.clone())
        .route("/gemini-webhook-dynamic/{token}", callback)
        .layer(trace)
}

async fn on_event(event: GeminiEvent) -> StatusCode {
    println!("{:?}", event.kind());
    StatusCode::OK
}
