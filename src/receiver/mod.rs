//! [`WebhookReceiver`], which an app configures, and [`Delivery`], which its handler gets.
//!
//! Build a receiver once, outside of whatever makes workers or connections, and clone it into each
//! route that needs it. The middleware of your framework takes it: `VerifyLayer::new(receiver)` in
//! axum, tower and hyper, `VerifyWebhook::new(receiver)` in actix-web. To write a middleware for
//! another framework, see [`adapter`](crate::adapter).

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use crate::clock::Clock;
use crate::endpoint::EndpointTokens;
use crate::error::VerifyErrorKind;
use crate::verifier::Verifier;

mod acceptance;
mod builder;
mod captures;
mod claims;
mod delivery;
#[cfg(feature = "jwks")]
mod keys;
mod leftovers;
mod outage;
mod ready;

pub use builder::WebhookReceiverBuilder;
pub use delivery::Delivery;

use acceptance::Acceptance;
pub(crate) use captures::Captures;
pub(crate) use claims::{Claims, ask, leave, unavailable, within};
#[cfg(feature = "jwks")]
pub(crate) use keys::Keys;
pub(crate) use leftovers::Leftover;
pub(crate) use ready::AtWork;
pub use ready::NotReady;

/// Holds the configuration of a webhook endpoint: keys, checks, limits and guard.
///
/// Build one when the app starts, and give it to a middleware: [`VerifyLayer`](crate::VerifyLayer)
/// or [`VerifyWebhook`](crate::VerifyWebhook). If you have two kinds of webhook, build a receiver
/// for each and put it on its own route.
///
/// A receiver is cheap to clone. Clones share the public keys, the limit on memory
/// ([`max_buffered_bytes`](WebhookReceiverBuilder::max_buffered_bytes)) and the guard, which
/// remembers events. So build one receiver for the whole app, not one for each worker.
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
    claims: Option<Claims>,
    pub(crate) once_per_job: bool,
    pub(crate) captures: Option<Captures>,
    /// How long a handled event is remembered.
    retention: Duration,
    /// How long after its headers were judged a delivery may be claimed.
    delay: Duration,
    pub(crate) max_body_bytes: usize,
    pub(crate) max_buffered_bytes: usize,
    pub(crate) buffered: AtomicUsize,
    pub(crate) at_work: AtWork,
    pub(crate) body_timeout: Duration,
    pub(crate) handler_timeout: Duration,
    pub(crate) statuses: Vec<(VerifyErrorKind, u16)>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl WebhookReceiver {
    /// Returns a builder that has no keys yet and the default of every other setting.
    ///
    /// Add a signing secret, for static webhooks, or public keys, for dynamic ones. Without either,
    /// [`build`](WebhookReceiverBuilder::build) fails.
    pub fn builder() -> WebhookReceiverBuilder {
        WebhookReceiverBuilder::default()
    }

    pub(crate) fn claims(&self) -> Option<&Claims> {
        self.shared.claims.as_ref()
    }
}
