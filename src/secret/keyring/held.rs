//! Reading a keyring for a delivery.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use super::entry::{Entry, valid_at};
use super::{Keyring, Secret};
use crate::secret::SigningSecret;

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
