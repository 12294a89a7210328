//! What the log says of a delivery: one event each, under the target `gemini_webhooks`.
//!
//! Without the `tracing` feature nothing is said. No line carries a secret, a signature, a query
//! string or a body; what the sender chose is escaped and bounded.

use std::time::Duration;

use crate::error::VerifyError;
use crate::receiver::Delivery;

/// Whether anything is said at all.
pub(crate) const ENABLED: bool = cfg!(feature = "tracing");

/// A sender waits a few seconds only, then takes the delivery for failed and sends it again.
const SLOW: Duration = Duration::from_secs(3);

/// A delivery that did not reach the handler. `id` is not authenticated.
pub(crate) fn refused(error: &VerifyError, id: Option<&str>) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: "gemini_webhooks",
        webhook_id = id,
        outcome = "refused",
        status = error.status(),
        code = error.kind().code(),
        reason = %error,
        "delivery refused"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = (error, id);
}

/// How a handler's run ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// It answered.
    Answered { status: u16 },
    /// The inner service failed instead of answering.
    Failed,
    /// It took longer than it may.
    TimedOut,
    /// It was dropped: the sender closed the connection, the server stops, or it panicked.
    Dropped,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Answered { .. } if self.is_success() => "handled",
            Self::Answered { .. } | Self::Failed => "failed",
            Self::TimedOut => "timed out",
            Self::Dropped => "dropped",
        }
    }

    fn status(self) -> Option<u16> {
        match self {
            Self::Answered { status } => Some(status),
            Self::Failed | Self::TimedOut | Self::Dropped => None,
        }
    }

    pub(crate) fn is_success(self) -> bool {
        self.status()
            .is_some_and(|status| (200..300).contains(&status))
    }
}

/// A delivery that reached the handler.
pub(crate) fn ran(delivery: &Delivery, type_name: Option<&str>, outcome: Outcome, took: Duration) {
    let message = match outcome {
        Outcome::Dropped => {
            "handler dropped before it was done: it panicked, the sender left or the server stops"
        }
        _ if !outcome.is_success() => "handler failed; the sender will try again",
        _ if took > SLOW => "handler slow: a sender waits a few seconds only and may send again",
        _ => "delivery handled",
    };
    #[cfg(feature = "tracing")]
    {
        // The set of types is open, and so is their length.
        let bounded = |name: &str| name.chars().take(64).collect::<String>();
        macro_rules! event {
            ($level:ident) => {
                tracing::$level!(
                    target: "gemini_webhooks",
                    webhook_id = delivery.id(),
                    scheme = delivery.scheme().as_str(),
                    key_id = delivery.key_id(),
                    r#type = type_name.map(bounded).map(tracing::field::debug),
                    outcome = outcome.name(),
                    status = outcome.status(),
                    took = ?took,
                    "{message}"
                )
            };
        }
        if outcome.is_success() && took <= SLOW {
            event!(info);
        } else {
            event!(warn);
        }
    }
    #[cfg(not(feature = "tracing"))]
    let _ = (delivery, type_name, outcome.name(), message);
}

/// A copy of an event that has been handled.
pub(crate) fn repeated(delivery: &Delivery) {
    #[cfg(feature = "tracing")]
    tracing::info!(
        target: "gemini_webhooks",
        webhook_id = delivery.id(),
        scheme = delivery.scheme().as_str(),
        outcome = "repeated",
        status = 200,
        "delivery of an event that has been handled"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = delivery;
}

/// A claim could not be kept. What the handler did stands.
pub(crate) fn claim_lost(delivery: &Delivery) {
    #[cfg(feature = "tracing")]
    tracing::error!(
        target: "gemini_webhooks",
        webhook_id = delivery.id(),
        scheme = delivery.scheme().as_str(),
        "handled, but the lease ended before and another delivery claimed the event: it may be handled twice"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = delivery;
}

/// The guard did not do what it was asked for.
pub(crate) fn guard_failed(
    operation: &str,
    error: &crate::replay::GuardError,
    delivery: &Delivery,
) {
    #[cfg(feature = "tracing")]
    tracing::error!(
        target: "gemini_webhooks",
        webhook_id = delivery.id(),
        scheme = delivery.scheme().as_str(),
        operation,
        reason = %error,
        "the replay guard failed: the event may be handled twice, or again when the lease has ended"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = (operation, error, delivery);
}

/// Handled events are forgotten while a retry may still come.
pub(crate) fn short_retention(retention: Duration) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: "gemini_webhooks",
        ?retention,
        "handled events are remembered for less than a day, for which Google tries again"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = retention;
}

/// Public keys were fetched.
#[cfg(feature = "jwks")]
pub(crate) fn keys_fetched(keys: usize, max_age: Duration) {
    #[cfg(feature = "tracing")]
    tracing::info!(target: "gemini_webhooks", keys, ?max_age, "public keys fetched");
    #[cfg(not(feature = "tracing"))]
    let _ = (keys, max_age);
}

/// Public keys could not be fetched.
#[cfg(feature = "jwks")]
pub(crate) fn keys_not_fetched(failure: &crate::jwks::FetchError) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "gemini_webhooks", reason = %failure, "public keys not fetched");
    #[cfg(not(feature = "tracing"))]
    let _ = failure;
}

/// No route took an event.
#[cfg(feature = "actix-web")]
pub(crate) fn unrouted(type_name: Option<&str>) {
    #[cfg(feature = "tracing")]
    tracing::error!(
        target: "gemini_webhooks",
        r#type = type_name.map(|name| name.chars().take(64).collect::<String>()),
        "no route took the event, so it will be sent again for a day: add a route to `acknowledge` or `refuse`"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = type_name;
}

/// The app is put together wrongly.
#[cfg(any(feature = "actix-web", feature = "axum"))]
pub(crate) fn misconfigured(error: &dyn std::error::Error) {
    #[cfg(feature = "tracing")]
    tracing::error!(target: "gemini_webhooks", "{error}");
    #[cfg(not(feature = "tracing"))]
    let _ = error;
}
