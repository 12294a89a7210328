//! What an app configures: [`WebhookReceiver`], and what it tells a handler of a [`Delivery`].
//!
//! A receiver is built once, outside of whatever makes workers or connections, and cloned into each
//! route that it is for. A framework's middleware takes it: `VerifyLayer::new(receiver)`,
//! `VerifyWebhook::new(receiver)`. To write a middleware for another framework, see
//! [`adapter`](crate::adapter).

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use crate::clock::Clock;
use crate::endpoint::EndpointTokens;
use crate::error::VerifyErrorKind;
use crate::verifier::Verifier;

mod acceptance;
mod builder;
mod claims;
mod delivery;
#[cfg(feature = "jwks")]
mod keys;

pub use builder::WebhookReceiverBuilder;
pub use delivery::Delivery;

use acceptance::Acceptance;
pub(crate) use claims::{Claims, within};
#[cfg(feature = "jwks")]
pub(crate) use keys::Keys;

/// Receives deliveries: which keys it trusts and what it allows. Cheap to clone; clones share
/// the limits.
///
/// ```
/// use std::time::Duration;
/// use gemini_webhooks::{ConfigError, WebhookReceiver};
///
/// let receiver = WebhookReceiver::builder()
///     .signing_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
///     .handler_timeout(Duration::from_secs(10))
///     .build()?;
/// # Ok::<(), ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct WebhookReceiver {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    /// Random, to tell receivers apart.
    id: u64,
    pub(crate) endpoint_tokens: EndpointTokens,
    pub(crate) verifier: Verifier,
    #[cfg(feature = "jwks")]
    pub(crate) keys: Keys,
    pub(crate) acceptance: Acceptance,
    pub(crate) claims: Option<Claims>,
    pub(crate) max_body_bytes: usize,
    pub(crate) max_buffered_bytes: usize,
    pub(crate) buffered: AtomicUsize,
    pub(crate) body_timeout: Duration,
    pub(crate) handler_timeout: Duration,
    pub(crate) statuses: Vec<(VerifyErrorKind, u16)>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl WebhookReceiver {
    /// Starts with the defaults; at least one secret is to be added.
    pub fn builder() -> WebhookReceiverBuilder {
        WebhookReceiverBuilder::default()
    }
}
