//! What a source of secrets does with a keyring.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::entry::{Entry, Listing, find, forget_old, valid_at};
use super::{Change, Keyring, Secret, Shared};
use crate::clock::Clock;
use crate::error::ConfigError;

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
        let now = self.now();
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
                    let mut entry = Entry::new(secret, None);
                    entry.listing = Listing::Now;
                    entries.push(entry);
                }
            }
            if valid_at(entries, now).next().is_none() {
                *entries = before;
                return Err(ConfigError::LastSecret);
            }
            listed.change = Change::of(&before, entries, now);
            Ok(())
        })?;
        Ok(listed)
    }

    /// Notes that the source was read, and what is wrong with it. Returns whether that is news. It must be
    /// read again within this time.
    pub(crate) fn note_fault(&self, fault: Option<&str>, read_again: Duration) -> bool {
        let mut changing = self.changing();
        changing.read = Some((changing.clock.monotonic(), read_again));
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
        let changing = self.changing();
        let (read, within) = changing.read?;
        let age = changing.clock.monotonic().saturating_duration_since(read);
        if age > within {
            let text =
                format!("the source of secrets was not read for {age:.0?}: what follows it hangs");
            return Some(text.into());
        }
        changing.fault.clone()
    }
}

/// A keyring that somebody else may have.
pub(crate) struct WeakKeyring<S>(Weak<Shared<S>>);

impl<S> WeakKeyring<S> {
    pub(crate) fn upgrade(&self) -> Option<Keyring<S>> {
        self.0.upgrade().map(|shared| Keyring { shared })
    }
}

/// What has changed when the source was read.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) change: Change,
    /// What it still lists of what the app has replaced as leaked.
    pub(crate) leaked: Vec<Arc<str>>,
}
