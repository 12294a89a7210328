use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, http::StatusCode, routing::post};
use gemini_webhooks::{GeminiEvent, VerifyError, VerifyLayer, WebhookReceiver};
use serde_json::json;

fn app(receiver: WebhookReceiver) -> Router {
    let callback = post(on_event)
        .layer(VerifyLayer::new(receiver))
        .layer(map_response(refusal));
    Router::new().route("/gemini-callback", callback)
}

/// `head` keeps the status and headers such as `Retry-After`. The body is
/// whatever a handler may return.
async fn refusal(response: Response) -> Response {
    let (head, body) = response.into_parts();
    let Some(error) = head.extensions.get::<VerifyError>() else {
        return Response::from_parts(head, body);
    };
    let problem = Json(json!({ "problem": error.kind().code() }));
    (head, problem).into_response()
}

async fn on_event(event: GeminiEvent) -> StatusCode {
    println!("{:?}", event.kind());
    StatusCode::OK
}
