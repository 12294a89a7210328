//! What a cache knows, and what is to be done at which time.

use std::time::Duration;

use super::moment::Moment;
use super::{COOL_DOWN, FIRST_COOL_DOWN, MAX_WAITING, PATIENCE};
use crate::jwks::{FetchError, KeySet};

pub(super) struct State {
    max_stale: Duration,
    known: Option<Known>,
    /// When the fetch that is under way began.
    fetching: Option<Moment>,
    /// Whether a delivery has waited for it in vain, as long as one does under keys past their age.
    in_vain: bool,
    /// Of the fetches since the last that succeeded.
    failures: u32,
    last_failure: Option<FetchError>,
    /// No fetch so soon after that time, unless it is forced.
    cool_down: Option<(Moment, Duration)>,
    waiting: Waiters,
    /// Whether a task refreshes the keys before they expire.
    kept_fresh: bool,
}

/// Why a delivery waits for keys.
#[derive(Clone, Copy)]
pub(super) enum Why {
    /// Those that are known are past their age.
    Confirmation,
    /// It was signed under none that is known.
    Others,
}

/// Counted apart: whoever forges signatures must not take the places of genuine deliveries.
#[derive(Default)]
struct Waiters {
    for_confirmation: usize,
    for_others: usize,
}

impl Waiters {
    fn of(&mut self, why: Why) -> &mut usize {
        match why {
            Why::Confirmation => &mut self.for_confirmation,
            Why::Others => &mut self.for_others,
        }
    }
}

struct Known {
    keys: KeySet,
    max_age: Duration,
    /// When they were asked for.
    confirmed: Moment,
}

/// What the end of a fetch leaves to do, without the lock.
#[must_use]
pub(super) struct Ended {
    /// Whether a task is to be started that keeps the keys fresh.
    pub(super) start_keeper: bool,
    /// Whether the set skips other keys than the last one.
    pub(super) skips_others: bool,
    /// What the end replaced; to drop it may run code of others.
    _replaced: (Option<Known>, Option<FetchError>),
}

impl State {
    pub(super) fn new(max_stale: Duration) -> Self {
        Self {
            max_stale,
            known: None,
            fetching: None,
            in_vain: false,
            failures: 0,
            last_failure: None,
            cool_down: None,
            waiting: Waiters::default(),
            kept_fresh: false,
        }
    }

    /// What is known and to be trusted, if need be without asking again.
    pub(super) fn known(&self, now: Moment) -> Option<&KeySet> {
        self.trusted(now).map(|known| &known.keys)
    }

    fn trusted(&self, now: Moment) -> Option<&Known> {
        let known = self.known.as_ref()?;
        (now.since(known.confirmed) <= self.max_stale).then_some(known)
    }

    /// How old the last set is.
    pub(super) fn age(&self, now: Moment) -> Option<Duration> {
        let known = self.known.as_ref()?;
        Some(now.since(known.confirmed))
    }

    /// The last set, however old.
    pub(super) fn last(&self) -> Option<&KeySet> {
        self.known.as_ref().map(|known| &known.keys)
    }

    /// What is known beyond `seen`: nothing yet, no others, or others.
    pub(super) fn unseen(&self, now: Moment, seen: Option<&KeySet>) -> Option<Option<KeySet>> {
        let keys = self.known(now)?;
        match seen {
            Some(seen) if keys.is(seen) => None,
            Some(seen) => Some(keys.without(seen)),
            None => Some(Some(keys.clone())),
        }
    }

    /// How long the keys that are known may still be used without asking again.
    pub(super) fn due_in(&self, now: Moment) -> Option<Duration> {
        let known = self.trusted(now)?;
        // Some time before they expire, for the fetch and for a few that fail.
        let due = known.max_age.min(self.max_stale) / 5 * 4;
        let due_in = due.saturating_sub(now.since(known.confirmed));
        Some(due_in.max(self.cools_down_for(now)))
    }

    /// Whether it is time for a refresh; it then counts as begun.
    pub(super) fn begin_if_due(&mut self, now: Moment) -> bool {
        self.due_in(now).is_some_and(|wait| wait.is_zero()) && self.begin(now)
    }

    /// Begins a fetch, unless one is under way; the caller has to see to it then.
    pub(super) fn begin(&mut self, now: Moment) -> bool {
        let begins = !self.is_fetching(now);
        if begins {
            self.fetching = Some(now);
            self.in_vain = false;
        }
        begins
    }

    /// Whether a fetch is under way. One that did not even end by its own time-out is on a runtime
    /// that nobody drives any more, or was suspended with it; it is given up.
    pub(super) fn is_fetching(&self, now: Moment) -> bool {
        self.fetching
            .is_some_and(|begun| now.since(begun) < PATIENCE * 2)
    }

    pub(super) fn may_fetch(&self, now: Moment) -> bool {
        !self.is_fetching(now) && self.cools_down_for(now).is_zero()
    }

    fn cools_down_for(&self, now: Moment) -> Duration {
        self.cool_down
            .map(|(since, time)| time.saturating_sub(now.since(since)))
            .unwrap_or_default()
    }

    /// Whether the keys are past their age and a fetch that is under way may still confirm them in
    /// time.
    pub(super) fn awaits_confirmation(&self, now: Moment) -> bool {
        self.trusted(now)
            .is_some_and(|known| now.since(known.confirmed) > known.max_age)
            && self.is_fetching(now)
            && !self.in_vain
    }

    /// The fetch that is under way did not confirm them in time.
    pub(super) fn awaited_in_vain(&mut self) {
        self.in_vain = true;
    }

    /// Takes a place among those that wait.
    pub(super) fn wait(&mut self, why: Why) -> Result<(), FetchError> {
        let waiting = self.waiting.of(why);
        if *waiting >= MAX_WAITING {
            return Err(FetchError::new(
                "256 deliveries are already waiting for public keys",
            ));
        }
        *waiting += 1;
        Ok(())
    }

    pub(super) fn leave(&mut self, why: Why) {
        *self.waiting.of(why) -= 1;
    }

    /// The last fetch, if it failed.
    pub(super) fn last_failure(&self) -> Option<&FetchError> {
        self.last_failure.as_ref()
    }

    pub(super) fn failure(&self) -> FetchError {
        let failure = self.last_failure.clone();
        failure.unwrap_or_else(|| FetchError::new("the public keys were not fetched"))
    }

    /// Ends the fetch that began at `begun`. `None`: it was given up, and another one took its
    /// place, which knows better.
    pub(super) fn end(
        &mut self,
        begun: Moment,
        now: Moment,
        result: Result<(KeySet, Duration), FetchError>,
    ) -> Option<Ended> {
        if self.fetching != Some(begun) {
            return None;
        }
        self.fetching = None;
        Some(match result {
            Ok((keys, max_age)) => {
                self.failures = 0;
                // From its beginning: a process that was suspended meanwhile asks again at once.
                self.cool_down = Some((begun, COOL_DOWN));
                let last = self.last().map_or(&[][..], KeySet::skipped);
                let skips_others = last != keys.skipped();
                Ended {
                    start_keeper: !std::mem::replace(&mut self.kept_fresh, true),
                    skips_others,
                    _replaced: (
                        self.known.replace(Known {
                            keys,
                            max_age,
                            confirmed: begun,
                        }),
                        self.last_failure.take(),
                    ),
                }
            }
            Err(failure) => {
                let doubled = FIRST_COOL_DOWN * 2_u32.pow(self.failures.min(8));
                self.failures = self.failures.saturating_add(1);
                self.cool_down = Some((now, doubled.min(COOL_DOWN)));
                Ended {
                    start_keeper: false,
                    skips_others: false,
                    _replaced: (None, self.last_failure.replace(failure)),
                }
            }
        })
    }

    /// The task that keeps the keys fresh has ended.
    pub(super) fn keeper_ended(&mut self) {
        self.kept_fresh = false;
    }
}

#[cfg(test)]
impl State {
    pub(super) fn waiting(&self) -> usize {
        self.waiting.for_confirmation + self.waiting.for_others
    }

    pub(super) fn fetching(&self) -> bool {
        self.fetching.is_some()
    }

    pub(super) fn kept_fresh(&self) -> bool {
        self.kept_fresh
    }
}
