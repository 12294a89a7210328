//! The steps of a delivery, to write a middleware for another web framework.
//!
//! An adapter only converts. It passes on the [headers](WebhookReceiver::admit), then the
//! [body](Intake::push) as it arrives, gets [what the handler needs](Received), runs the handler, and
//! [says how that ended](Flight). All rules, limits and log lines are in here and in the receiver. A
//! framework that is built on tower or hyper needs no adapter: use `VerifyLayer`.
//!
//! The steps have numbers, which the comments of this crate use: 1 endpoint token, 2 headers, 3
//! window (of the timestamp), 4 scheme, 5 body, 6 signature, 7 event, 8 `accept_if`, 9 claim, 10
//! handler, 11 settle or release.
//!
//! This adapter is for a server without asynchronous bodies:
//! ```
//! use gemini_webhooks::adapter::{Finished, Received};
//! use gemini_webhooks::{DeliveryHeaders, GeminiEvent, VerifyError, WebhookReceiver};
//!
//! /// Returns the status to answer.
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
//!     let lines = headers.iter().map(|(name, value)| (name, value));
//!     let headers = DeliveryHeaders::from_lines(lines);
//!     let mut intake = receiver.admit(target, &headers, None)?;
//!     for part in body {
//!         intake.push(part.as_slice())?;
//!     }
//!     let (event, mut flight) = match intake.finish().await? {
//!         Finished::Run(Received { event, flight, .. }) => (event, flight),
//!         // The event has been handled.
//!         Finished::Repeat => return Ok(200),
//!     };
//!     let status = handler(event);
//!     // A 2xx settles the claim, anything else releases it.
//!     flight.answered(status).await?;
//!     Ok(status)
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), gemini_webhooks::ConfigError> {
//! # let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
//! # let receiver = WebhookReceiver::builder().signing_secret(secret).build()?;
//! # let refused = deliver(&receiver, "POST", "/", &[], std::iter::empty(), |_| 200).await;
//! # assert_eq!(refused.unwrap_err().status(), 400);
//! # Ok(())
//! # }
//! ```
//!
//! An adapter for asynchronous bodies also limits the time: [`Arrival`] reads a body that is
//! polled, and [`Run`] runs a handler that is a future, both within their limits. The guide's page
//! *Writing an adapter* has the whole contract.

use std::time::Duration;

use crate::error::{Detail, Plain, VerifyError, VerifyErrorKind};
use crate::headers::DeliveryHeaders;
use crate::metrics::{self, Begun, Known};
use crate::receiver::{Delivery, WebhookReceiver};
use crate::trace;

mod arrival;
mod closing;
mod drain;
mod finish;
mod flight;
mod intake;
mod run;

pub use arrival::Arrival;
pub use closing::Closing;
pub use drain::{Drain, Rest};
pub use finish::{Finish, Finished, Received};
pub use flight::Flight;
pub use intake::Intake;
pub use run::{DetachedRun, Run};

/// What an adapter calls. The other steps follow from [`admit`](Self::admit).
impl WebhookReceiver {
    /// Returns how long an adapter waits for the body.
    #[must_use]
    pub fn body_timeout(&self) -> Duration {
        self.shared.body_timeout
    }

    /// Returns how long an adapter waits for the handler.
    #[must_use]
    pub fn handler_timeout(&self) -> Duration {
        self.shared.handler_timeout
    }

    /// Refuses a request whose method is `method`, and not POST.
    ///
    /// It logs the refusal and returns the error to answer with.
    #[must_use]
    pub fn method_not_allowed(&self, method: &str) -> VerifyError {
        let told = format!(
            "its method is {}; if it was for another route, put the middleware around the webhook's route only",
            Plain::new(method).at_most(32).quoted()
        );
        let error = VerifyError::new(VerifyErrorKind::MethodNotAllowed, Detail::Told(told.into()));
        self.refuse(error, None, Known::default())
    }

    /// Returns whether this receiver has already verified the delivery.
    ///
    /// That is so if its middleware is there twice, for instance on a router and on a route inside.
    /// The inner one must then pass the request on as it is, because it would find the event in
    /// flight.
    #[must_use]
    pub fn has_verified(&self, delivery: &Delivery) -> bool {
        delivery.is_of(self)
    }

    /// Checks everything that can be checked before the body is read: the first step of an adapter.
    ///
    /// These are the steps 1 to 4 (endpoint token, headers, window, scheme), and the announced
    /// length of the body. `target` is the path and the query of the URL as they arrived,
    /// `content_length` the value of that header, if there is one. Call it for a POST only.
    ///
    /// # Errors
    ///
    /// The delivery is refused, and the error is the answer. [`Rest::of`] says what to do with its
    /// body.
    pub fn admit(
        &self,
        target: &str,
        headers: &DeliveryHeaders<'_>,
        content_length: Option<u64>,
    ) -> Result<Intake, VerifyError> {
        let begun = Begun::now(&*self.shared.clock);
        let refuse = |error| self.refuse(error, headers.plain_id(), Known::default());
        let tokens = &self.shared.endpoint_tokens;
        let now = self.shared.clock.now();
        if !tokens.is_empty() {
            tokens.accept(target, now).map_err(refuse)?;
        }
        let checked = self.shared.verifier.check(headers, now).map_err(refuse)?;
        Intake::new(self, checked, content_length, begun)
    }

    /// The one place where a refusal gets its status and its line in the log, and is counted.
    pub(crate) fn refuse(
        &self,
        error: VerifyError,
        id: Option<&str>,
        known: Known<'_>,
    ) -> VerifyError {
        self.refuse_keeping(error, id, known, None)
    }

    /// The same, with the delivery for the log.
    pub(crate) fn refuse_keeping(
        &self,
        error: VerifyError,
        id: Option<&str>,
        known: Known<'_>,
        capture: Option<String>,
    ) -> VerifyError {
        let error = self.stamp(error);
        metrics::refused(&error, known);
        trace::refused(&error, id, capture);
        error
    }

    pub(crate) fn stamp(&self, error: VerifyError) -> VerifyError {
        let mapped = self
            .shared
            .statuses
            .iter()
            .rev()
            .find(|(kind, _)| *kind == error.kind());
        let error = match mapped {
            Some((_, status)) => error.with_status(*status),
            None => error,
        };
        match error.retry_after() {
            Some(time) => error.with_retry_after(spread(time, rand::random())),
            None => error,
        }
    }
}

/// Up to half as long again, in whole seconds: deliveries that were refused together are not to come
/// again together.
fn spread(time: Duration, chance: u8) -> Duration {
    // No longer than a day: Google retries no longer.
    let seconds = time.as_secs_f64().ceil().min(86_400.0);
    let more = seconds / 2.0 * f64::from(chance) / f64::from(u8::MAX);
    Duration::from_secs_f64((seconds + more).round())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_spread() {
        for (milliseconds, chance, seconds) in [
            (5_000, 0, 5),
            (5_000, 255, 8),
            (5_000, 128, 6),
            (1, 0, 1),
            (1, 255, 2),
            (119_001, 0, 120),
            (119_001, 255, 180),
        ] {
            let spread = spread(Duration::from_millis(milliseconds), chance);
            assert_eq!(spread, Duration::from_secs(seconds));
        }
    }
}
