//! Apps behind a `VerifyLayer`, and signed deliveries to them.

use std::sync::{Arc, LazyLock};
use std::time::UNIX_EPOCH;

use axum::Router;
use axum::body::Body;
use axum::routing::{MethodRouter, post};
use gemini_webhooks::{
    Clock as _, SigningSecret, SystemClock, VerifyLayer, WebhookReceiver, testing,
};
use gemini_webhooks_benches::tasks::{Contender, Error};
use gemini_webhooks_inbox::{Database, Inbox};
use http::Request;
use tower::ServiceExt as _;

static SECRET: LazyLock<SigningSecret> =
    LazyLock::new(|| testing::SECRET.parse().expect("a secret"));

/// An app whose receiver remembers nothing: what it stores into has to.
pub(crate) fn app(handler: MethodRouter) -> Result<Router, Error> {
    let receiver = WebhookReceiver::builder()
        .signing_secret(testing::SECRET)
        .without_replay_protection()
        .build()?;
    Ok(Router::new().route("/", handler.route_layer(VerifyLayer::new(receiver))))
}

pub(crate) fn app_of<DB: Database>(inbox: &Inbox<DB>) -> Result<Router, Error> {
    app(post(inbox.handler()))
}

/// Delivers the event of this number, which is to be answered 200.
pub(crate) async fn deliver(app: Router, number: u64) -> Result<(), Error> {
    // Each about a job of its own: of one job only the first would be stored.
    let event = testing::SAMPLE_EVENTS[0].replace("8kq2", &id(number));
    let now = SystemClock.now().duration_since(UNIX_EPOCH)?;
    let mut request = Request::post("/").body(Body::from(event.clone()))?;
    for (name, value) in testing::sign_v1(&SECRET, &id(number), now.as_secs(), &event) {
        request.headers_mut().insert(name, value.parse()?);
    }
    match app.oneshot(request).await?.status().as_u16() {
        200 => Ok(()),
        status => Err(format!("answered {status}").into()),
    }
}

/// As ids are: not in the order in which they come.
pub(crate) fn id(number: u64) -> String {
    let mixed = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    format!("msg_{:032x}", mixed ^ (mixed >> 64))
}

/// Deliveries to an app, of events from this number on.
pub(crate) fn delivered(name: &str, app: Router, first: u64) -> Contender {
    let app = Arc::new(app);
    Contender::new(name, move |number| {
        deliver(Router::clone(&app), first + number)
    })
}
