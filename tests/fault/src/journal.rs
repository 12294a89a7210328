//! What happened in a run, for the judge.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;

use crate::clock::{Clock, Moment};

/// All of it, in the order in which it was noticed.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) clock: Clock,
    entries: Mutex<Entries>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Entries {
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) runs: Vec<Run>,
    pub(crate) deaths: Vec<Death>,
    pub(crate) outages: Vec<Outage>,
    /// Key rotations and the like, which explain no second run.
    pub(crate) others: Vec<(Moment, String)>,
}

/// One delivery of an event, as the sender saw it.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// The place of the event in the list of events.
    pub(crate) event: usize,
    pub(crate) ended: Moment,
    pub(crate) answer: Answer,
}

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Answer {
    Status(u16),
    /// The sender had no more patience.
    TimedOut,
    /// The connection was refused or cut.
    Broken,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        matches!(self, Self::Status(200..=299))
    }
}

/// A line of the app: a handler has succeeded.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) webhook_id: String,
    pub(crate) at: Moment,
    pub(crate) life: Life,
    /// The app says that it committed the work together with its mark.
    pub(crate) once: bool,
    /// In the set-ups with expected jobs.
    pub(crate) told: Option<Told>,
}

/// What an event says of a job.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Told {
    /// Kind and id.
    pub(crate) job: String,
    pub(crate) r#type: String,
    /// By asking, and not by a webhook.
    pub(crate) found: bool,
}

/// One process: which replica, and its how many-th start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Life {
    pub(crate) replica: usize,
    pub(crate) start: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Death {
    pub(crate) life: Life,
    pub(crate) born: Moment,
    pub(crate) at: Moment,
    pub(crate) how: How,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum How {
    /// By SIGKILL, as the plan says.
    Killed,
    /// The handler aborted it, as the app was told to.
    Aborted,
    /// At SIGTERM, with this exit code; `None` is by a signal.
    Stopped(Option<i32>),
    /// It did not end at SIGTERM.
    Hung,
    /// Nobody had asked for it.
    ByItself(Option<i32>),
}

/// The store, or the way to it, did not work.
#[derive(Clone, Debug)]
pub(crate) struct Outage {
    pub(crate) what: String,
    pub(crate) from: Moment,
    pub(crate) to: Moment,
}

impl Journal {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            entries: Mutex::default(),
        }
    }

    pub(crate) fn write(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes something that explains no second run.
    pub(crate) fn note(&self, what: impl Into<String>) {
        let now = self.clock.now();
        self.write().others.push((now, what.into()));
    }
}
