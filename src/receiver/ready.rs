//! Whether a receiver can take deliveries.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

#[cfg(feature = "jwks")]
use super::Keys;
use super::{WebhookReceiver, within};
#[cfg(feature = "jwks")]
use crate::jwks::FetchError;
use crate::replay::GuardError;
use crate::secret::{Held, valid_at};
use crate::trace;

impl WebhookReceiver {
    /// Checks that deliveries can be handled: a secret has not ended, public keys are known, the guard answers,
    /// and the sources of secrets are in order.
    ///
    /// Call it before the app takes traffic, and in a readiness probe. It fetches public keys if none
    /// are known, and asks the guard, for at most
    /// [`guard_timeout`](crate::WebhookReceiverBuilder::guard_timeout). What an operator should know
    /// about a guard that works is logged as a warning, such as a Redis server that may evict keys: the
    /// first time, and when it has changed.
    ///
    /// The text of the error can contain the name of a host or a database. Log it, and do not answer it
    /// to the probe.
    ///
    /// # Errors
    ///
    /// [`NotReady`] says what is missing. If a fetch of keys failed a moment ago, its error is
    /// returned without another fetch.
    pub async fn ready(&self) -> Result<(), NotReady> {
        let secrets = self.shared.verifier.keyrings();
        let tokens = self.shared.endpoint_tokens.keyrings();
        let now = self.shared.clock.now();
        if all_ended(secrets, now) {
            return Err(NotReady::Ended("signing secret"));
        }
        if all_ended(tokens, now) {
            return Err(NotReady::Ended("endpoint token"));
        }
        #[cfg(feature = "jwks")]
        if let Keys::Fetched(cache) = &self.shared.keys {
            cache.ready().await.map_err(NotReady::Keys)?;
        }
        if let Some(claims) = self.claims() {
            let concerns = within(claims.timeout, &mut claims.ready()).await;
            let concerns = concerns.map_err(NotReady::Guard)?;
            let mut said = claims
                .concerns
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            for concern in concerns.iter().filter(|concern| !said.contains(concern)) {
                trace::guard_concern(concern);
            }
            *said = concerns;
        }
        // At last: those of before stay in use, so an app may take traffic all the same.
        let mut faults = secrets.iter().filter_map(Held::fault);
        let fault = faults.next();
        let fault = fault.or_else(|| tokens.iter().find_map(Held::fault));
        if let Some(fault) = fault {
            return Err(NotReady::Secrets(fault));
        }
        Ok(())
    }
}

/// Whether there are secrets, and none is valid any more.
fn all_ended<S>(keyrings: &[Held<S>], now: SystemTime) -> bool {
    let has_valid =
        |keyring: &Held<S>| keyring.read(|secrets| valid_at(secrets, now).next().is_some());
    !keyrings.is_empty() && !keyrings.iter().any(has_valid)
}

/// How many handlers run, and how much is done in the background.
#[derive(Clone, Debug, Default)]
pub(crate) struct AtWork(Arc<()>);

impl AtWork {
    fn count(&self) -> usize {
        // Without the receiver's own.
        Arc::strong_count(&self.0) - 1
    }
}

impl WebhookReceiver {
    /// Waits until no handler runs, and nothing is left to do with the guard.
    ///
    /// Call it when the server has stopped, before the runtime ends, and limit the time. Otherwise the
    /// claims of handlers that are cut off then are released by nobody: in a store they stay until the
    /// lease ends, and retries are answered 409 meanwhile. It also waits for handlers whose sender has
    /// left, after `finish_once_started`.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use gemini_webhooks::WebhookReceiver;
    /// use tokio::time::timeout;
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), gemini_webhooks::ConfigError> {
    /// # let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    /// let receiver = WebhookReceiver::builder().signing_secret(secret).build()?;
    /// // … serve with a clone of it, until the signal to stop. Then:
    /// if timeout(Duration::from_secs(10), receiver.drained()).await.is_err() {
    ///     eprintln!("some handlers were cut off");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn drained(&self) {
        // Nobody is told when the count falls: that would cost each delivery something.
        while self.shared.at_work.count() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The error when a receiver cannot take deliveries now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum NotReady {
    /// Public keys cannot be fetched.
    #[cfg(feature = "jwks")]
    Keys(FetchError),
    /// Something is wrong with a source of secrets that is [followed](crate::rotation): those that could be
    /// read are in use.
    Secrets(Arc<str>),
    /// Every signing secret, or every endpoint token, has ended, so deliveries under them are refused.
    Ended(&'static str),
    /// The guard, which remembers events, cannot answer.
    Guard(GuardError),
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "jwks")]
            Self::Keys(error) => error.fmt(f),
            Self::Secrets(fault) => f.write_str(fault),
            Self::Ended(what) => write!(f, "every {what} has ended"),
            Self::Guard(error) => error.fmt(f),
        }
    }
}

impl Error for NotReady {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            #[cfg(feature = "jwks")]
            Self::Keys(error) => error.source(),
            Self::Secrets(_) | Self::Ended(_) => None,
            Self::Guard(error) => error.source(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::secret::{Keyring, SigningSecret};
    use crate::testing;

    #[test]
    fn secrets_have_ended_if_there_are_some_and_none_is_valid() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
        let secret = || testing::SECRET.parse::<SigningSecret>().unwrap();
        let valid = || Held::from(Keyring::new(secret()));
        let ended = || Held::from(Keyring::until(secret(), SystemTime::UNIX_EPOCH));
        for (name, keyrings, expected) in [
            ("none", vec![], false),
            ("a valid one", vec![valid()], false),
            ("one that ended", vec![ended()], true),
            ("two that ended", vec![ended(), ended()], true),
            ("one of each", vec![ended(), valid()], false),
        ] {
            assert_eq!(all_ended(&keyrings, now), expected, "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_drained_when_nothing_is_at_work() {
        let builder = WebhookReceiver::builder().signing_secret(testing::SECRET);
        let receiver = builder.build().unwrap();
        let drained = || timeout(Duration::from_secs(1), receiver.drained());
        assert!(drained().await.is_ok());
        let at_work = [(); 2].map(|()| receiver.shared.at_work.clone());
        let [one, other] = at_work;
        assert!(drained().await.is_err());
        drop(one);
        assert!(drained().await.is_err());
        drop(other);
        assert!(drained().await.is_ok());
    }

    #[test]
    fn an_error_says_what_is_missing() {
        let guard = || NotReady::Guard(GuardError::unavailable("no route"));
        for (error, part, has_source) in [
            (
                NotReady::Ended("signing secret"),
                "every signing secret has ended",
                false,
            ),
            (NotReady::Secrets("no file".into()), "no file", false),
            (guard(), "no route", true),
        ] {
            assert!(error.to_string().contains(part), "{error}");
            assert_eq!(error.source().is_some(), has_source, "{error}");
        }
    }
}
