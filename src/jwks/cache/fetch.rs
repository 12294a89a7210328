//! The tasks of a cache: one fetch, and the one that sees to the next.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use super::moment::Moment;
use super::{Inner, PATIENCE};
use crate::contained::{Contained, contained};
use crate::error::BoxError;
use crate::jwks::{FetchError, FetchedKeys, KeySet, KeySource};
use crate::metrics;
use crate::trace;

type Fetched = Result<(KeySet, Duration), FetchError>;

/// A fetch. Dropped before its end, as by a runtime that shuts down, it counts as failed.
pub(super) struct Attempt {
    inner: Option<Arc<Inner>>,
    begun: Moment,
}

impl Attempt {
    /// Fetches in a task of its own, so that nobody who leaves can cut it short. The caller has
    /// begun it, and holds no lock.
    pub(super) fn start(inner: &Arc<Inner>, begun: Moment) {
        let attempt = Self {
            inner: Some(Arc::clone(inner)),
            begun,
        };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(attempt.run())),
            Err(none) => attempt.end(Err(FetchError::because(
                "there is no tokio runtime to fetch public keys in",
                none,
            ))),
        }
    }

    async fn run(self) {
        let Some(inner) = &self.inner else { return };
        let result = match timeout(PATIENCE, ask(&*inner.source)).await {
            Ok(Ok(fetched)) => self.read(&fetched, inner.tokens),
            Ok(Err(error)) => Err(error),
            Err(late) => Err(FetchError::because(
                "the public keys did not arrive in time",
                late,
            )),
        };
        self.end(result);
    }

    fn read(&self, fetched: &FetchedKeys, tokens: bool) -> Fetched {
        let keys = KeySet::from_json(&fetched.json).map_err(|error| {
            FetchError::because("what was fetched cannot be used", BoxError::from(error))
        })?;
        if !tokens && !keys.has_ed25519() {
            return Err(FetchError::new(
                "none of the fetched keys is an Ed25519 key, which `v1a` signatures need",
            ));
        }
        Ok((keys, fetched.freshness.fresh_for(self.begun.wall)))
    }

    fn end(mut self, result: Fetched) {
        if let Some(inner) = self.inner.take() {
            finish(&inner, self.begun, result);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            let result = Err(FetchError::new("the fetch of public keys was interrupted"));
            finish(&inner, self.begun, result);
        }
    }
}

/// What the source answers. It may panic when it is called, polled or dropped.
async fn ask(source: &dyn KeySource) -> Result<FetchedKeys, FetchError> {
    let answer = match contained(|| source.fetch()) {
        Some(answer) => Contained::new(answer).await,
        None => None,
    };
    match answer {
        Some(Ok(fetched)) => Ok(fetched),
        Some(Err(error)) => Err(FetchError::because(
            "the public keys cannot be fetched",
            error,
        )),
        None => Err(FetchError::new("the source of public keys panicked")),
    }
}

/// Sets the state first, then tells the log of it, which may panic or never return.
fn finish(inner: &Arc<Inner>, begun: Moment, result: Fetched) {
    // Neither may the app's clock keep the fetch from ending, nor panic while `drop` calls this.
    let now = contained(|| inner.now()).unwrap_or(begun);
    let told = result.clone();
    let ended = {
        let mut state = inner.lock();
        let Some(ended) = state.end(begun, now, result) else {
            return;
        };
        // Within the lock, so that nobody who begins the next one takes this for its end.
        inner.finished.send_replace(());
        ended
    };
    if ended.start_keeper {
        let keeper = Keeper(Arc::downgrade(inner));
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(keeper.run());
        }
    }
    metrics::keys_fetched(told.is_ok(), now.since(begun));
    inner.tell_age(now);
    match told {
        Ok((keys, max_age)) => {
            trace::keys_fetched(keys.len(), max_age);
            if ended.skips_others {
                keys.log_skipped();
            }
        }
        Err(failure) => trace::keys_not_fetched(&failure),
    }
}

/// Refreshes keys that are known before they expire, also when no delivery asks for them. Ends
/// with the receiver, or when the keys can no longer be used; the next fetch starts another.
struct Keeper(Weak<Inner>);

impl Keeper {
    async fn run(self) {
        while let Some(wait) = self.0.upgrade().and_then(|inner| Self::look(&inner)) {
            sleep(wait).await;
        }
    }

    /// Begins a fetch if it is time for one. How long to wait for the next look.
    fn look(inner: &Arc<Inner>) -> Option<Duration> {
        let now = inner.now();
        let (wait, fetch) = {
            let mut state = inner.lock();
            let fetch = state.begin_if_due(now);
            // While one is under way there is nothing to do until it has ended.
            let wait = state.is_fetching(now).then_some(PATIENCE);
            (wait.or_else(|| state.due_in(now)), fetch)
        };
        if fetch {
            Attempt::start(inner, now);
        }
        inner.tell_age(now);
        wait
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.lock().keeper_ended();
        }
    }
}
