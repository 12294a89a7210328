//! Secrets that can be changed while deliveries are verified.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::fmt;
#[cfg(feature = "receiver")]
use std::sync::Weak;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

use super::{Secret, SigningSecret};
use crate::clock::{Clock, SystemClock};
use crate::error::ConfigError;

/// A secret that has ended is kept for so long, to explain a delivery that it signed.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

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
    clock: Arc<dyn Clock>,
    /// Something follows a source, and changes it by that.
    has_source: bool,
}

#[derive(Default)]
struct Changing {
    /// The ids of secrets that leaked: no source brings them back.
    leaked: Vec<Arc<str>>,
    /// What is wrong with the source.
    #[cfg(feature = "receiver")]
    fault: Option<Arc<str>>,
}

/// A secret, and until when it is accepted.
#[derive(Clone)]
pub(crate) struct Entry<S> {
    secret: S,
    end: Option<SystemTime>,
    listing: Listing,
}

/// Whether the keyring's source lists a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "receiver"),
    expect(dead_code, reason = "nothing is listed")
)]
enum Listing {
    /// It never did: the secret is the app's own.
    Never,
    Now,
    /// Not any more since then, which is the secret's end.
    Until(SystemTime),
}

impl<S> Entry<S> {
    fn new(secret: S, end: Option<SystemTime>) -> Self {
        Self {
            secret,
            end,
            listing: Listing::Never,
        }
    }

    fn end(&self) -> Option<SystemTime> {
        match (self.end, self.listing) {
            (Some(end), Listing::Until(gone)) => Some(end.min(gone)),
            (None, Listing::Until(gone)) => Some(gone),
            (end, _) => end,
        }
    }

    fn is_valid_at(&self, now: SystemTime) -> bool {
        self.end().is_none_or(|end| now < end)
    }

    fn ends_by(&mut self, end: SystemTime) {
        self.end = Some(self.end.map_or(end, |own| own.min(end)));
    }
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
                changing: Mutex::default(),
                clock,
                has_source,
            }),
        }
    }

    /// Sets the clock by which a rotation counts, for tests. The system's clock by default. The result is
    /// another keyring than the clones that were made before.
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        let entries = Vec::clone(&self.shared.entries.load());
        Self::of(entries, Arc::new(clock), self.shared.has_source)
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
        let now = self.shared.clock.now();
        self.rotate_at(now, new, now.checked_add(keep_old_for));
    }

    /// Accepts `new`, and every other secret until `end` at most. Returns the ids of those that were there.
    fn rotate_at(&self, now: SystemTime, new: S, end: Option<SystemTime>) -> Vec<Arc<str>> {
        self.change(|entries, changing| {
            forget_old(entries, now);
            if let Some(end) = end {
                entries.iter_mut().for_each(|entry| entry.ends_by(end));
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
    /// of them does not bring it back.
    pub fn replace(&self, new: S) {
        self.change(|entries, changing| {
            let others = entries.drain(..).map(|entry| Arc::clone(entry.secret.id()));
            changing.leaked.extend(others);
            put(entries, changing, new, None);
        });
    }

    /// Ends the secret that has this [`key_id`](SigningSecret::key_id) now.
    ///
    /// It is kept for a day, so that the log can say of a delivery that it was signed with a secret that
    /// has ended. If the secret leaked, use [`replace`](Self::replace).
    ///
    /// # Errors
    ///
    /// [`ConfigError::KeyIdUnknown`] if there is no such secret, and [`ConfigError::LastSecret`] if no
    /// other is valid now: then nothing changes.
    pub fn expire(&self, key_id: &str) -> Result<(), ConfigError> {
        let now = self.shared.clock.now();
        self.change(|entries, _| {
            let is_meant = |entry: &Entry<S>| **entry.secret.id() == *key_id;
            let others = |entry: &Entry<S>| !is_meant(entry) && entry.is_valid_at(now);
            if !entries.iter().any(is_meant) {
                return Err(ConfigError::KeyIdUnknown);
            }
            if !entries.iter().any(others) {
                return Err(ConfigError::LastSecret);
            }
            let meant = entries.iter_mut().filter(|entry| is_meant(entry));
            meant.for_each(|entry| entry.ends_by(now));
            Ok(())
        })
    }

    /// Returns how many secrets it holds, including those that have ended in the last day.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.shared.entries.load().len()
    }

    /// Returns the [`key_id`](SigningSecret::key_id) of each secret that is accepted now.
    #[must_use]
    pub fn key_ids(&self) -> Vec<Arc<str>> {
        let now = self.shared.clock.now();
        let entries = self.shared.entries.load();
        let ids = valid_at(&entries, now).map(|secret| Arc::clone(secret.id()));
        ids.collect()
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
}

/// Forgets what ended long ago. One that is still listed stays, or its source would bring it back.
fn forget_old<S>(entries: &mut Vec<Entry<S>>, now: SystemTime) {
    entries.retain(|entry| {
        let forgotten = entry.end().and_then(|end| end.checked_add(REMEMBERED));
        entry.listing == Listing::Now || forgotten.is_none_or(|forgotten| now < forgotten)
    });
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
        Some(entry) => *entry = Entry::new(secret, end),
        None => entries.push(Entry::new(secret, end)),
    }
}

fn find<'a, S: Secret>(entries: &'a mut [Entry<S>], secret: &S) -> Option<&'a mut Entry<S>> {
    let mut entries = entries.iter_mut();
    entries.find(|entry| entry.secret.id() == secret.id())
}

/// The secrets that have not reached their end.
pub(crate) fn valid_at<S>(entries: &[Entry<S>], now: SystemTime) -> impl Iterator<Item = &S> {
    let valid = entries.iter().filter(move |entry| entry.is_valid_at(now));
    valid.map(|entry| &entry.secret)
}

/// The secrets that have reached their end, each with it, the last one first.
pub(crate) fn ended_at<S>(entries: &[Entry<S>], now: SystemTime) -> Vec<(&S, SystemTime)> {
    let ended = |entry: &Entry<S>| entry.end().filter(|end| *end <= now);
    let mut ended: Vec<_> = entries
        .iter()
        .filter_map(|entry| Some((&entry.secret, ended(entry)?)))
        .collect();
    ended.sort_by_key(|(_, end)| Reverse(*end));
    ended
}

/// A keyring in the hands of who verifies.
#[derive(Clone, Debug)]
pub(crate) enum Held<S = SigningSecret> {
    /// Nobody else has it, so it never changes, and reading it costs nothing.
    Alone(Arc<Vec<Entry<S>>>),
    Shared(Keyring<S>),
}

impl<S> From<Keyring<S>> for Held<S> {
    fn from(keyring: Keyring<S>) -> Self {
        if keyring.shared.has_source {
            return Self::Shared(keyring);
        }
        match Arc::try_unwrap(keyring.shared) {
            Ok(alone) => Self::Alone(alone.entries.into_inner()),
            Err(shared) => Self::Shared(Keyring { shared }),
        }
    }
}

impl<S> Held<S> {
    /// What it holds now.
    pub(crate) fn load(&self) -> Arc<Vec<Entry<S>>> {
        match self {
            Self::Alone(entries) => Arc::clone(entries),
            Self::Shared(keyring) => keyring.shared.entries.load_full(),
        }
    }

    /// Reads what it holds now. This neither waits nor allocates.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&[Entry<S>]) -> T) -> T {
        match self {
            Self::Alone(entries) => read(entries),
            Self::Shared(keyring) => read(&keyring.shared.entries.load()),
        }
    }
}

#[cfg(feature = "receiver")]
impl<S: Secret> Held<S> {
    /// What is wrong with its source.
    pub(crate) fn fault(&self) -> Option<Arc<str>> {
        match self {
            Self::Alone(_) => None,
            Self::Shared(keyring) => keyring.fault(),
        }
    }
}

impl<S: Secret> Held<S> {
    /// The id of the first secret that is valid now and fits.
    pub(crate) fn find(
        &self,
        now: SystemTime,
        fits: impl Fn(&S) -> bool,
    ) -> Option<Cow<'_, Arc<str>>> {
        match self {
            Self::Alone(entries) => {
                let found = valid_at(entries, now).find(|secret| fits(secret))?;
                Some(Cow::Borrowed(found.id()))
            }
            Self::Shared(keyring) => {
                let entries = keyring.shared.entries.load();
                let found = valid_at(&entries, now).find(|secret| fits(secret))?;
                Some(Cow::Owned(Arc::clone(found.id())))
            }
        }
    }
}

/// What a rotation at Google does with a keyring.
#[cfg(feature = "client")]
impl<S: Secret> Keyring<S> {
    /// By its own clock.
    pub(crate) fn now(&self) -> SystemTime {
        self.shared.clock.now()
    }

    /// As [`rotate`](Self::rotate). Returns the ids of those that were there.
    pub(crate) fn rotate_until(&self, new: S, end: SystemTime) -> Vec<Arc<str>> {
        self.rotate_at(self.now(), new, Some(end))
    }

    /// Brings the end of these secrets forward. One that has no end was added again since its rotation, and
    /// keeps having none.
    pub(crate) fn end_by(&self, ids: &[Arc<str>], end: SystemTime) {
        self.change(|entries, _| {
            for entry in entries {
                if entry.end.is_some() && ids.contains(entry.secret.id()) {
                    entry.ends_by(end);
                }
            }
        });
    }
}

/// What a source of secrets does with a keyring.
#[cfg(feature = "receiver")]
impl<S: Secret> Keyring<S> {
    /// Makes a keyring of what a source lists.
    pub(crate) fn listed(secrets: Vec<S>, clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        let keyring = Self::of(Vec::new(), clock, true);
        keyring.list(secrets)?;
        Ok(keyring)
    }

    /// Takes over what the source lists: what is new is accepted, and what it listed before and does not
    /// list any more has ended. An end that the app has set stays.
    ///
    /// # Errors
    ///
    /// [`ConfigError::LastSecret`] if no secret would be valid now: then nothing changes.
    pub(crate) fn list(&self, secrets: Vec<S>) -> Result<Listed, ConfigError> {
        let now = self.shared.clock.now();
        let mut listed = Listed::default();
        self.change(|entries, changing| {
            forget_old(entries, now);
            let before = entries.clone();
            for entry in entries.iter_mut() {
                if entry.listing == Listing::Now {
                    entry.listing = Listing::Until(now);
                }
            }
            for secret in secrets {
                if changing.leaked.contains(secret.id()) {
                    listed.leaked.push(Arc::clone(secret.id()));
                    continue;
                }
                if let Some(entry) = find(entries, &secret) {
                    entry.listing = Listing::Now;
                } else {
                    entries.push(Entry {
                        listing: Listing::Now,
                        ..Entry::new(secret, None)
                    });
                }
            }
            if valid_at(entries, now).next().is_none() {
                *entries = before;
                return Err(ConfigError::LastSecret);
            }
            let ids = |entries: &[Entry<S>]| -> Vec<_> {
                valid_at(entries, now)
                    .map(|secret| Arc::clone(secret.id()))
                    .collect()
            };
            let (old, new) = (ids(&before), ids(entries));
            listed.added = new.iter().filter(|id| !old.contains(id)).cloned().collect();
            listed.ended = old.into_iter().filter(|id| !new.contains(id)).collect();
            Ok(())
        })?;
        Ok(listed)
    }

    /// Notes what is wrong with the source, or that nothing is. Returns whether that is news.
    pub(crate) fn note_fault(&self, fault: Option<&str>) -> bool {
        let mut changing = self.changing();
        let is_news = changing.fault.as_deref() != fault;
        changing.fault = fault.map(Arc::from);
        is_news
    }

    /// For who follows the source, and is no reason to keep the keyring.
    pub(crate) fn downgrade(&self) -> WeakKeyring<S> {
        WeakKeyring(Arc::downgrade(&self.shared))
    }

    /// What is wrong with the source.
    pub(crate) fn fault(&self) -> Option<Arc<str>> {
        self.changing().fault.clone()
    }
}

/// A keyring that somebody else may have.
#[cfg(feature = "receiver")]
pub(crate) struct WeakKeyring<S>(Weak<Shared<S>>);

#[cfg(feature = "receiver")]
impl<S> WeakKeyring<S> {
    pub(crate) fn upgrade(&self) -> Option<Keyring<S>> {
        self.0.upgrade().map(|shared| Keyring { shared })
    }
}

/// What has changed when the source was read.
#[cfg(feature = "receiver")]
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) added: Vec<Arc<str>>,
    pub(crate) ended: Vec<Arc<str>>,
    pub(crate) leaked: Vec<Arc<str>>,
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

impl<S: fmt::Debug> fmt::Debug for Entry<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.secret.fmt(f)?;
        match self.end() {
            Some(end) => write!(f, " until {end:?}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::sealed::Secret as _;
    use crate::testing::ManualClock;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn secret(byte: u8) -> SigningSecret {
        SigningSecret::from_bytes(&[byte; 24]).unwrap()
    }

    fn id(byte: u8) -> Arc<str> {
        Arc::clone(secret(byte).id())
    }

    fn ids(bytes: &[u8]) -> Vec<Arc<str>> {
        bytes.iter().copied().map(id).collect()
    }

    /// A keyring of secret 1, and its clock.
    fn keyring() -> (Keyring, ManualClock) {
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
        (Keyring::new(secret(1)).with_clock(clock.clone()), clock)
    }

    #[test]
    fn a_secret_ends_when_it_should() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let keyring = Keyring::new(secret(1)).add_until(secret(2), at(100));
        for (now, valid) in [(99, 2), (100, 1), (101, 1)] {
            assert_eq!(
                valid_at(&keyring.shared.entries.load(), at(now)).count(),
                valid,
                "{now}"
            );
        }
    }

    #[test]
    fn a_rotation_keeps_the_old_secret_for_a_while() {
        let (keyring, clock) = keyring();
        let clone = keyring.clone();
        keyring.rotate(secret(2), DAY);
        assert_eq!(clone.key_ids(), ids(&[1, 2]));
        clock.advance(DAY / 2);
        keyring.rotate(secret(3), DAY);
        clock.advance(DAY / 2 - Duration::from_secs(1));
        assert_eq!(clone.key_ids(), ids(&[1, 2, 3]), "an end is never put off");
        clock.advance(Duration::from_secs(1));
        assert_eq!(clone.key_ids(), ids(&[2, 3]));
        assert_eq!(
            ended_at(&clone.shared.entries.load(), clock.now()).len(),
            1,
            "it explains"
        );
        clock.advance(DAY);
        keyring.rotate(secret(4), Duration::ZERO);
        assert_eq!(
            (clone.key_ids(), clone.len()),
            (ids(&[4]), 3),
            "1 is forgotten"
        );
        keyring.rotate(secret(2), Duration::MAX);
        assert_eq!(
            clone.key_ids(),
            ids(&[2, 4]),
            "one that comes back is valid again"
        );
    }

    #[test]
    fn what_leaked_is_forgotten_at_once() {
        let (keyring, _) = keyring();
        keyring.replace(secret(2));
        assert_eq!((keyring.key_ids(), keyring.len()), (ids(&[2]), 1));
    }

    #[test]
    fn the_last_secret_does_not_end() {
        let (keyring, clock) = keyring();
        assert_eq!(keyring.expire(&id(1)), Err(ConfigError::LastSecret));
        assert_eq!(keyring.expire(&id(2)), Err(ConfigError::KeyIdUnknown));
        keyring.rotate(secret(2), DAY);
        assert_eq!(keyring.expire(&id(1)), Ok(()));
        assert_eq!(keyring.expire(&id(2)), Err(ConfigError::LastSecret));
        assert_eq!((keyring.key_ids(), keyring.len()), (ids(&[2]), 2));
        let ended = keyring.shared.entries.load();
        let ended = ended_at(&ended, clock.now());
        assert_eq!(ended[0].0.id(), &id(1), "it is kept to explain refusals");
    }

    #[cfg(feature = "receiver")]
    #[test]
    fn a_source_owns_what_it_lists() {
        let list = |bytes: &[u8]| bytes.iter().copied().map(secret).collect::<Vec<_>>();
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
        let keyring = Keyring::listed(list(&[1, 2]), Arc::new(clock.clone())).unwrap();
        let read = |bytes: &[u8]| {
            let listed = keyring.list(list(bytes))?;
            Ok::<_, ConfigError>((listed.added, listed.ended, listed.leaked))
        };
        let none = || ids(&[]);
        assert_eq!(read(&[1, 2]), Ok((none(), none(), none())));
        assert_eq!(read(&[2, 3]), Ok((ids(&[3]), ids(&[1]), none())));
        assert_eq!(
            read(&[1, 3]),
            Ok((ids(&[1]), ids(&[2]), none())),
            "it comes back"
        );

        // What the app adds is its own, until the source lists it.
        keyring.rotate(secret(4), DAY);
        assert_eq!(read(&[3]), Ok((none(), ids(&[1]), none())));
        assert_eq!(keyring.key_ids(), ids(&[3, 4]));
        assert_eq!(read(&[3, 4]), Ok((none(), none(), none())));
        assert_eq!(read(&[3]), Ok((none(), ids(&[4]), none())));

        // An end that the app has set holds, for as long as the source lists the secret.
        assert_eq!(read(&[3, 5]), Ok((ids(&[5]), none(), none())));
        clock.advance(DAY);
        assert_eq!(read(&[3, 5]), Ok((none(), none(), none())));
        clock.advance(DAY * 3);
        assert_eq!(read(&[3, 5]), Ok((none(), none(), none())));
        assert_eq!(keyring.key_ids(), ids(&[5]));
        assert_eq!(read(&[3]), Err(ConfigError::LastSecret), "nothing changes");
        assert_eq!(keyring.key_ids(), ids(&[5]));

        // What leaked does not come back.
        keyring.replace(secret(6));
        assert_eq!(read(&[5]), Ok((none(), none(), ids(&[5]))));
        assert_eq!(keyring.key_ids(), ids(&[6]));
    }

    #[test]
    fn one_that_nobody_else_has_is_read_as_it_is() {
        let (keyring, clock) = keyring();
        let fits = |byte| move |other: &SigningSecret| *other.id() == id(byte);
        let held = Held::from(keyring.clone());
        keyring.rotate(secret(2), Duration::ZERO);
        assert!(held.find(clock.now(), fits(2)).is_some());
        assert!(held.find(clock.now(), fits(1)).is_none());
        drop(held);
        let held = Held::from(keyring);
        assert!(matches!(&held, Held::Alone(_)));
        assert!(held.find(clock.now(), fits(2)).is_some());
        assert!(held.find(clock.now(), fits(1)).is_none());
        #[cfg(feature = "receiver")]
        {
            let listed = Keyring::listed(vec![secret(1)], Arc::new(clock)).unwrap();
            assert!(matches!(Held::from(listed), Held::Shared(_)));
        }
    }

    #[test]
    fn it_shows_no_secret() {
        let (keyring, _) = keyring();
        let shown = format!("{keyring:?}");
        assert!(shown.contains(&*id(1)) && shown.len() < 60, "{shown}");
    }
}
