//! What the log says of a delivery: one event each, under the target `gemini_webhooks`.
//!
//! Without the `tracing` feature nothing is said. No line carries a secret, a signature, a query
//! string or a body; what the sender or another's error says is escaped and bounded. A log that
//! panics, as on a full disk, does no more than lose its line.

use std::error::Error;
use std::time::Duration;

use crate::error::{Plain, VerifyError};
use crate::scheme::Scheme;

/// Whether anything is said at all.
pub(crate) const ENABLED: bool = cfg!(feature = "tracing");

/// A sender waits a few seconds only, then takes the delivery for failed and sends it again.
const SLOW: Duration = Duration::from_secs(3);

/// A timer may come a little late on a busy machine. A handler that is later than this was never
/// interrupted because it did not wait.
const LATE: Duration = Duration::from_secs(1);

/// Logs a message with fields, which may be `debug(…)` or `display(…)`. Without the feature they are computed all the same, and dropped.
macro_rules! say {
    ($level:ident, $message:expr $(, $field:ident = $value:expr)* $(,)?) => {{
        #[cfg(feature = "tracing")]
        crate::contained::contained(|| {
            tracing::$level!(target: "gemini_webhooks", $($field = $value,)* "{}", $message);
        });
        #[cfg(not(feature = "tracing"))]
        let _ = (stringify!($level), $(&$value,)* &$message);
    }};
}

/// Which delivery a line is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who<'a> {
    pub(crate) id: &'a str,
    /// Where a repeat is known by something else than the id.
    pub(crate) claim_id: Option<&'a str>,
    pub(crate) scheme: Scheme,
    pub(crate) key_id: &'a str,
}

/// A delivery that did not reach the handler. `id` is not authenticated.
pub(crate) fn refused(error: &VerifyError, id: Option<&str>) {
    say!(
        warn,
        "delivery refused",
        webhook_id = id,
        outcome = "refused",
        status = error.status(),
        code = error.kind().code(),
        reason = display(reason(error))
    );
}

/// How a handler's run ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// It answered.
    Answered {
        status: u16,
    },
    /// The inner service failed instead of answering.
    Failed,
    /// It took longer than it may.
    TimedOut,
    /// It was dropped: the sender closed the connection, or the server stops.
    Dropped,
    Panicked,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Answered { .. } if self.is_success() => "handled",
            Self::Answered { .. } | Self::Failed => "failed",
            Self::TimedOut => "timed out",
            Self::Dropped => "dropped",
            Self::Panicked => "panicked",
        }
    }

    fn status(self) -> Option<u16> {
        match self {
            Self::Answered { status } => Some(status),
            Self::Failed | Self::TimedOut | Self::Dropped | Self::Panicked => None,
        }
    }

    pub(crate) fn is_success(self) -> bool {
        self.status()
            .is_some_and(|status| (200..300).contains(&status))
    }
}

/// A delivery that reached the handler, which may take `limit`.
pub(crate) fn ran(
    who: Who<'_>,
    type_name: Option<&str>,
    outcome: Outcome,
    took: Duration,
    limit: Duration,
) {
    let late = took > limit.saturating_add(LATE);
    let message = match outcome {
        _ if late => {
            "handler blocked its thread for longer than `handler_timeout`, so it could not be stopped; \
             when the lease ends meanwhile, a retry runs beside it: move what blocks to another thread"
        }
        Outcome::Dropped => {
            "handler dropped before it was done: the sender left or the server stops; the sender will try again"
        }
        Outcome::Panicked => "handler panicked; the sender will try again",
        Outcome::TimedOut => {
            "handler stopped after `handler_timeout`; the sender will try again, and what the handler \
             gave to `spawn_blocking` or to a task goes on beside that"
        }
        _ if !outcome.is_success() => "handler failed; the sender will try again",
        _ if took > SLOW => "handler slow: a sender waits a few seconds only and may send again",
        _ => "delivery handled",
    };
    macro_rules! event {
        ($level:ident) => {
            say!(
                $level,
                message,
                webhook_id = who.id,
                claim_id = who.claim_id,
                scheme = who.scheme.as_str(),
                key_id = who.key_id,
                r#type = type_name.map(bounded).map(debug),
                outcome = outcome.name(),
                status = outcome.status(),
                took = debug(took)
            )
        };
    }
    if late {
        event!(error);
    } else if outcome.is_success() && took <= SLOW {
        event!(info);
    } else {
        event!(warn);
    }
}

/// A copy of an event that has been handled.
pub(crate) fn repeated(who: Who<'_>) {
    say!(
        info,
        "delivery of an event that has been handled",
        webhook_id = who.id,
        claim_id = who.claim_id,
        scheme = who.scheme.as_str(),
        key_id = who.key_id,
        outcome = "repeated",
        status = 200
    );
}

/// A claim could not be kept. What the handler did stands.
pub(crate) fn claim_lost(who: Who<'_>) {
    say!(
        error,
        "handled, but the lease ended before and another delivery claimed the event: it may be handled twice",
        webhook_id = who.id,
        claim_id = who.claim_id,
        scheme = who.scheme.as_str()
    );
}

/// The guard did not do what it was asked for.
pub(crate) fn guard_failed(operation: &str, error: &dyn Error, who: Who<'_>) {
    say!(
        error,
        "the replay guard failed: the event may be handled twice, or again when the lease has ended",
        webhook_id = who.id,
        claim_id = who.claim_id,
        scheme = who.scheme.as_str(),
        operation = operation,
        reason = display(reason(error))
    );
}

/// Handled events are forgotten while a retry may still come.
pub(crate) fn short_retention(retention: Duration) {
    say!(
        warn,
        "handled events are remembered for less than a day, for which Google tries again",
        retention = debug(retention)
    );
}

/// Which secrets a receiver was built with, by the names under which other lines speak of them.
pub(crate) fn secrets<'a>(key_ids: impl Iterator<Item = &'a str>) {
    if ENABLED {
        let key_ids = key_ids.collect::<Vec<_>>().join(" ");
        say!(info, "receiver of static webhooks built", key_ids = key_ids);
    }
}

/// A secret is shorter or longer than secrets are.
pub(crate) fn unusual_secret(key_id: &str, bytes: usize) {
    say!(
        warn,
        "a signing secret has an unusual length: Google's have 32 bytes, 24 to 64 are usual; was all of it copied?",
        key_id = key_id,
        bytes = bytes
    );
}

/// Public keys were fetched.
#[cfg(feature = "jwks")]
pub(crate) fn keys_fetched(keys: usize, max_age: Duration) {
    say!(
        info,
        "public keys fetched",
        keys = keys,
        max_age = debug(max_age)
    );
}

/// Public keys could not be fetched.
#[cfg(feature = "jwks")]
pub(crate) fn keys_not_fetched(failure: &dyn Error) {
    say!(
        warn,
        "public keys not fetched",
        reason = display(reason(failure))
    );
}

/// A key of a set is not used. `faulty`: it was meant for deliveries.
#[cfg(feature = "jwks")]
pub(crate) fn key_skipped(kid: Option<&str>, reason: &str, faulty: bool) {
    macro_rules! event {
        ($level:ident) => {
            say!(
                $level,
                "public key skipped: what it signed is refused",
                kid = kid.map(debug),
                reason = reason
            )
        };
    }
    if faulty {
        event!(warn);
    } else {
        event!(info);
    }
}

/// No route is for an event's type, and the app has decided what becomes of such.
#[cfg(any(feature = "actix-web", feature = "tower"))]
pub(crate) fn otherwise(type_name: Option<&str>, acknowledged: bool) {
    let r#type = type_name.map(bounded);
    if acknowledged {
        say!(
            info,
            "no route is for this type of event: it is acknowledged, and no handler runs",
            r#type = r#type.map(debug)
        );
    } else {
        say!(
            warn,
            "no route is for this type of event: it is refused, and sent again for a day",
            r#type = r#type.map(debug)
        );
    }
}

/// No route took an event.
#[cfg(feature = "actix-web")]
pub(crate) fn unrouted(type_name: Option<&str>) {
    say!(
        error,
        "no route took the event, so it will be sent again for a day: add a route to `acknowledge` or `refuse`",
        r#type = type_name.map(bounded).map(debug)
    );
}

/// The app is put together wrongly.
#[cfg(any(feature = "actix-web", feature = "tower"))]
pub(crate) fn misconfigured(error: &dyn Error) {
    say!(error, Plain::new(error));
}

/// The app's own answer to a refusal panicked, and the default one took its place.
#[cfg(any(feature = "actix-web", feature = "tower"))]
pub(crate) fn response_panicked() {
    say!(
        error,
        "the app's own response to a refusal panicked: the default one was sent instead"
    );
}

/// An authentic event that has no type, for its form.
pub(crate) fn formless(who: Who<'_>, length: usize, looks: &str) {
    say!(
        warn,
        "the event is authentic, but no JSON object with a string `type`: the handler gets it as `Unknown`; read `GeminiEvent::raw`",
        webhook_id = who.id,
        claim_id = who.claim_id,
        scheme = who.scheme.as_str(),
        length = length,
        looks = looks
    );
}

/// An error as one value of a line: what it says may be somebody else's text.
fn reason(error: &dyn Error) -> Plain<&dyn Error> {
    Plain::new(error).at_most(2048).quoted()
}

/// The set of types is open, and so is their length.
fn bounded(name: &str) -> String {
    name.chars().take(64).collect()
}

// The macros of tracing bring these two along.
#[cfg(not(feature = "tracing"))]
fn debug<T>(value: T) -> T {
    value
}

#[cfg(not(feature = "tracing"))]
fn display<T>(value: T) -> T {
    value
}
