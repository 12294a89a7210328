//! The log: one event for each delivery, under the target `gemini_webhooks`.
//!
//! Without the feature `tracing` nothing is logged. No line contains a secret, a signature, a query
//! string or a body, but for what `log_refused_deliveries` keeps. Text of the sender or of another's error is escaped and cut. If the log panics,
//! as on a full disk, only its line is lost.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Plain, VerifyError};
use crate::scheme::Scheme;

/// Whether anything is logged.
pub(crate) const ENABLED: bool = cfg!(feature = "tracing");

/// Google waits a few seconds only, then counts the delivery as failed and sends it again.
const SLOW: Duration = Duration::from_secs(3);

/// A timer may fire a little late on a busy machine. A handler that took longer than its limit and
/// this could not be stopped, because it never awaited.
const LATE: Duration = Duration::from_secs(1);

/// Logs a message with fields, which may be `debug(…)` or `display(…)`. Without the feature they
/// are computed all the same, and dropped.
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

/// What a delivery begins with that the log keeps, and nothing else in a line about a refusal.
pub(crate) const MARK: &str = "gwh1.";

fn unmarked(text: &str) -> String {
    text.replace(MARK, "gwh1 ")
}

/// A value without the mark, made when it is written: nobody may listen.
struct Unmarked<T>(T);

impl<T: fmt::Display> fmt::Display for Unmarked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&unmarked(&self.0.to_string()))
    }
}

/// A delivery that did not reach the handler. `id` is not authenticated. `capture` is the whole of it, where the app asks
/// for that.
pub(crate) fn refused(error: &VerifyError, id: Option<&str>, capture: Option<String>) {
    // Whoever reads kept deliveries from a log must not take text of a stranger for one.
    let unmarked = id.filter(|id| id.contains(MARK)).map(unmarked);
    let id = unmarked.as_deref().or(id);
    say!(
        warn,
        "delivery refused",
        webhook_id = id,
        outcome = "refused",
        status = error.status(),
        code = error.kind().code(),
        reason = display(Unmarked(reason(error))),
        capture = capture
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

    /// The same for a label of a metric.
    #[cfg(feature = "metrics")]
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::TimedOut => "timed_out",
            outcome => outcome.name(),
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
            "handler blocked its thread for longer than `handler_timeout`, so it could not be stopped. If the \
             lease ends while it runs, a retry runs beside it: move blocking work to another thread"
        }
        Outcome::Dropped => {
            "handler dropped before it was done, because the sender closed the connection or the server stops; \
             the event is handled when Google retries. If it is frequent, answer sooner or call `finish_once_started`"
        }
        Outcome::Panicked => "handler panicked; the event is handled again when Google retries",
        Outcome::TimedOut => {
            "handler stopped, because it took longer than `handler_timeout`; the event is handled again when \
             Google retries, and work that the handler gave to `spawn_blocking` or to a task goes on beside that"
        }
        _ if !outcome.is_success() => {
            "handler failed; the event is handled again when Google retries"
        }
        _ if took > SLOW => {
            "delivery handled, but slowly: Google waits a few seconds only, and may retry; store the event and answer sooner"
        }
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
        "duplicate of an event that has been handled: answered without running the handler",
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
        "delivery handled, but its lease had ended and another delivery has claimed the event, so it may be handled twice: \
         raise `lease`, or make the handler quicker",
        webhook_id = who.id,
        claim_id = who.claim_id,
        scheme = who.scheme.as_str()
    );
}

/// The guard did not do what it was asked for, and is asked again.
pub(crate) fn guard_asked_again(operation: &str, error: &dyn Error, who: Who<'_>) {
    say!(
        warn,
        "the guard, which remembers events, failed; it is asked again in the background until the lease has ended: \
         check the store of the guard",
        webhook_id = who.id,
        claim_id = who.claim_id,
        scheme = who.scheme.as_str(),
        operation = operation,
        reason = display(reason(error))
    );
}

/// What the guard failed to do at first is done.
pub(crate) fn settled_late(who: Who<'_>) {
    say!(
        info,
        "the event is marked as handled: the guard has answered in the background",
        webhook_id = who.id,
        claim_id = who.claim_id,
        scheme = who.scheme.as_str()
    );
}

/// There is more to do in the background than is kept.
pub(crate) fn left_to_its_lease(who: Who<'_>) {
    say!(
        warn,
        "too many events wait for the guard, which remembers events: this one is free for a retry only after its lease, \
         or may be handled twice: check the store of the guard",
        webhook_id = who.id,
        claim_id = who.claim_id,
        scheme = who.scheme.as_str()
    );
}

/// The guard works, but an operator should know this.
pub(crate) fn guard_concern(concern: &str) {
    say!(
        warn,
        "the guard, which remembers events, works, but its store may forget or fail",
        concern = display(Plain::new(concern).at_most(2048))
    );
}

/// The guard did not do what it was asked for.
pub(crate) fn guard_failed(operation: &str, error: &dyn Error, who: Who<'_>) {
    say!(
        error,
        "the guard, which remembers events, failed: the event may be handled twice, or only after the lease has ended; \
         check the store of the guard",
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
        "`retention` is less than a day, but Google retries for a day, so a retry may be handled again",
        retention = debug(retention)
    );
}

/// Which secrets a receiver was built with, by the names under which other lines speak of them, and which
/// events it shares with others.
pub(crate) fn built<'a>(key_ids: impl Iterator<Item = &'a str>, namespace: Option<&str>) {
    if ENABLED {
        let key_ids = key_ids.collect::<Vec<_>>().join(" ");
        say!(
            info,
            "receiver built",
            key_ids = key_ids,
            namespace = namespace
        );
    }
}

/// What a source of secrets lists has changed.
pub(crate) fn secrets_changed(added: &[Arc<str>], ended: &[Arc<str>]) {
    say!(
        info,
        "the secrets have changed",
        added = added.join(" "),
        ended = ended.join(" ")
    );
}

/// Something is wrong with a source of secrets, or nothing is any more.
pub(crate) fn secret_source(fault: Option<&str>) {
    match fault {
        Some(fault) => say!(
            error,
            "something is wrong with the source of secrets",
            reason = display(Plain::new(fault))
        ),
        None => say!(info, "the source of secrets is in order again"),
    }
}

/// Nothing follows a source of secrets any more.
pub(crate) fn secrets_left() {
    say!(
        info,
        "the source of secrets is not followed any more: the runtime that read it has ended"
    );
}

/// A secret is shorter or longer than secrets are.
pub(crate) fn unusual_secret(key_id: &str, bytes: usize) {
    say!(
        warn,
        "a signing secret has an unusual length: Google's have 32 bytes, and 24 to 64 are usual; check that all of it was copied",
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
        "public keys could not be fetched; those that are known stay in use for a time, and another fetch follows",
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
                "public key skipped, so deliveries that it signed are refused",
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
            "no route takes this type of event: answered 200 without running a handler, as the app configured",
            r#type = r#type.map(debug)
        );
    } else {
        say!(
            warn,
            "no route takes this type of event: answered 501, as the app configured, so Google sends it again for a day",
            r#type = r#type.map(debug)
        );
    }
}

/// No route took an event.
#[cfg(feature = "actix-web")]
pub(crate) fn unrouted(type_name: Option<&str>) {
    say!(
        error,
        "no route took the event, so Google sends it again for a day: add a last route to `acknowledge` or `refuse`",
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
        "the app's own response to a refused delivery panicked, so the default one was sent: fix `with_response` or `error_handler`"
    );
}

/// An authentic event that has no type, for its form.
pub(crate) fn formless(who: Who<'_>, length: usize, looks: &str) {
    say!(
        warn,
        "the delivery is authentic, but its body is not a JSON object with a string `type`: the handler gets it as \
         `EventKind::Unknown`, and can read the body with `GeminiEvent::raw`",
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
