//! The endpoint token behind routers that change the URL before the layer sees it.
#![cfg(all(feature = "axum", feature = "testing"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails loudly")]

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::routing::post;
use gemini_webhooks::testing::{self, ManualClock};
use gemini_webhooks::{EndpointToken, VerifyError, VerifyLayer, WebhookReceiver};
use http::{Request, Response};
use tower::{Layer as _, ServiceExt as _};
use tower_http::normalize_path::NormalizePathLayer;

const TOKEN: &str = "Zm9yLXRlc3RzLW9ubHktMTIz";

/// The status, and why it was refused.
struct Answer(u16, String);

/// Sends a genuine delivery to `target`.
async fn deliver<S>(app: S, clock: &ManualClock, target: &str) -> Answer
where
    S: tower::Service<Request<Body>, Response = Response<Body>, Error: std::fmt::Debug>,
{
    let body = testing::SAMPLE_EVENTS[0];
    let mut request = Request::post(target).body(Body::from(body)).unwrap();
    let secret = testing::SECRET.parse().unwrap();
    for (name, value) in testing::sign_v1(&secret, "msg_1", clock.unix_seconds(), body) {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let response = app.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let why = to_bytes(response.into_body(), 4096).await.unwrap();
    Answer(status, String::from_utf8(why.to_vec()).unwrap())
}

/// What it refuses is told to the sender here, as to the log elsewhere.
fn layer(clock: &ManualClock) -> VerifyLayer {
    let receiver = WebhookReceiver::builder()
        .signing_secret(testing::SECRET)
        .endpoint_token(EndpointToken::new(TOKEN).unwrap())
        .clock(clock.clone())
        .without_replay_protection()
        .build()
        .unwrap();
    VerifyLayer::new(receiver).with_response(|error: &VerifyError| {
        let mut response = Response::new(Bytes::from(error.to_string()));
        *response.status_mut() = http::StatusCode::from_u16(error.status()).unwrap();
        response
    })
}

fn on_event(path: &str, layer: VerifyLayer) -> Router {
    Router::new().route(path, post(|| async {}).route_layer(layer))
}

#[tokio::test]
async fn under_a_router_that_nests() {
    let clock = ManualClock::default();
    let layer = || layer(&clock);
    let in_path = format!("/hook/{TOKEN}");
    let in_query = format!("/hook?token={TOKEN}");
    let wrong = format!("/hook/{TOKEN}0");

    let flat = || on_event("/hook/{token}", layer()).merge(on_event("/hook", layer()));
    let before = || Router::new().nest("/hook", on_event("/{token}", layer()));
    let query = || Router::new().nest("/hook", on_event("/", layer()));
    let around = || {
        let inner = Router::new().route("/", post(|| async {}));
        Router::new().nest("/hook/{token}", inner).layer(layer())
    };
    for (what, app, target, expected) in [
        ("flat", flat(), &in_path, 200),
        ("flat", flat(), &in_query, 200),
        ("flat", flat(), &wrong, 400),
        ("the token behind what is nested", before(), &in_path, 200),
        ("the token behind what is nested", before(), &wrong, 400),
        ("the token in the query", query(), &in_query, 200),
        ("the layer around", around(), &in_path, 200),
        ("the layer around", around(), &wrong, 400),
    ] {
        let Answer(status, why) = deliver(app, &clock, target).await;
        assert_eq!(status, expected, "{what}, {target}: {why}");
    }

    let hidden = Router::new().nest("/hook/{token}", on_event("/", layer()));
    let Answer(status, why) = deliver(hidden, &clock, &in_path).await;
    assert_eq!(status, 400);
    assert!(
        why.contains("axum's `nest`") && !why.contains(TOKEN),
        "{why}"
    );
}

#[tokio::test]
async fn under_middleware_that_unifies_paths() {
    let clock = ManualClock::default();
    for target in [format!("/hook/{TOKEN}"), format!("/hook/{TOKEN}/")] {
        for normalize in [
            NormalizePathLayer::trim_trailing_slash(),
            NormalizePathLayer::append_trailing_slash(),
        ] {
            let app = on_event("/hook/{token}", layer(&clock))
                .merge(on_event("/hook/{token}/", layer(&clock)));
            let Answer(status, why) = deliver(normalize.layer(app), &clock, &target).await;
            assert_eq!(status, 200, "{normalize:?}, {target}: {why}");
        }
    }
}
