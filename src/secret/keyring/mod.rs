//! Secrets that can be changed while deliveries are verified.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
#[cfg(feature = "receiver")]
use std::time::Instant;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

use super::{Secret, SigningSecret};
use crate::clock::{Clock, SystemClock};
use crate::error::ConfigError;

mod entry;
mod held;
#[cfg(feature = "receiver")]
mod listed;
#[cfg(test)]
mod tests;

pub(crate) use entry::{ended_at, valid_at};
pub(crate) use held::Held;
#[cfg(feature = "receiver")]
pub(crate) use listed::WeakKeyring;

use entry::{Entry, Listing, find, forget_old, valid_ids};

/// The signing secrets that a receiver accepts, each with or without an end. They can be changed while
/// requests run.
///
/// Clones are the same keyring: give one to [`keyring`](crate::WebhookReceiverBuilder::keyring), and keep
/// one to [`rotate`](Self::rotate). Whoever verifies a delivery never waits for a change, and a change
/// holds from the next delivery on.
///
/// After a rotation Google signs with the old secret and the new one, for 24 hours unless you ask it
/// to end the old one at once (Google's guide and SDKs, copies up to 2026-10-05). A delivery is accepted
/// if any secret that has not ended made one of its signatures.
///
/// ```
/// use std::time::Duration;
/// use gemini_webhooks::{Keyring, WebhookReceiver};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keyring = Keyring::new("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".parse()?);
/// let receiver = WebhookReceiver::builder().keyring(keyring.clone()).build()?;
///
/// // Later, while the receiver is in use:
/// let new = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse()?;
/// keyring.rotate(new, Duration::from_secs(24 * 60 * 60));
/// assert_eq!(keyring.len(), 2);
/// # Ok(())
/// # }
/// ```
///
/// A `Keyring<EndpointToken>` holds [endpoint tokens](crate::EndpointToken) in the same way.
pub struct Keyring<S = SigningSecret> {
    shared: Arc<Shared<S>>,
}

struct Shared<S> {
    entries: ArcSwap<Vec<Entry<S>>>,
    /// Held by who changes them.
    changing: Mutex<Changing>,
    /// Something follows a source, and changes it by that.
    has_source: bool,
}

struct Changing {
    clock: Arc<dyn Clock>,
    /// The ids of secrets that leaked: no source brings them back.
    leaked: Vec<Arc<str>>,
    /// What is wrong with the source.
    #[cfg(feature = "receiver")]
    fault: Option<Arc<str>>,
    /// When the source was last read, and after how long it has to be read again.
    #[cfg(feature = "receiver")]
    read: Option<(Instant, Duration)>,
}

impl<S: Secret> Keyring<S> {
    /// Makes a keyring of one secret without an end.
    #[must_use]
    pub fn new(secret: S) -> Self {
        Self::of(vec![Entry::new(secret, None)], Arc::new(SystemClock), false)
    }

    /// Makes a keyring of one secret that is refused from `end` on.
    #[must_use]
    pub fn until(secret: S, end: SystemTime) -> Self {
        Self::of(
            vec![Entry::new(secret, Some(end))],
            Arc::new(SystemClock),
            false,
        )
    }

    fn of(entries: Vec<Entry<S>>, clock: Arc<dyn Clock>, has_source: bool) -> Self {
        Self {
            shared: Arc::new(Shared {
                entries: ArcSwap::from_pointee(entries),
                changing: Mutex::new(Changing {
                    clock,
                    leaked: Vec::new(),
                    #[cfg(feature = "receiver")]
                    fault: None,
                    #[cfg(feature = "receiver")]
                    read: None,
                }),
                has_source,
            }),
        }
    }

    /// Sets the clock by which a rotation counts, for tests. The system's clock by default.
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        {
            let mut changing = self.changing();
            changing.clock = Arc::new(clock);
            #[cfg(feature = "receiver")]
            if let Some((_, within)) = changing.read {
                changing.read = Some((changing.clock.monotonic(), within));
            }
        }
        self
    }

    /// Adds a secret without an end.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "`+` would not say what it does"
    )]
    pub fn add(self, secret: S) -> Self {
        self.change(|entries, changing| put(entries, changing, secret, None));
        self
    }

    /// Adds a secret that is refused from `end` on, by the wall clock.
    #[must_use]
    pub fn add_until(self, secret: S, end: SystemTime) -> Self {
        self.change(|entries, changing| put(entries, changing, secret, Some(end)));
        self
    }

    /// Accepts `new` from now on, and every other secret for so long, or until the end that it has, if
    /// that comes first.
    ///
    /// With 24 hours it follows a rotation at Google as it is by default; `WebhookService::rotate_into`
    /// (feature `client`) does both. With [`Duration::ZERO`] the others end now. If one of them leaked, use [`replace`](Self::replace).
    pub fn rotate(&self, new: S, keep_old_for: Duration) {
        let now = self.now();
        self.rotate_at(now, new, now.checked_add(keep_old_for));
    }

    /// Accepts `new`, and every other secret until `end` at most. Returns the ids of those that were there.
    fn rotate_at(&self, now: SystemTime, new: S, end: Option<SystemTime>) -> Vec<Arc<str>> {
        self.change_and_tell(now, |entries, changing| {
            forget_old(entries, now);
            if let Some(end) = end {
                entries.iter_mut().for_each(|entry| entry.ends_by(end, now));
            }
            let before = entries.iter().map(|entry| Arc::clone(entry.secret.id()));
            let before = before.collect();
            put(entries, changing, new, None);
            before
        })
    }

    /// Accepts `new` alone from now on, because the others leaked.
    ///
    /// Nothing is kept of the others but their [`key_id`](SigningSecret::key_id). A source that lists one
    /// of them does not bring it back, as long as this process runs. Put `new` in the place of the others
    /// where they are stored: what is started later, and other replicas, know only what is stored. If a
    /// receiver has another keyring or a secret of its own, this does not reach it.
    pub fn replace(&self, new: S) {
        self.change_and_tell(self.now(), |entries, changing| {
            let others = entries.drain(..).map(|entry| Arc::clone(entry.secret.id()));
            changing.leaked.extend(others);
            put(entries, changing, new, None);
        });
    }

    /// Ends the secret that has this [`key_id`](SigningSecret::key_id) now.
    ///
    /// It is kept for a day or longer, until the next change, so that the log can say of a delivery that it
    /// was signed with a secret that has ended. If the secret leaked, use [`replace`](Self::replace).
    ///
    /// # Errors
    ///
    /// [`ConfigError::KeyIdUnknown`] if there is no such secret, and [`ConfigError::LastSecret`] if no
    /// other is valid now: then nothing changes.
    pub fn expire(&self, key_id: &str) -> Result<(), ConfigError> {
        let now = self.now();
        self.change_and_tell(now, |entries, _| {
            let is_meant = |entry: &Entry<S>| **entry.secret.id() == *key_id;
            let others = |entry: &Entry<S>| !is_meant(entry) && entry.is_valid_at(now);
            if !entries.iter().any(is_meant) {
                return Err(ConfigError::KeyIdUnknown);
            }
            if !entries.iter().any(others) {
                return Err(ConfigError::LastSecret);
            }
            let meant = entries.iter_mut().filter(|entry| is_meant(entry));
            meant.for_each(|entry| entry.ends_by(now, now));
            Ok(())
        })
    }

    /// Returns how many secrets it holds, including those that have ended and are not forgotten yet.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.shared.entries.load().len()
    }

    /// Returns the [`key_id`](SigningSecret::key_id) of each secret that is accepted now.
    #[must_use]
    pub fn key_ids(&self) -> Vec<Arc<str>> {
        let now = self.now();
        valid_ids(&self.shared.entries.load(), now)
    }

    /// By its own clock.
    pub(crate) fn now(&self) -> SystemTime {
        let clock = Arc::clone(&self.changing().clock);
        clock.now()
    }

    fn changing(&self) -> MutexGuard<'_, Changing> {
        let changing = self.shared.changing.lock();
        changing.unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a copy, and puts it in the place of what readers see.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<Entry<S>>, &mut Changing) -> T) -> T {
        let mut changing = self.changing();
        let mut entries = Vec::clone(&self.shared.entries.load());
        let changed = change(&mut entries, &mut changing);
        self.shared.entries.store(Arc::new(entries));
        changed
    }

    /// As [`change`](Self::change), with a line in the log if other secrets are valid now.
    fn change_and_tell<T>(
        &self,
        now: SystemTime,
        change: impl FnOnce(&mut Vec<Entry<S>>, &mut Changing) -> T,
    ) -> T {
        let (told, changed) = self.change(|entries, changing| {
            let before = entries.clone();
            let changed = change(entries, changing);
            (Change::of(&before, entries, now), changed)
        });
        told.tell();
        changed
    }
}

/// Which secrets have become valid, and which are not valid any more, by their ids.
#[derive(Debug, Default)]
#[cfg_attr(
    not(feature = "receiver"),
    expect(dead_code, reason = "there is no log")
)]
pub(crate) struct Change {
    added: Vec<Arc<str>>,
    ended: Vec<Arc<str>>,
}

impl Change {
    fn of<S: Secret>(before: &[Entry<S>], after: &[Entry<S>], now: SystemTime) -> Self {
        let (old, new) = (valid_ids(before, now), valid_ids(after, now));
        Self {
            added: new.iter().filter(|id| !old.contains(id)).cloned().collect(),
            ended: old.into_iter().filter(|id| !new.contains(id)).collect(),
        }
    }

    pub(crate) fn tell(&self) {
        #[cfg(feature = "receiver")]
        if !self.added.is_empty() || !self.ended.is_empty() {
            crate::trace::secrets_changed(&self.added, &self.ended);
        }
    }
}

/// Adds a secret, or gives the one that is there another end.
fn put<S: Secret>(
    entries: &mut Vec<Entry<S>>,
    changing: &mut Changing,
    secret: S,
    end: Option<SystemTime>,
) {
    changing.leaked.retain(|leaked| leaked != secret.id());
    match find(entries, &secret) {
        // What the source lists stays the source's.
        Some(entry) => {
            let was_listed = entry.listing == Listing::Now;
            *entry = Entry::new(secret, end);
            if was_listed {
                entry.listing = Listing::Now;
            }
        }
        None => entries.push(Entry::new(secret, end)),
    }
}

/// What a rotation at Google does with a keyring.
#[cfg(feature = "client")]
impl<S: Secret> Keyring<S> {
    /// As [`rotate`](Self::rotate). Returns the ids of those that were there.
    pub(crate) fn rotate_until(&self, new: S, end: SystemTime) -> Vec<Arc<str>> {
        self.rotate_at(self.now(), new, Some(end))
    }

    /// Brings the end of these secrets forward. One that has no end was added again since its rotation, and
    /// keeps having none.
    pub(crate) fn end_by(&self, ids: &[Arc<str>], end: SystemTime) {
        let now = self.now();
        self.change_and_tell(now, |entries, _| {
            for entry in entries {
                if entry.end.is_some() && ids.contains(entry.secret.id()) {
                    entry.ends_by(end, now);
                }
            }
        });
    }
}

impl<S> Clone for Keyring<S> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Keyring<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.entries.load().fmt(f)
    }
}
