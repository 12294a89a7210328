//! The public keys of a receiver.

use std::sync::Arc;

use crate::clock::Clock;
use crate::error::{Detail, VerifyError, VerifyErrorKind};
use crate::jwks::{Aged, Current, FetchError, KeyCache, KeySet, KeySource};

use super::WebhookReceiver;

/// Where a receiver is to have its keys from.
#[derive(Clone, Debug)]
pub(crate) enum KeysFrom {
    Set(KeySet),
    Source(Arc<dyn KeySource>),
}

#[derive(Debug)]
pub(crate) enum Keys {
    None,
    Given(KeySet),
    Fetched(KeyCache),
}

impl Keys {
    pub(crate) fn new(
        from: Option<KeysFrom>,
        clock: &Arc<dyn Clock>,
        max_stale: std::time::Duration,
        tokens: bool,
    ) -> Self {
        match from {
            None => Self::None,
            Some(KeysFrom::Set(keys)) => {
                keys.log_skipped();
                Self::Given(keys)
            }
            Some(KeysFrom::Source(source)) => {
                Self::Fetched(KeyCache::new(source, Arc::clone(clock), max_stale, tokens))
            }
        }
    }

    /// Those to verify with.
    pub(crate) fn current(&self) -> Current {
        match self {
            Self::None => Current::Unknown,
            Self::Given(keys) => Current::Known(keys.clone()),
            Self::Fetched(cache) => cache.current(),
        }
    }

    /// Those to verify with where they are past their age.
    pub(crate) async fn confirmed(aged: Aged) -> Result<Option<KeySet>, VerifyError> {
        aged.confirmed().await.map_err(unavailable)
    }

    /// Those to try after the ones that were `seen`, or why there are none: `error` if it is the
    /// delivery's fault.
    pub(crate) async fn others(
        &self,
        seen: Option<&KeySet>,
        error: VerifyError,
    ) -> Result<KeySet, VerifyError> {
        let Self::Fetched(cache) = self else {
            return Err(error);
        };
        match cache.others(seen).await {
            Ok(others) => others.ok_or(error),
            Err(failure) => Err(unavailable(failure)),
        }
    }
}

fn unavailable(failure: FetchError) -> VerifyError {
    VerifyError::new(
        VerifyErrorKind::KeysUnavailable,
        Detail::Source(Arc::new(failure)),
    )
}

impl WebhookReceiver {
    /// Fetches the public keys now, even if those that are known are still fresh.
    ///
    /// Call it when you learn that a key has been withdrawn. It returns at once if this receiver
    /// fetches no keys.
    ///
    /// # Errors
    ///
    /// The keys cannot be fetched. Those that are known stay in use.
    pub async fn refresh_keys(&self) -> Result<(), FetchError> {
        match &self.shared.keys {
            Keys::Fetched(cache) => cache.refresh().await,
            Keys::None | Keys::Given(_) => Ok(()),
        }
    }
}
