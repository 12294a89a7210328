//! Keys that were fetched, shared by all clones of a receiver; the rules are in the
//! [module](super).

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{FetchError, KeySet, KeySource};
use crate::clock::Clock;
use crate::metrics;

mod fetch;
mod moment;
mod state;
#[cfg(test)]
mod tests;

use fetch::Attempt;
use moment::Moment;
use state::{State, Why};

/// For one fetch, and for a delivery under a key that is not known.
const PATIENCE: Duration = Duration::from_secs(5);

/// For deliveries under keys that are past their age.
const AGED_PATIENCE: Duration = Duration::from_secs(2);

/// Deliveries that wait at the same time.
const MAX_WAITING: usize = 256;

/// After a fetch that succeeded, unknown keys are not asked for again so soon.
const COOL_DOWN: Duration = Duration::from_secs(30);

/// After a fetch that failed: doubled with each further one, up to [`COOL_DOWN`].
const FIRST_COOL_DOWN: Duration = Duration::from_secs(1);

pub(crate) struct KeyCache {
    inner: Arc<Inner>,
}

struct Inner {
    source: Arc<dyn KeySource>,
    /// Whether tokens are taken, so that keys for nothing else are of use.
    tokens: bool,
    clock: Arc<dyn Clock>,
    /// Held for a few instructions, never while something is awaited or code of others runs.
    state: Mutex<State>,
    /// Changes at the end of each fetch.
    finished: watch::Sender<()>,
}

/// What a delivery is to be verified with.
pub(crate) enum Current {
    /// These keys, at once.
    Known(KeySet),
    /// Keys that are past their age; a fetch is under way that may confirm them.
    Aged(Aged),
    /// None are known that are to be trusted.
    Unknown,
}

impl Current {
    /// The keys, where nothing has to be waited for.
    pub(crate) fn known(&self) -> Option<&KeySet> {
        match self {
            Self::Known(keys) => Some(keys),
            Self::Aged(_) | Self::Unknown => None,
        }
    }
}

/// Keys that are past their age, and the fetch that may confirm them.
pub(crate) struct Aged {
    inner: Arc<Inner>,
    finished: watch::Receiver<()>,
}

impl Aged {
    /// The keys once they are confirmed or replaced; those that were known if that fails or does not
    /// end in time.
    pub(crate) async fn confirmed(mut self) -> Result<Option<KeySet>, FetchError> {
        let inner = &self.inner;
        if in_a_runtime().is_ok() {
            inner.lock().wait(Why::Confirmation)?;
            let _waiting = Waiting(inner, Why::Confirmation);
            let in_time = timeout(AGED_PATIENCE, self.finished.changed()).await;
            if in_time.is_err() {
                inner.lock().awaited_in_vain();
            }
        }
        let now = inner.now();
        Ok(inner.lock().known(now).cloned())
    }
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
                state: Mutex::new(State::new(max_stale)),
                finished: watch::Sender::new(()),
            }),
        }
    }

    /// The keys to verify with. Has them refreshed when it is time.
    pub(crate) fn current(&self) -> Current {
        let inner = &self.inner;
        let now = inner.now();
        let (current, fetch) = {
            let mut state = inner.lock();
            let fetch = state.begin_if_due(now);
            let current = if state.awaits_confirmation(now) {
                Current::Aged(Aged {
                    inner: Arc::clone(inner),
                    finished: inner.finished.subscribe(),
                })
            } else {
                let known = state.known(now).cloned();
                known.map_or(Current::Unknown, Current::Known)
            };
            (current, fetch)
        };
        if fetch {
            Attempt::start(inner, now);
        }
        inner.tell_age(now);
        current
    }

    /// The keys beyond those that were `seen`, which did not fit; waits for a fetch if one may
    /// help. `None`: there are no others.
    pub(crate) async fn others(&self, seen: Option<&KeySet>) -> Result<Option<KeySet>, FetchError> {
        let inner = &self.inner;
        in_a_runtime()?;
        let now = inner.now();
        let (mut finished, fetch) = {
            let mut state = inner.lock();
            if let Some(others) = state.unseen(now, seen) {
                return Ok(others);
            }
            let may_fetch = state.may_fetch(now);
            if !may_fetch && !state.is_fetching(now) {
                return match state.last_failure() {
                    // Nobody knows whether the key is a new one: no reason to blame the sender.
                    Some(failure) => Err(failure.clone()),
                    None if state.known(now).is_none() => Err(FetchError::new(
                        "the public keys are older than `max_stale`, and the next fetch may not begin yet",
                    )),
                    None => Ok(None),
                };
            }
            state.wait(Why::Others)?;
            (inner.finished.subscribe(), may_fetch && state.begin(now))
        };
        let _waiting = Waiting(inner, Why::Others);
        if fetch {
            Attempt::start(inner, now);
        }
        inner.wait(&mut finished).await?;
        let now = inner.now();
        let state = inner.lock();
        match state.unseen(now, seen) {
            Some(others) => Ok(others),
            None => Err(state.failure()),
        }
    }

    /// Waits until there are keys, fetching them if there are none.
    pub(crate) async fn ready(&self) -> Result<(), FetchError> {
        let known = match self.current() {
            Current::Known(_) => return Ok(()),
            Current::Aged(aged) => aged.confirmed().await?,
            Current::Unknown => None,
        };
        match known {
            Some(_) => Ok(()),
            None => self.others(None).await.map(drop),
        }
    }

    /// Fetches the keys, whatever is known and however soon after the last time.
    pub(crate) async fn refresh(&self) -> Result<(), FetchError> {
        let inner = &self.inner;
        in_a_runtime()?;
        // One that is under way may have asked before what the caller knows of came true.
        let now = inner.now();
        let under_way = {
            let state = inner.lock();
            let fetching = state.is_fetching(now);
            fetching.then(|| inner.finished.subscribe())
        };
        if let Some(mut finished) = under_way {
            inner.wait(&mut finished).await?;
        }
        let now = inner.now();
        let (mut finished, fetch, before) = {
            let mut state = inner.lock();
            let fetch = state.begin(now);
            (inner.finished.subscribe(), fetch, state.last().cloned())
        };
        if fetch {
            Attempt::start(inner, now);
        }
        inner.wait(&mut finished).await?;
        let state = inner.lock();
        let replaced = match (state.last(), before) {
            (Some(known), Some(before)) => !known.is(&before),
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
    fn now(&self) -> Moment {
        Moment::now(&*self.clock)
    }

    /// Tells the metrics how old the keys are, without the lock.
    fn tell_age(&self, now: Moment) {
        if metrics::ENABLED {
            let age = self.lock().age(now);
            metrics::keys_age(age);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; if something did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the end of a fetch.
    async fn wait(&self, finished: &mut watch::Receiver<()>) -> Result<(), FetchError> {
        match timeout(PATIENCE, finished.changed()).await {
            // The sender is a field of ours.
            Ok(_) => Ok(()),
            Err(late) => Err(FetchError::because(
                "the public keys did not arrive in time",
                late,
            )),
        }
    }
}

/// Timers outside of one would panic.
fn in_a_runtime() -> Result<(), FetchError> {
    match Handle::try_current() {
        Ok(_) => Ok(()),
        Err(none) => Err(FetchError::because(
            "there is no tokio runtime to fetch public keys in",
            none,
        )),
    }
}

/// A place among those that wait, given back on drop.
struct Waiting<'a>(&'a Inner, Why);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().leave(self.1);
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyCache")
            .field("source", &self.inner.source)
            .finish_non_exhaustive()
    }
}
