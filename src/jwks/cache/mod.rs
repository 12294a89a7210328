//! Keys that were fetched, shared by all clones of a receiver; the rules are in the
//! [module](super).

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::{FetchError, FetchedKeys, KeySet, KeySource};
use crate::clock::Clock;
use crate::error::BoxError;
use crate::trace;

/// For one fetch, and for a delivery that waits for one.
const PATIENCE: Duration = Duration::from_secs(5);

/// Deliveries that wait at the same time.
const MAX_WAITING: usize = 256;

/// After a fetch that succeeded, unknown keys are not asked for again so soon.
const COOL_DOWN: Duration = Duration::from_secs(30);

/// After a fetch that failed: doubled with each further one, up to [`COOL_DOWN`].
const FIRST_COOL_DOWN: Duration = Duration::from_secs(1);

const MIN_AGE: Duration = Duration::from_secs(60);
const MAX_AGE: Duration = Duration::from_secs(60 * 60);

pub(crate) struct KeyCache {
    inner: Arc<Inner>,
}

struct Inner {
    source: Arc<dyn KeySource>,
    /// Whether tokens are taken, so that keys for nothing else are of use.
    tokens: bool,
    clock: Arc<dyn Clock>,
    max_stale: Duration,
    /// Held for a few instructions, never while something is awaited.
    state: Mutex<State>,
    /// Changes at the end of each fetch.
    finished: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    known: Option<Known>,
    /// When the fetch that is under way began.
    fetching: Option<Instant>,
    /// Of the fetches since the last that succeeded.
    failures: u32,
    last_failure: Option<FetchError>,
    /// No fetch before, unless it is forced.
    not_before: Option<Instant>,
    waiting: usize,
    /// Whether a task refreshes the keys before they expire.
    kept_fresh: bool,
}

struct Known {
    keys: KeySet,
    confirmed: Instant,
    max_age: Duration,
}

impl KeyCache {
    pub(crate) fn new(
        source: Arc<dyn KeySource>,
        clock: Arc<dyn Clock>,
        max_stale: Duration,
        tokens: bool,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                source,
                tokens,
                clock,
                max_stale,
                state: Mutex::default(),
                finished: watch::Sender::new(()),
            }),
        }
    }

    /// The keys to verify with, at once; `None` if there are none to be trusted now. Has them
    /// refreshed when it is time.
    pub(crate) fn current(&self) -> Option<KeySet> {
        let inner = &self.inner;
        let now = inner.clock.monotonic();
        let (keys, fetch) = {
            let mut state = inner.lock();
            let keys = inner.known(&state, now).map(|known| known.keys.clone());
            (keys, inner.begin_if_due(&mut state, now))
        };
        if fetch {
            Inner::fetch(inner, now);
        }
        keys
    }

    /// The keys beyond those that were `seen`, which did not fit; waits for a fetch if one may
    /// help. `None`: there are no others.
    pub(crate) async fn others(&self, seen: Option<&KeySet>) -> Result<Option<KeySet>, FetchError> {
        let inner = &self.inner;
        in_a_runtime()?;
        let now = inner.clock.monotonic();
        let (mut finished, fetch) = {
            let mut state = inner.lock();
            if let Some(others) = inner.unseen(&state, now, seen) {
                return Ok(others);
            }
            let may_fetch = state.may_fetch(now);
            if !may_fetch && !state.is_fetching(now) {
                return match &state.last_failure {
                    // Nobody knows whether the key is a new one: no reason to blame the sender.
                    Some(failure) => Err(failure.clone()),
                    None if inner.known(&state, now).is_none() => {
                        Err(FetchError::new("the keys are too old"))
                    }
                    None => Ok(None),
                };
            }
            if state.waiting >= MAX_WAITING {
                return Err(FetchError::new("256 deliveries wait for keys already"));
            }
            state.waiting += 1;
            if may_fetch {
                state.fetching = Some(now);
            }
            (inner.finished.subscribe(), may_fetch)
        };
        let _waiting = Waiting(inner);
        if fetch {
            Inner::fetch(inner, now);
        }
        inner.wait(&mut finished).await?;
        let state = inner.lock();
        match inner.unseen(&state, inner.clock.monotonic(), seen) {
            Some(others) => Ok(others),
            None => Err(state.failure()),
        }
    }

    /// Waits until there are keys, fetching them if there are none.
    pub(crate) async fn ready(&self) -> Result<(), FetchError> {
        match self.current() {
            Some(_) => Ok(()),
            None => self.others(None).await.map(drop),
        }
    }

    /// Fetches the keys, whatever is known and however soon after the last time.
    pub(crate) async fn refresh(&self) -> Result<(), FetchError> {
        let inner = &self.inner;
        in_a_runtime()?;
        // One that is under way may have asked before what the caller knows of came true.
        let under_way = {
            let state = inner.lock();
            let fetching = state.is_fetching(inner.clock.monotonic());
            fetching.then(|| inner.finished.subscribe())
        };
        if let Some(mut finished) = under_way {
            inner.wait(&mut finished).await?;
        }
        let now = inner.clock.monotonic();
        let (mut finished, fetch, before) = {
            let mut state = inner.lock();
            let fetch = state.begin(now);
            let before = state.known.as_ref().map(|known| known.keys.clone());
            (inner.finished.subscribe(), fetch, before)
        };
        if fetch {
            Inner::fetch(inner, now);
        }
        inner.wait(&mut finished).await?;
        let state = inner.lock();
        let replaced = match (&state.known, before) {
            (Some(known), Some(before)) => !known.keys.is(&before),
            (known, _) => known.is_some(),
        };
        if replaced {
            Ok(())
        } else {
            Err(state.failure())
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; if something did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known<'s>(&self, state: &'s State, now: Instant) -> Option<&'s Known> {
        let known = state.known.as_ref()?;
        let age = now.saturating_duration_since(known.confirmed);
        (age <= self.max_stale).then_some(known)
    }

    /// What is known beyond `seen`: nothing yet, no others, or others.
    fn unseen(&self, state: &State, now: Instant, seen: Option<&KeySet>) -> Option<Option<KeySet>> {
        let keys = &self.known(state, now)?.keys;
        match seen {
            Some(seen) if keys.is(seen) => None,
            Some(seen) => Some(keys.without(seen)),
            None => Some(Some(keys.clone())),
        }
    }

    /// Waits for the end of a fetch.
    async fn wait(&self, finished: &mut watch::Receiver<()>) -> Result<(), FetchError> {
        match timeout(PATIENCE, finished.changed()).await {
            // The sender is a field of ours.
            Ok(_) => Ok(()),
            Err(late) => Err(FetchError::because("the keys were not there in time", late)),
        }
    }

    /// How long the keys that are known may still be used without asking again.
    fn due_in(&self, state: &State, now: Instant) -> Option<Duration> {
        let known = self.known(state, now)?;
        // Some time before they expire, for the fetch and for a few that fail.
        let due = known.confirmed + known.max_age.min(self.max_stale) / 5 * 4;
        let due = due.max(state.not_before.unwrap_or(due));
        Some(due.saturating_duration_since(now))
    }

    /// Whether it is time for a refresh; it then counts as begun.
    fn begin_if_due(&self, state: &mut State, now: Instant) -> bool {
        let due = self.due_in(state, now).is_some_and(|wait| wait.is_zero());
        due && state.begin(now)
    }

    /// Fetches in a task of its own, so that nobody who leaves can cut it short. The caller has
    /// set `fetching`, and holds no lock.
    fn fetch(inner: &Arc<Self>, begun: Instant) {
        let attempt = Attempt {
            inner: Some(Arc::clone(inner)),
            begun,
        };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(attempt.run())),
            Err(none) => attempt.end(Err(FetchError::because("no tokio runtime", none))),
        }
    }

    fn finish(inner: &Arc<Self>, begun: Instant, result: Result<(KeySet, Duration), FetchError>) {
        let now = inner.clock.monotonic();
        match &result {
            Ok((keys, max_age)) => trace::keys_fetched(keys.len(), *max_age),
            Err(failure) => trace::keys_not_fetched(failure),
        }
        let start_keeper = {
            let mut state = inner.lock();
            if state.fetching != Some(begun) {
                // It was given up, and another one took its place: that knows better.
                return;
            }
            state.fetching = None;
            let start_keeper = match result {
                Ok((keys, max_age)) => {
                    state.failures = 0;
                    state.last_failure = None;
                    state.not_before = Some(now + COOL_DOWN);
                    state.known = Some(Known {
                        keys,
                        confirmed: now,
                        max_age,
                    });
                    !std::mem::replace(&mut state.kept_fresh, true)
                }
                Err(failure) => {
                    let doubled = FIRST_COOL_DOWN * 2_u32.pow(state.failures.min(8));
                    state.failures = state.failures.saturating_add(1);
                    state.last_failure = Some(failure);
                    state.not_before = Some(now + doubled.min(COOL_DOWN));
                    false
                }
            };
            // Within the lock, so that nobody who begins the next one takes this for its end.
            inner.finished.send_replace(());
            start_keeper
        };
        if start_keeper {
            let keeper = Keeper(Arc::downgrade(inner));
            if let Ok(runtime) = Handle::try_current() {
                runtime.spawn(keeper.run());
            }
        }
    }
}

impl State {
    /// Whether a fetch is under way. One that did not even end by its own time-out is on a runtime
    /// that nobody drives any more; it is given up.
    fn is_fetching(&self, now: Instant) -> bool {
        self.fetching
            .is_some_and(|begun| now.saturating_duration_since(begun) < PATIENCE * 2)
    }

    /// Begins a fetch, unless one is under way; the caller has to see to it then.
    fn begin(&mut self, now: Instant) -> bool {
        let begins = !self.is_fetching(now);
        if begins {
            self.fetching = Some(now);
        }
        begins
    }

    fn may_fetch(&self, now: Instant) -> bool {
        !self.is_fetching(now) && self.not_before.is_none_or(|not_before| now >= not_before)
    }

    fn failure(&self) -> FetchError {
        let failure = self.last_failure.clone();
        failure.unwrap_or_else(|| FetchError::new("the keys were not fetched"))
    }
}

/// Timers outside of one would panic.
fn in_a_runtime() -> Result<(), FetchError> {
    match Handle::try_current() {
        Ok(_) => Ok(()),
        Err(none) => Err(FetchError::because("no tokio runtime", none)),
    }
}

/// A fetch. Dropped before its end, as by a runtime that shuts down, it counts as failed.
struct Attempt {
    inner: Option<Arc<Inner>>,
    begun: Instant,
}

impl Attempt {
    async fn run(self) {
        let Some(inner) = &self.inner else { return };
        let result = match timeout(PATIENCE, inner.source.fetch()).await {
            Ok(Ok(fetched)) => Self::read(&fetched, inner.tokens),
            Ok(Err(error)) => Err(FetchError::because("the keys cannot be fetched", error)),
            Err(late) => Err(FetchError::because("the keys were not there in time", late)),
        };
        self.end(result);
    }

    fn read(fetched: &FetchedKeys, tokens: bool) -> Result<(KeySet, Duration), FetchError> {
        let keys = KeySet::from_json(&fetched.json).map_err(|error| {
            FetchError::because("the keys cannot be read", BoxError::from(error))
        })?;
        if !tokens && !keys.has_ed25519() {
            return Err(FetchError::new("none of the keys is for `v1a`"));
        }
        let max_age = fetched.max_age.unwrap_or(MAX_AGE);
        Ok((keys, max_age.clamp(MIN_AGE, MAX_AGE)))
    }

    fn end(mut self, result: Result<(KeySet, Duration), FetchError>) {
        if let Some(inner) = self.inner.take() {
            Inner::finish(&inner, self.begun, result);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            let result = Err(FetchError::new("the fetch was cut short"));
            Inner::finish(&inner, self.begun, result);
        }
    }
}

/// Refreshes keys that are known before they expire, also when no delivery asks for them. Ends
/// with the receiver, or when the keys can no longer be used; the next fetch starts another.
struct Keeper(Weak<Inner>);

impl Keeper {
    async fn run(self) {
        loop {
            let Some(wait) = self.0.upgrade().and_then(|inner| {
                let (state, now) = (inner.lock(), inner.clock.monotonic());
                let wait = inner.due_in(&state, now)?;
                // While one is under way there is nothing to do until it has ended.
                Some(if state.is_fetching(now) {
                    PATIENCE
                } else {
                    wait
                })
            }) else {
                return;
            };
            sleep(wait).await;
            let Some(inner) = self.0.upgrade() else {
                return;
            };
            let now = inner.clock.monotonic();
            let due = inner.begin_if_due(&mut inner.lock(), now);
            if due {
                Inner::fetch(&inner, now);
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.lock().kept_fresh = false;
        }
    }
}

/// A place among those that wait, given back on drop.
struct Waiting<'a>(&'a Inner);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyCache")
            .field("source", &self.inner.source)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
