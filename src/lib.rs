//! Receives the webhooks of Google's Gemini API: verified, typed, bounded.
#![cfg_attr(
    all(
        feature = "actix-web",
        feature = "axum",
        feature = "jwks",
        feature = "testing"
    ),
    doc = ""
)]
#![cfg_attr(all(feature = "actix-web", feature = "axum", feature = "jwks", feature = "testing"), doc = include_str!("../README.md"))]
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
mod headers;
mod json;
#[cfg(feature = "jwks")]
pub mod jwks;
#[cfg(any(feature = "client", feature = "jwks"))]
mod loopback;
mod pasted;
#[cfg(feature = "receiver")]
pub mod receiver;
#[cfg(feature = "receiver")]
pub mod replay;
mod scheme;
mod secret;
#[cfg(any(test, feature = "testing"))]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
#[cfg(feature = "tower")]
pub mod tower;
#[cfg(feature = "receiver")]
mod trace;
mod verifier;

#[cfg(feature = "actix-web")]
pub use crate::actix_web::VerifyWebhook;
pub use clock::{Clock, SystemClock};
#[cfg(any(feature = "client", feature = "receiver"))]
pub use endpoint::EndpointToken;
pub use error::{ConfigError, VerifyError, VerifyErrorKind};
pub use event::{EventKind, GeminiEvent};
pub use headers::{DeliveryHeaders, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};
#[cfg(feature = "receiver")]
pub use receiver::{Delivery, WebhookReceiver, WebhookReceiverBuilder};
pub use scheme::Scheme;
pub use secret::{Keyring, SigningSecret};
#[cfg(feature = "tower")]
pub use tower::VerifyLayer;
pub use verifier::{Checked, Verified, Verifier};
