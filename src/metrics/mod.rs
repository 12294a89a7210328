//! The metrics, through the facade `metrics`: counters, histograms in seconds, and gauges.
//!
//! Without the feature `metrics` nothing is measured: the types are empty, no clock is read, and the functions do
//! nothing. No label has a value that a sender can choose. If the recorder panics, only what it was told is lost. The
//! guide's page *Metrics* has the table, which `tests/metrics.rs` compares with what is emitted.

use std::sync::Arc;
use std::time::Duration;
#[cfg(feature = "metrics")]
use std::time::Instant;

#[cfg(feature = "metrics")]
use ::metrics::{Level, Metadata};

use crate::clock::Clock;
#[cfg(feature = "metrics")]
use crate::contained::contained;
use crate::error::VerifyError;
use crate::event::GeminiEvent;
#[cfg(feature = "metrics")]
use crate::event::known_name;
use crate::scheme::Scheme;
use crate::trace::Outcome;

#[cfg(feature = "metrics")]
mod keys;

/// Whether anything is measured.
pub(crate) const ENABLED: bool = cfg!(feature = "metrics");

#[cfg(feature = "metrics")]
mod names {
    pub(super) const DELIVERIES: &str = "gemini_webhooks_deliveries_total";
    pub(super) const VERIFICATION: &str = "gemini_webhooks_verification_seconds";
    pub(super) const HANDLER: &str = "gemini_webhooks_handler_seconds";
    pub(super) const GUARD: &str = "gemini_webhooks_guard_seconds";
    pub(super) const GUARD_ERRORS: &str = "gemini_webhooks_guard_errors_total";
    pub(super) const BUFFERED: &str = "gemini_webhooks_buffered_bytes";
    pub(super) const IN_FLIGHT: &str = "gemini_webhooks_claims_in_flight";
    pub(super) const KEY_FETCH: &str = "gemini_webhooks_key_fetch_seconds";
    pub(super) const KEY_FETCHES: &str = "gemini_webhooks_key_fetches_total";
    pub(super) const KEYS_AGE: &str = "gemini_webhooks_keys_age_seconds";
}

/// Tells a recorder something. It is not our code, and may panic.
#[cfg(feature = "metrics")]
macro_rules! tell {
    ($($call:tt)+) => {{
        contained(|| ::metrics::$($call)+);
    }};
}

/// A metric with one label of few values: a key of constants costs no allocation.
#[cfg(feature = "metrics")]
macro_rules! labelled {
    ($kind:ident, $name:expr, $label:literal => $value:expr, $($known:literal)+) => {
        match $value {
            $($known => ::metrics::$kind!($name, $label => $known),)+
            other => ::metrics::$kind!($name, $label => other),
        }
    };
}

/// Says what the metrics are, to the recorder that is installed. To say it again changes nothing.
pub(crate) fn describe() {
    #[cfg(feature = "metrics")]
    {
        use ::metrics::Unit::{Bytes, Count, Seconds};

        tell!(describe_counter!(
            names::DELIVERIES,
            Count,
            "Deliveries, by how they ended"
        ));
        tell!(describe_histogram!(
            names::VERIFICATION,
            Seconds,
            "From the headers of a delivery to the answer of the guard, without the handler"
        ));
        tell!(describe_histogram!(
            names::HANDLER,
            Seconds,
            "How long the handler ran"
        ));
        tell!(describe_histogram!(
            names::GUARD,
            Seconds,
            "How long the guard, which remembers events, took to answer"
        ));
        tell!(describe_counter!(
            names::GUARD_ERRORS,
            Count,
            "Requests to the guard that failed, or that were not answered in time"
        ));
        tell!(describe_gauge!(
            names::BUFFERED,
            Bytes,
            "The bodies of all deliveries in flight"
        ));
        tell!(describe_gauge!(
            names::IN_FLIGHT,
            Count,
            "Events that are claimed and whose handler runs"
        ));
        tell!(describe_histogram!(
            names::KEY_FETCH,
            Seconds,
            "How long a fetch of public keys took"
        ));
        tell!(describe_counter!(
            names::KEY_FETCHES,
            Count,
            "Fetches of public keys"
        ));
        tell!(describe_gauge!(
            names::KEYS_AGE,
            Seconds,
            "How long ago the public keys in use were confirmed"
        ));
    }
}

/// What is known of a delivery so far.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "nobody counts"))]
pub(crate) struct Known<'a> {
    pub(crate) scheme: Option<Scheme>,
    pub(crate) event: Option<&'a GeminiEvent>,
}

#[cfg(feature = "metrics")]
impl Known<'_> {
    fn delivered(self, outcome: &'static str, code: &'static str) {
        let scheme = self.scheme.map_or("none", Scheme::as_str);
        let labels = [
            ("scheme", scheme),
            ("type", type_label(self.event)),
            ("outcome", outcome),
            ("code", code),
        ];
        let metadata = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));
        contained(|| {
            ::metrics::with_recorder(|recorder| {
                let counter = match keys::of(&labels) {
                    Some(key) => recorder.register_counter(key, &metadata),
                    None => recorder.register_counter(&keys::new(&labels), &metadata),
                };
                counter.increment(1);
            });
        });
    }
}

/// The set of types is open, that of labels is not.
#[cfg(feature = "metrics")]
fn type_label(event: Option<&GeminiEvent>) -> &'static str {
    let name = event.and_then(GeminiEvent::type_name);
    name.map_or("none", |name| known_name(name).unwrap_or("other"))
}

/// A delivery that did not reach the handler, or whose handler did not do what its answer says.
#[cfg_attr(
    not(feature = "metrics"),
    expect(unused_variables, reason = "nobody counts")
)]
pub(crate) fn refused(error: &VerifyError, known: Known<'_>) {
    #[cfg(feature = "metrics")]
    known.delivered("refused", error.kind().code());
}

/// A copy of an event that has been handled.
#[cfg_attr(
    not(feature = "metrics"),
    expect(unused_variables, reason = "nobody counts")
)]
pub(crate) fn repeated(scheme: Scheme, event: &GeminiEvent) {
    #[cfg(feature = "metrics")]
    {
        let (scheme, event) = (Some(scheme), Some(event));
        Known { scheme, event }.delivered("repeated", "");
    }
}

/// A delivery that reached the handler.
#[cfg_attr(
    not(feature = "metrics"),
    expect(unused_variables, reason = "nobody counts")
)]
pub(crate) fn ran(scheme: Scheme, event: &GeminiEvent, outcome: Outcome, took: Duration) {
    #[cfg(feature = "metrics")]
    {
        let outcome = outcome.label();
        let (scheme, event) = (Some(scheme), Some(event));
        Known { scheme, event }.delivered(outcome, "");
        handler(outcome, took);
    }
}

/// A handler that answered with a 2xx, but did not settle the claim that it had taken over. The refusal is counted.
#[cfg_attr(
    not(feature = "metrics"),
    expect(unused_variables, reason = "nobody counts")
)]
pub(crate) fn ran_in_vain(took: Duration) {
    #[cfg(feature = "metrics")]
    handler("refused", took);
}

#[cfg(feature = "metrics")]
fn handler(outcome: &'static str, took: Duration) {
    contained(|| {
        labelled!(histogram, names::HANDLER, "outcome" => outcome,
            "handled" "failed" "timed_out" "dropped" "panicked" "refused")
        .record(took);
    });
}

/// When something began that is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    #[cfg(feature = "metrics")]
    at: Instant,
}

impl Begun {
    #[cfg_attr(
        not(feature = "metrics"),
        expect(unused_variables, reason = "nobody measures")
    )]
    pub(crate) fn now(clock: &dyn Clock) -> Self {
        Self {
            #[cfg(feature = "metrics")]
            at: clock.monotonic(),
        }
    }

    #[cfg(feature = "metrics")]
    fn took(self, clock: &dyn Clock) -> Duration {
        clock.monotonic().saturating_duration_since(self.at)
    }

    /// A delivery that is authentic, and whose event the guard knows now.
    #[cfg_attr(
        not(feature = "metrics"),
        expect(unused_variables, reason = "nobody measures")
    )]
    pub(crate) fn verified(self, scheme: Scheme, clock: &dyn Clock) {
        #[cfg(feature = "metrics")]
        contained(|| {
            labelled!(histogram, names::VERIFICATION, "scheme" => scheme.as_str(), "v1" "v1a" "jwt")
                .record(self.took(clock));
        });
    }
}

/// Measures the requests to a guard.
#[derive(Debug)]
pub(crate) struct Requests {
    #[cfg(feature = "metrics")]
    clock: Arc<dyn Clock>,
}

impl Requests {
    #[cfg_attr(
        not(feature = "metrics"),
        expect(unused_variables, reason = "nobody measures")
    )]
    pub(crate) fn by(clock: &Arc<dyn Clock>) -> Self {
        Self {
            #[cfg(feature = "metrics")]
            clock: Arc::clone(clock),
        }
    }

    #[cfg_attr(
        not(feature = "metrics"),
        expect(unused_variables, reason = "nobody measures")
    )]
    pub(crate) fn begin(&self, operation: &'static str) -> Request {
        Request {
            #[cfg(feature = "metrics")]
            asked: Some((operation, Begun::now(&*self.clock), Arc::clone(&self.clock))),
        }
    }
}

/// A request to the guard. It is told once how that ended: by its answer, or by nobody waiting any more.
#[derive(Debug, Default)]
pub(crate) struct Request {
    #[cfg(feature = "metrics")]
    asked: Option<(&'static str, Begun, Arc<dyn Clock>)>,
}

impl Request {
    #[cfg_attr(
        not(feature = "metrics"),
        expect(unused_variables, reason = "nobody measures")
    )]
    pub(crate) fn ended(&mut self, done: bool) {
        #[cfg(feature = "metrics")]
        if let Some((operation, begun, clock)) = self.asked.take() {
            contained(|| {
                labelled!(histogram, names::GUARD, "operation" => operation, "claim" "settle" "release")
                    .record(begun.took(&*clock));
            });
            if !done {
                tell!(counter!(names::GUARD_ERRORS, "operation" => operation).increment(1));
            }
        }
    }
}

/// So many bytes more are kept.
#[cfg_attr(
    not(feature = "metrics"),
    expect(unused_variables, reason = "nobody counts")
)]
pub(crate) fn buffered(bytes: usize) {
    #[cfg(feature = "metrics")]
    tell!(gauge!(names::BUFFERED).increment(bytes as f64));
}

/// So many bytes are kept no longer.
#[cfg_attr(
    not(feature = "metrics"),
    expect(unused_variables, reason = "nobody counts")
)]
pub(crate) fn freed(bytes: usize) {
    #[cfg(feature = "metrics")]
    tell!(gauge!(names::BUFFERED).decrement(bytes as f64));
}

/// A claim that is held, while a handler runs.
#[derive(Debug)]
pub(crate) struct InFlight {
    #[cfg(feature = "metrics")]
    claimed: bool,
}

impl InFlight {
    #[cfg_attr(
        not(feature = "metrics"),
        expect(unused_variables, reason = "nobody counts")
    )]
    pub(crate) fn new(claimed: bool) -> Self {
        #[cfg(feature = "metrics")]
        if claimed {
            tell!(gauge!(names::IN_FLIGHT).increment(1.0));
        }
        Self {
            #[cfg(feature = "metrics")]
            claimed,
        }
    }
}

#[cfg(feature = "metrics")]
impl Drop for InFlight {
    fn drop(&mut self) {
        if self.claimed {
            tell!(gauge!(names::IN_FLIGHT).decrement(1.0));
        }
    }
}

/// A fetch of public keys has ended.
#[cfg(feature = "jwks")]
#[cfg_attr(
    not(feature = "metrics"),
    expect(unused_variables, reason = "nobody counts")
)]
pub(crate) fn keys_fetched(fetched: bool, took: Duration) {
    #[cfg(feature = "metrics")]
    {
        let outcome = if fetched { "fetched" } else { "failed" };
        tell!(histogram!(names::KEY_FETCH).record(took));
        tell!(counter!(names::KEY_FETCHES, "outcome" => outcome).increment(1));
    }
}

/// How old the public keys are that are known, if there are any.
#[cfg(feature = "jwks")]
#[cfg_attr(
    not(feature = "metrics"),
    expect(unused_variables, reason = "nobody looks")
)]
pub(crate) fn keys_age(age: Option<Duration>) {
    #[cfg(feature = "metrics")]
    if let Some(age) = age {
        tell!(gauge!(names::KEYS_AGE).set(age));
    }
}
