//! The way of a delivery, step by step: for those who write an adapter to another framework.
//!
//! An adapter only converts: it hands over [headers](WebhookReceiver::admit), then the
//! [body](Intake::push) as it arrives, gets [what the handler needs](Received), runs the handler
//! and [says how that ended](Flight). Every rule, limit and log line is here or further down.
//!
//! An adapter for a server of its own, without what waits:
//!
//! ```
//! use gemini_webhooks::adapter::{Finished, Received};
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
//!         return Err(receiver.method_not_allowed(method));
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

use std::time::Duration;

use crate::error::{Detail, Plain, VerifyError, VerifyErrorKind};
use crate::headers::DeliveryHeaders;
use crate::receiver::{Delivery, WebhookReceiver};
use crate::trace;

mod arrival;
mod drain;
mod finish;
mod flight;
mod intake;
mod run;

pub use arrival::Arrival;
pub use drain::{Drain, Rest};
pub use finish::{Finish, Finished, Received};
pub use flight::{Closing, Flight};
pub use intake::Intake;
pub use run::{DetachedRun, Run};

/// What an adapter asks of a receiver; the other steps follow from [`admit`](Self::admit).
impl WebhookReceiver {
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

    /// The refusal of a request that is no POST but a `method`.
    #[must_use]
    pub fn method_not_allowed(&self, method: &str) -> VerifyError {
        let told = format!(
            "its method is {}; if it was for another route, put the middleware around the webhook's route only",
            Plain::new(method).at_most(32).quoted()
        );
        let error = VerifyError::new(VerifyErrorKind::MethodNotAllowed, Detail::Told(told.into()));
        self.refuse(error, None)
    }

    /// Whether this receiver has verified the delivery: its middleware is on the way twice, for
    /// instance on a router and on a route of it. The second one passes the request on as it is,
    /// for it would find the event in flight.
    #[must_use]
    pub fn has_verified(&self, delivery: &Delivery) -> bool {
        delivery.is_of(self)
    }

    /// Steps 1 to 4, and what can be said of the body before it is read: the first call of an
    /// adapter, for a POST. `target` is the path and query of the URL as they came, `content_length`
    /// what the headers say, if they do.
    ///
    /// # Errors
    ///
    /// The delivery is refused. Nothing of its body has been read, and none of it is wanted; what
    /// becomes of it says [`Rest`].
    pub fn admit(
        &self,
        target: &str,
        headers: &DeliveryHeaders<'_>,
        content_length: Option<u64>,
    ) -> Result<Intake, VerifyError> {
        let refuse = |error| self.refuse(error, headers.plain_id());
        let tokens = &self.shared.endpoint_tokens;
        if !tokens.is_empty() {
            tokens.accept(target).map_err(refuse)?;
        }
        let now = self.shared.clock.now();
        let checked = self.shared.verifier.check(headers, now).map_err(refuse)?;
        Intake::new(self, checked, content_length)
    }

    /// The one place where a refusal gets its status and its line in the log.
    pub(crate) fn refuse(&self, error: VerifyError, id: Option<&str>) -> VerifyError {
        let error = self.stamp(error);
        trace::refused(&error, id);
        error
    }

    pub(crate) fn stamp(&self, error: VerifyError) -> VerifyError {
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
