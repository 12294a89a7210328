use std::cmp::Reverse;
use std::time::SystemTime;

use super::SigningSecret;

/// The signing secrets that a receiver accepts, each with or without an end.
///
/// After a rotation Google signs with the old secret and the new one, for 24 hours unless you ask it
/// to end the old one at once (Google's guide and SDKs, copies up to 2026-10-05). Meanwhile keep
/// both: the new one, and the old one with its end. A delivery is accepted if any secret that has not
/// ended made one of its signatures.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use gemini_webhooks::{ConfigError, Keyring};
///
/// # let rotated_at = SystemTime::UNIX_EPOCH;
/// let new = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse()?;
/// let old = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".parse()?;
/// let day = Duration::from_secs(24 * 60 * 60);
/// let keyring = Keyring::new(new).add_until(old, rotated_at + day);
/// assert_eq!(keyring.len(), 2);
/// # Ok::<(), ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Keyring {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    secret: SigningSecret,
    end: Option<SystemTime>,
}

impl Keyring {
    /// Makes a keyring of one secret without an end.
    #[must_use]
    pub fn new(secret: SigningSecret) -> Self {
        Self {
            entries: Vec::new(),
        }
        .add(secret)
    }

    /// Makes a keyring of one secret that is refused from `end` on.
    #[must_use]
    pub fn until(secret: SigningSecret, end: SystemTime) -> Self {
        Self {
            entries: Vec::new(),
        }
        .add_until(secret, end)
    }

    /// Adds a secret without an end.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "`+` would not say what it does"
    )]
    pub fn add(mut self, secret: SigningSecret) -> Self {
        self.entries.push(Entry { secret, end: None });
        self
    }

    /// Adds a secret that is refused from `end` on, by the wall clock.
    #[must_use]
    pub fn add_until(mut self, secret: SigningSecret, end: SystemTime) -> Self {
        self.entries.push(Entry {
            secret,
            end: Some(end),
        });
        self
    }

    /// Returns how many secrets it holds, including those that have ended.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Every secret, past its end or not.
    #[cfg(feature = "receiver")]
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &SigningSecret> {
        self.entries.iter().map(|entry| &entry.secret)
    }

    /// Every secret of `other` as well.
    #[cfg(feature = "receiver")]
    pub(crate) fn extend(&mut self, other: Self) {
        self.entries.extend(other.entries);
    }

    /// The secrets that have not reached their end.
    pub(crate) fn valid_at(&self, now: SystemTime) -> impl Iterator<Item = &SigningSecret> {
        self.entries
            .iter()
            .filter(move |entry| entry.end.is_none_or(|end| now < end))
            .map(|entry| &entry.secret)
    }

    /// The secrets that have reached their end, each with it, the last one first.
    pub(crate) fn ended_at(&self, now: SystemTime) -> Vec<(&SigningSecret, SystemTime)> {
        let mut ended: Vec<_> = self
            .entries
            .iter()
            .filter_map(|entry| Some((&entry.secret, entry.end.filter(|end| *end <= now)?)))
            .collect();
        ended.sort_by_key(|(_, end)| Reverse(*end));
        ended
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_secret_ends_when_it_should() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let secret = |byte| SigningSecret::from_bytes(&[byte; 24]).unwrap();
        let keyring = Keyring::new(secret(1)).add_until(secret(2), at(100));
        assert_eq!(keyring.valid_at(at(99)).count(), 2);
        assert_eq!(keyring.valid_at(at(100)).count(), 1);
        assert_eq!(keyring.valid_at(at(101)).count(), 1);
    }
}
