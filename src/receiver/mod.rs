//! [`WebhookReceiver`]: the way of a delivery, step by step, for every adapter.
//!
//! An adapter only converts: it hands over [headers](WebhookReceiver::admit), then the
//! [body](Intake::push) as it arrives, gets [what the handler needs](Received), runs the handler
//! and [says how that ended](Flight). Every rule, limit and log line is here or further down.
//!
//! An adapter for a server of its own, without what waits:
//!
//! ```
//! use gemini_webhooks::receiver::{Finished, Received};
//! use gemini_webhooks::{DeliveryHeaders, GeminiEvent, VerifyError, WebhookReceiver};
//!
//! /// The status to answer.
//! async fn deliver(
//!     receiver: &WebhookReceiver,
//!     method: &str,
//!     target: &str,
//!     headers: &[(String, String)],
//!     body: impl Iterator<Item = Vec<u8>>,
//!     handler: fn(GeminiEvent) -> u16,
//! ) -> Result<u16, VerifyError> {
//!     if method != "POST" {
//!         return Err(receiver.method_not_allowed());
//!     }
//!     let headers = DeliveryHeaders::from_lines(headers.iter().map(|(name, value)| (name, value)));
//!     let mut intake = receiver.admit(target, &headers, None)?;
//!     for part in body {
//!         intake.push(part.as_slice())?;
//!     }
//!     let Received { event, mut flight, .. } = match intake.finish().await? {
//!         Finished::Run(received) => received,
//!         Finished::Repeat => return Ok(200),
//!     };
//!     let status = handler(event);
//!     flight.answered(status).await;
//!     Ok(status)
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), gemini_webhooks::ConfigError> {
//! # let receiver = WebhookReceiver::builder().signing_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").build()?;
//! # let refused = deliver(&receiver, "POST", "/", &[], std::iter::empty(), |_| 200).await;
//! # assert_eq!(refused.unwrap_err().status(), 400);
//! # Ok(())
//! # }
//! ```
//!
//! One that waits gives the body [`body_timeout`](WebhookReceiver::body_timeout) and the handler
//! [`handler_timeout`](WebhookReceiver::handler_timeout); `integrations/README.md` in the
//! repository has the whole contract.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use crate::clock::Clock;
use crate::endpoint::EndpointTokens;
use crate::error::{VerifyError, VerifyErrorKind};
use crate::headers::DeliveryHeaders;
use crate::trace;
use crate::verifier::Verifier;

mod acceptance;
mod arrival;
mod builder;
mod claims;
mod delivery;
mod finish;
mod flight;
mod intake;
#[cfg(feature = "jwks")]
mod keys;
mod run;

pub use arrival::Arrival;
pub use builder::WebhookReceiverBuilder;
pub use delivery::Delivery;
pub use finish::{Finish, Finished, Received};
pub use flight::{Closing, Flight};
pub use intake::Intake;
pub use run::{DetachedRun, Run};

use acceptance::Acceptance;
use claims::Claims;
#[cfg(feature = "jwks")]
use keys::Keys;

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
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    endpoint_tokens: EndpointTokens,
    verifier: Verifier,
    #[cfg(feature = "jwks")]
    keys: Keys,
    acceptance: Option<Acceptance>,
    claims: Option<Claims>,
    max_body_bytes: usize,
    max_buffered_bytes: usize,
    buffered: AtomicUsize,
    body_timeout: Duration,
    handler_timeout: Duration,
    statuses: Vec<(VerifyErrorKind, u16)>,
    clock: Arc<dyn Clock>,
}

impl WebhookReceiver {
    /// Starts with the defaults; at least one secret is to be added.
    pub fn builder() -> WebhookReceiverBuilder {
        WebhookReceiverBuilder::default()
    }

    /// How long an adapter waits for the body.
    #[must_use]
    pub fn body_timeout(&self) -> Duration {
        self.shared.body_timeout
    }

    /// How long an adapter waits for the handler.
    #[must_use]
    pub fn handler_timeout(&self) -> Duration {
        self.shared.handler_timeout
    }

    /// The refusal of a request that is no POST.
    #[must_use]
    pub fn method_not_allowed(&self) -> VerifyError {
        self.refuse(VerifyErrorKind::MethodNotAllowed.into(), None)
    }

    /// Steps 1 to 4, and what can be said of the body before it is read: the first call of an
    /// adapter, for a POST. `target` is the path and query of the URL as they came, `content_length`
    /// what the headers say, if they do.
    ///
    /// # Errors
    ///
    /// The delivery is refused; the body must not be read.
    pub fn admit(
        &self,
        target: &str,
        headers: &DeliveryHeaders<'_>,
        content_length: Option<u64>,
    ) -> Result<Intake, VerifyError> {
        let tokens = &self.shared.endpoint_tokens;
        if !tokens.is_empty() && !tokens.accept(target) {
            return Err(self.refuse(VerifyErrorKind::WrongEndpoint.into(), None));
        }
        let checked = self
            .shared
            .verifier
            .check(headers, self.shared.clock.now())
            .map_err(|error| self.refuse(error, None))?;
        Intake::new(self, checked, content_length)
    }

    /// The one place where a refusal gets its status and its line in the log.
    fn refuse(&self, error: VerifyError, id: Option<&str>) -> VerifyError {
        let error = self.stamp(error);
        trace::refused(&error, id);
        error
    }

    fn stamp(&self, error: VerifyError) -> VerifyError {
        let mapped = self
            .shared
            .statuses
            .iter()
            .rev()
            .find(|(kind, _)| *kind == error.kind());
        match mapped {
            Some((_, status)) => error.with_status(*status),
            None => error,
        }
    }
}
