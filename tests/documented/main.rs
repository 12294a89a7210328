//! Every example in `README.md` and `docs/` that makes an app, as it stands there, with a genuine
//! delivery and an unsigned one; and whether the pages are complete and their links lead somewhere.
//!
//! An example is a file in `readme/`, `guide/`, `recipes/` or `registering/`, listed in
//! [`pages::EXAMPLES`]. `pages` holds it against the text; `axum_apps`, `actix_apps`, `rotating` and `transaction`
//! run it, and what calls Google `registering`, against the mock. What needs the SDKs of others is run in
//! `tests/other_sdks`, and what needs another engine in `tests/engines`. `links` follows the links, and `codes` holds the page of refused deliveries
//! against the error codes.
#![cfg(all(
    feature = "actix-web",
    feature = "axum",
    feature = "client",
    feature = "jwks",
    feature = "testing-google",
    feature = "tracing"
))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

mod actix_apps;
mod axum_apps;
mod codes;
mod links;
mod log;
mod pages;
mod registering;
mod rotating;
mod transaction;

use std::time::SystemTime;

use gemini_webhooks::{Clock as _, SystemClock, WebhookReceiver, testing};

const EVENT: &str = testing::SAMPLE_EVENTS[0];

/// A signed delivery, with the clock that an app has.
fn signed(id: &str, body: &str) -> [(&'static str, String); 3] {
    testing::sign_v1(&testing::SECRET.parse().unwrap(), id, now(), body)
}

fn now() -> u64 {
    let since = SystemClock.now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_secs()
}

fn receiver() -> WebhookReceiver {
    WebhookReceiver::builder()
        .signing_secret(testing::SECRET)
        .build()
        .unwrap()
}
