//! The metrics of storing and of working off, through the facade `metrics`. Those of the watcher are in `jobs/telling.rs`.
//!
//! Without the feature `metrics` the functions do nothing, and no clock is read. The table is in the guide of
//! `gemini-webhooks`, `docs/metrics.md`; `tests/metrics.rs` compares it with what is emitted.

#[cfg(feature = "metrics")]
use std::time::Instant;

#[cfg(feature = "metrics")]
use gemini_webhooks::{Clock as _, SystemClock};

use crate::error::InboxError;
#[cfg(feature = "metrics")]
use crate::error::InboxErrorKind;
#[cfg(feature = "metrics")]
use crate::inbox::Depth;
use crate::inbox::Stored;

#[cfg(feature = "metrics")]
mod names {
    pub(super) const STORED: &str = "gemini_webhooks_inbox_stored_total";
    pub(super) const EVENTS: &str = "gemini_webhooks_inbox_events";
    pub(super) const OLDEST: &str = "gemini_webhooks_inbox_oldest_seconds";
    pub(super) const RUNS: &str = "gemini_webhooks_inbox_runs_total";
    pub(super) const RUN: &str = "gemini_webhooks_inbox_run_seconds";
}

/// Says what the metrics are, to the recorder that is installed. To say it again changes nothing.
pub(crate) fn describe() {
    #[cfg(feature = "metrics")]
    {
        use ::metrics::Unit::{Count, Seconds};
        use ::metrics::{describe_counter, describe_gauge, describe_histogram};

        describe_counter!(
            names::STORED,
            Count,
            "What became of events that were given to the inbox"
        );
        describe_gauge!(names::EVENTS, Count, "The events in the inbox");
        describe_gauge!(
            names::OLDEST,
            Seconds,
            "For how long the oldest event that waits or runs has been in the inbox"
        );
        describe_counter!(names::RUNS, Count, "Runs of handlers that have ended");
        describe_histogram!(names::RUN, Seconds, "How long a run of a handler took");
    }
}

/// What became of an event that was given to the inbox.
#[cfg_attr(
    not(feature = "metrics"),
    expect(unused_variables, reason = "nobody counts")
)]
pub(crate) fn stored(stored: &Result<Stored, InboxError>) {
    #[cfg(feature = "metrics")]
    {
        let stored = match stored {
            Ok(Stored::New) => "new",
            Ok(Stored::Copy) => "copy",
            Err(error) if error.kind() == InboxErrorKind::Full => "full",
            Err(_) => "unavailable",
        };
        ::metrics::counter!(names::STORED, "stored" => stored).increment(1);
    }
}

/// How much there is to do. `None`: the database does not say, and what was told last would stand for ever.
#[cfg(feature = "metrics")]
pub(crate) fn depth(depth: Option<&Depth>) {
    let events = |of: fn(&Depth) -> u64| depth.map_or(f64::NAN, |depth| of(depth) as f64);
    for (state, count) in [
        ("waiting", events(|depth| depth.waiting)),
        ("running", events(|depth| depth.running)),
        ("dead", events(|depth| depth.dead)),
    ] {
        ::metrics::gauge!(names::EVENTS, "state" => state).set(count);
    }
    let oldest = depth.map_or(f64::NAN, |depth| {
        depth.oldest.unwrap_or_default().as_secs_f64()
    });
    ::metrics::gauge!(names::OLDEST).set(oldest);
}

/// When an event was taken, to be run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    #[cfg(feature = "metrics")]
    at: Instant,
}

impl Begun {
    pub(crate) fn now() -> Self {
        Self {
            #[cfg(feature = "metrics")]
            at: SystemClock.monotonic(),
        }
    }

    /// A run has ended, and it is not written down yet how.
    pub(crate) fn ended(self) {
        #[cfg(feature = "metrics")]
        {
            let took = SystemClock.monotonic().saturating_duration_since(self.at);
            ::metrics::histogram!(names::RUN).record(took);
        }
    }
}

/// How a run has ended is written down: `done`, `failed`, `dead` or `lost`.
#[cfg_attr(
    not(feature = "metrics"),
    expect(unused_variables, reason = "nobody counts")
)]
pub(crate) fn ran(outcome: &'static str) {
    #[cfg(feature = "metrics")]
    ::metrics::counter!(names::RUNS, "outcome" => outcome).increment(1);
}
