#![cfg_attr(feature = "full", doc = include_str!("guide/links.md"))]
//! Receive webhooks of Google's Gemini API in axum, actix-web, and any tower or hyper stack.
//!
//! A middleware checks each delivery's signature over the raw body, its time and its size. Your
//! handler gets a typed event, and gets each event once: a duplicate is answered without it, and
//! a failed run is repeated when Google sends the event again.
//!
//! ```toml
//! [dependencies]
//! gemini-webhooks = { version = "0.1", features = ["axum"] }
//! ```
//!
#![cfg_attr(feature = "axum", doc = "```")]
#![cfg_attr(not(feature = "axum"), doc = "```ignore (it needs the feature `axum`)")]
//! use axum::{Router, http::StatusCode, routing::post};
//! use gemini_webhooks::{
//!     ConfigError, EventKind, GeminiEvent, VerifyLayer, WebhookReceiver,
//! };
//!
//! fn app(secret: &str) -> Result<Router, ConfigError> {
//!     let receiver = WebhookReceiver::builder()
//!         .signing_secret(secret)
//!         .build()?;
//!     let callback = post(on_event).layer(VerifyLayer::new(receiver));
//!     Ok(Router::new().route("/gemini-callback", callback))
//! }
//!
//! async fn on_event(event: GeminiEvent) -> StatusCode {
//!     if let EventKind::BatchSucceeded(batch) = event.kind() {
//!         println!("results in {:?}", batch.output_file_uri());
//!     }
//!     StatusCode::OK
//! }
//! # app("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
//! ```
//!
//! # Where to start
//!
//! - [Getting started][getting-started.md]: a receiver in axum or actix-web, step by step.
//! - [Registering a webhook][registering-a-webhook.md] with Google.
//! - [Dynamic webhooks][dynamic-webhooks.md]: a URL in one job's request, under Google's keys.
//! - [Each event once][each-event-once.md]: failures, restarts, several replicas.
//! - [Answering at once and working later][answering-at-once.md], without losing events.
//! - [In production][production.md]: proxies, serverless, logs, what to alert on.
//! - [Metrics][metrics.md]: what is measured, with alerts and a dashboard.
//! - [A refused delivery][refused-deliveries.md]: cause and remedy for each error code.
//! - [The whole guide][README.md].
//!
//! # The types that an app names
//!
//! | Type | What it is |
//! |---|---|
//! | [`WebhookReceiver`], [`WebhookReceiverBuilder`] | Whom to trust, and the limits. Build one and clone it. |
//! | [`VerifyLayer`] | The middleware for axum, tower and hyper. |
//! | [`VerifyWebhook`] | The middleware for actix-web. |
//! | [`GeminiEvent`], [`EventKind`] | What happened. An argument of your handler. |
//! | [`Delivery`] | How the event came: id, time, key. An argument of your handler. |
//! | [`EndpointToken`] | A secret in the URL, for dynamic webhooks. |
//! | [`SigningSecret`], [`Keyring`] | The secrets of static webhooks. They can change while the app runs. |
//! | [`SecretFile`](rotation::SecretFile), [`SecretSource`](rotation::SecretSource) | Where an app reads secrets that change: a file, or a secret manager. |
//! | [`VerifyError`], [`VerifyErrorKind`] | Why a delivery was refused. |
//! | [`ConfigError`] | Why a receiver cannot be built. |
//! | [`MemoryGuard`], [`ReplayGuard`] | What remembers events. |
//! | [`Verifier`] | The checks alone: no framework, no I/O, no clock. |
//!
//! # Features
//!
//! None is on by default, and they can be combined freely.
//!
//! | Feature | Adds |
//! |---|---|
//! | `axum` | [`VerifyLayer`], and extractors for axum 0.8: [`axum`] |
//! | `actix-web` | [`VerifyWebhook`], extractors and route guards for actix-web 4: [`actix_web`] |
//! | `tower` | [`VerifyLayer`] for tower and hyper: [`tower`] |
//! | `jwks` | dynamic webhooks under public keys: [`jwks`] |
//! | `jwt` | the JWT form of Google's guide |
//! | `client` | registers webhooks and starts jobs that call back |
//! | `tracing` | one log event for each delivery |
//! | `metrics` | counters, durations and gauges, through the facade [`metrics`](https://docs.rs/metrics): [Metrics][metrics.md] |
//! | `testing` | signers, sample events and a clock for your tests |
//! | `testing-google` | a mock of Google's webhook service |
//! | `receiver` | the steps of a delivery, to write an adapter: [`adapter`] |
//! | `full` | all of them, and the guide |
//!
//! # Standards
//!
//! Google's webhooks ([Google's guide][google]) follow [Standard Webhooks][spec]. The JWT form is
//! a JSON Web Signature ([RFC 7515][7515]). Public keys are a JSON Web Key Set ([RFC 7517][7517])
//! of Ed25519 keys ([RFC 8032][8032]), kept as fresh as [RFC 9111][9111] says. Status codes are
//! those of [RFC 9110][9110]. [What is known of the protocol][protocol.md] names the source of
//! each fact. Nothing was tested against Google's live service.
//!
//! [google]: https://ai.google.dev/gemini-api/docs/webhooks
//! [spec]: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
//! [7515]: https://www.rfc-editor.org/rfc/rfc7515
//! [7517]: https://www.rfc-editor.org/rfc/rfc7517
//! [8032]: https://www.rfc-editor.org/rfc/rfc8032
//! [9110]: https://www.rfc-editor.org/rfc/rfc9110
//! [9111]: https://www.rfc-editor.org/rfc/rfc9111
//!
// Of two definitions rustdoc takes the first: these are for a build without the guide.
//! [getting-started.md]: https://docs.rs/gemini-webhooks/latest/gemini_webhooks/guide/getting_started/index.html
//! [registering-a-webhook.md]: https://docs.rs/gemini-webhooks/latest/gemini_webhooks/guide/registering_a_webhook/index.html
//! [dynamic-webhooks.md]: https://docs.rs/gemini-webhooks/latest/gemini_webhooks/guide/dynamic_webhooks/index.html
//! [each-event-once.md]: https://docs.rs/gemini-webhooks/latest/gemini_webhooks/guide/each_event_once/index.html
//! [answering-at-once.md]: https://docs.rs/gemini-webhooks/latest/gemini_webhooks/guide/answering_at_once/index.html
//! [production.md]: https://docs.rs/gemini-webhooks/latest/gemini_webhooks/guide/production/index.html
//! [metrics.md]: https://docs.rs/gemini-webhooks/latest/gemini_webhooks/guide/metrics/index.html
//! [refused-deliveries.md]: https://docs.rs/gemini-webhooks/latest/gemini_webhooks/guide/refused_deliveries/index.html
//! [protocol.md]: https://docs.rs/gemini-webhooks/latest/gemini_webhooks/guide/protocol/index.html
//! [README.md]: https://docs.rs/gemini-webhooks/latest/gemini_webhooks/guide/index.html
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "actix-web")]
pub mod actix_web;
#[cfg(feature = "receiver")]
pub mod adapter;
#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "client")]
pub mod client;
pub mod clock;
#[cfg(feature = "receiver")]
mod contained;
#[cfg(any(feature = "client", feature = "receiver"))]
mod endpoint;
mod error;
pub mod event;
#[cfg(feature = "receiver")]
mod eventual;
#[cfg(feature = "full")]
pub mod guide;
mod headers;
mod json;
#[cfg(feature = "jwks")]
pub mod jwks;
#[cfg(any(feature = "client", feature = "jwks"))]
mod loopback;
#[cfg(feature = "receiver")]
mod metrics;
mod pasted;
#[cfg(feature = "receiver")]
pub mod receiver;
#[cfg(feature = "receiver")]
pub mod replay;
#[cfg(feature = "receiver")]
pub mod rotation;
mod scheme;
mod secret;
#[cfg(any(test, feature = "testing"))]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
#[cfg(feature = "tower")]
pub mod tower;
#[cfg(feature = "receiver")]
mod trace;
pub mod verifier;

#[cfg(feature = "actix-web")]
#[doc(inline)]
pub use crate::actix_web::VerifyWebhook;
#[doc(inline)]
pub use clock::{Clock, SystemClock};
#[cfg(any(feature = "client", feature = "receiver"))]
pub use endpoint::EndpointToken;
pub use error::{ConfigError, VerifyError, VerifyErrorKind};
#[doc(inline)]
pub use event::{EventKind, GeminiEvent};
pub use headers::{DeliveryHeaders, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};
#[cfg(feature = "receiver")]
#[doc(inline)]
pub use receiver::{Delivery, NotReady, WebhookReceiver, WebhookReceiverBuilder};
pub use scheme::Scheme;
pub use secret::{Keyring, Secret, SigningSecret};
#[cfg(feature = "tower")]
#[doc(inline)]
pub use tower::VerifyLayer;
#[doc(inline)]
pub use verifier::Verifier;
// Their documentation is in the module; an app does not name them.
#[doc(hidden)]
pub use verifier::{Checked, Verified};

/// The README's examples compile.
#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../README.md")]
struct Readme;
