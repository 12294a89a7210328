//! One of the secrets of a keyring, and how long it is accepted.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Secret;

/// A secret that has ended is kept for so long, to explain a delivery that it signed.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// A secret, and until when it is accepted.
#[derive(Clone)]
pub(crate) struct Entry<S> {
    pub(super) secret: S,
    pub(super) end: Option<SystemTime>,
    /// It was ended then and there: a clock that goes back does not bring it back.
    is_over: bool,
    pub(super) listing: Listing,
}

/// Whether the keyring's source lists a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "receiver"),
    expect(dead_code, reason = "nothing is listed")
)]
pub(super) enum Listing {
    /// It never did: the secret is the app's own.
    Never,
    Now,
    /// Not any more since then, which is the secret's end.
    Until(SystemTime),
}

impl<S> Entry<S> {
    pub(super) fn new(secret: S, end: Option<SystemTime>) -> Self {
        Self {
            secret,
            end,
            is_over: false,
            listing: Listing::Never,
        }
    }

    pub(super) fn end(&self) -> Option<SystemTime> {
        match (self.end, self.listing) {
            (Some(end), Listing::Until(gone)) => Some(end.min(gone)),
            (None, Listing::Until(gone)) => Some(gone),
            (end, _) => end,
        }
    }

    pub(super) fn is_valid_at(&self, now: SystemTime) -> bool {
        let is_gone = matches!(self.listing, Listing::Until(_));
        !self.is_over && !is_gone && self.end.is_none_or(|end| now < end)
    }

    pub(super) fn ends_by(&mut self, end: SystemTime, now: SystemTime) {
        self.end = Some(self.end.map_or(end, |own| own.min(end)));
        self.is_over |= end <= now;
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

/// Forgets what ended long ago. One that is still listed stays, or its source would bring it back.
pub(super) fn forget_old<S>(entries: &mut Vec<Entry<S>>, now: SystemTime) {
    entries.retain(|entry| {
        let forgotten = entry.end().and_then(|end| end.checked_add(REMEMBERED));
        entry.listing == Listing::Now || forgotten.is_none_or(|forgotten| now < forgotten)
    });
}

pub(super) fn find<'a, S: Secret>(
    entries: &'a mut [Entry<S>],
    secret: &S,
) -> Option<&'a mut Entry<S>> {
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
    let ended = entries.iter().filter(|entry| !entry.is_valid_at(now));
    let mut ended: Vec<_> = ended
        .filter_map(|entry| Some((&entry.secret, entry.end()?)))
        .collect();
    ended.sort_by_key(|(_, end)| Reverse(*end));
    ended
}

/// The ids of those that are valid now.
pub(super) fn valid_ids<S: Secret>(entries: &[Entry<S>], now: SystemTime) -> Vec<Arc<str>> {
    let ids = valid_at(entries, now).map(|secret| Arc::clone(secret.id()));
    ids.collect()
}
