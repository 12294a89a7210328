//! Whether a receiver can take deliveries.

use std::error::Error;
use std::fmt;

#[cfg(feature = "jwks")]
use super::Keys;
use super::{WebhookReceiver, within};
#[cfg(feature = "jwks")]
use crate::jwks::FetchError;
use crate::replay::GuardError;
use crate::trace;

impl WebhookReceiver {
    /// Checks that deliveries can be handled: public keys are known, and the guard answers.
    ///
    /// Call it before the app takes traffic, and in a readiness probe. It fetches public keys if none
    /// are known, and asks the guard, for at most
    /// [`guard_timeout`](crate::WebhookReceiverBuilder::guard_timeout). What an operator should know
    /// about a guard that works is logged as a warning, such as a Redis server that may evict keys.
    ///
    /// # Errors
    ///
    /// [`NotReady`] says what is missing. If a fetch of keys failed a moment ago, its error is
    /// returned without another fetch.
    pub async fn ready(&self) -> Result<(), NotReady> {
        #[cfg(feature = "jwks")]
        if let Keys::Fetched(cache) = &self.shared.keys {
            cache.ready().await.map_err(NotReady::Keys)?;
        }
        if let Some(claims) = self.claims() {
            let concerns = within(claims.timeout, &mut claims.ready()).await;
            for concern in concerns.map_err(NotReady::Guard)? {
                trace::guard_concern(&concern);
            }
        }
        Ok(())
    }
}

/// The error when a receiver cannot take deliveries now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum NotReady {
    /// Public keys cannot be fetched.
    #[cfg(feature = "jwks")]
    Keys(FetchError),
    /// The guard, which remembers events, cannot answer.
    Guard(GuardError),
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "jwks")]
            Self::Keys(error) => error.fmt(f),
            Self::Guard(error) => error.fmt(f),
        }
    }
}

impl Error for NotReady {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            #[cfg(feature = "jwks")]
            Self::Keys(error) => error.source(),
            Self::Guard(error) => error.source(),
        }
    }
}
