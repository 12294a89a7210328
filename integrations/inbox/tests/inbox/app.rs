//! An app behind a `VerifyLayer`, deliveries signed by the official library, and handlers that are watched.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use gemini_webhooks::{
    Clock as _, Delivery, GeminiEvent, SystemClock, VerifyLayer, WebhookReceiver, testing,
};
use gemini_webhooks_inbox::{Database, Depth, Inbox};
use http::Request;
use http_body_util::BodyExt as _;
use standardwebhooks::Webhook;
use tower::ServiceExt as _;

pub(crate) const BATCH: &str = r#"{"type":"batch.succeeded","version":"v1","timestamp":"2026-11-26T10:00:00Z","data":{"id":"batches/1","output_file_uri":"files/1"}}"#;
pub(crate) const VIDEO: &str = r#"{"type":"video.generated","version":"v1","timestamp":"2026-11-26T10:00:00Z","data":{"id":"videos/1"}}"#;

/// The receiver of a replica: it remembers nothing, so that the inbox has to.
pub(crate) fn receiver() -> WebhookReceiver {
    WebhookReceiver::builder()
        .signing_secret(testing::SECRET)
        .without_replay_protection()
        .build()
        .unwrap()
}

pub(crate) fn router<DB: Database>(inbox: &Inbox<DB>) -> Router {
    Router::new().route(
        "/",
        post(inbox.handler()).route_layer(VerifyLayer::new(receiver())),
    )
}

/// The event as one of this `webhook-id` has it: about a job of its own.
pub(crate) fn about(id: &str, event: &str) -> String {
    event
        .replace("\"batches/1\"", &format!("\"batches/{id}\""))
        .replace("\"videos/1\"", &format!("\"videos/{id}\""))
}

pub(crate) fn request(id: &str, event: &str) -> Request<Body> {
    let event = about(id, event);
    let now = SystemClock
        .now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let now = i64::try_from(now).unwrap();
    let signature = Webhook::new(testing::SECRET)
        .unwrap()
        .sign(id, now, event.as_bytes())
        .unwrap();
    Request::post("/")
        .header("webhook-id", id)
        .header("webhook-timestamp", now)
        .header("webhook-signature", signature)
        .body(Body::from(event))
        .unwrap()
}

/// Delivers an event, and returns the answer's status and body.
pub(crate) async fn deliver<DB: Database>(
    inbox: &Inbox<DB>,
    id: &str,
    event: &str,
) -> (u16, String) {
    let answer = router(inbox).oneshot(request(id, event)).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// What a handler in the place of the inbox's would be given.
pub(crate) async fn verified(id: &str, event: &str) -> (Delivery, GeminiEvent) {
    let seen = Arc::new(Mutex::new(None));
    let seen_by_handler = Arc::clone(&seen);
    let handler = move |event: GeminiEvent, delivery: Delivery| async move {
        *seen_by_handler.lock().unwrap() = Some((delivery, event));
    };
    let app: Router =
        Router::new().route("/", post(handler).route_layer(VerifyLayer::new(receiver())));
    let answer = app.oneshot(request(id, event)).await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    seen.lock().unwrap().take().unwrap()
}

/// What handlers have done, in order.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    pub(crate) fn add(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Looks every few milliseconds until this holds of the inbox. A test that waits in vain fails.
pub(crate) async fn until<DB: Database>(
    inbox: &Inbox<DB>,
    holds: impl Fn(&Depth) -> bool,
) -> Depth {
    for _ in 0..2_000 {
        let depth = inbox.depth().await.unwrap();
        if holds(&depth) {
            return depth;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still {:?}", inbox.depth().await);
}

/// Nothing waits, and nothing runs.
pub(crate) fn is_empty(depth: &Depth) -> bool {
    depth.waiting == 0 && depth.running == 0
}
