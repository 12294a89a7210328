//! Rotating a secret at Google and in the keyring of a receiver.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::error::ClientError;
use super::names::RevocationBehavior;
use super::secret::NewSecret;
use super::service::WebhookService;
use super::spec::Tail;
use super::webhook::{SecretInfo, Webhook};
use crate::error::BoxError;
use crate::secret::{Keyring, SigningSecret};

mod error;

pub use error::{RotationError, RotationErrorKind};

/// How long the previous secrets stay valid, if the service does not say it (Google's reference).
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl WebhookService {
    /// Rotates the signing secret of a webhook, for a receiver that is in use.
    ///
    /// `keyring` is a clone of the one that the receiver was built with, and holds the secrets of this
    /// webhook only. `store` puts the new secret where your app keeps its secrets.
    ///
    /// 1. It rotates the secret at Google, as [`rotate_signing_secret`](Self::rotate_signing_secret) does.
    /// 2. It puts the new secret into `keyring`. The receiver accepts it from then on, and the previous
    ///    ones for 24 hours more.
    /// 3. It calls `store` with the new secret.
    /// 4. It asks the service when the previous secrets end ([`get`](Self::get)). If that is sooner than in
    ///    24 hours, they end in `keyring` then. A failure of this call is no error: see
    ///    [`could_not_look`](Rotated::could_not_look).
    ///
    /// With [`Immediately`](RevocationBehavior::Immediately), which is for a secret that leaked, `keyring`
    /// [forgets](Keyring::replace) the previous secrets in step 2, and step 4 is left out. **Genuine
    /// deliveries are refused for a moment**: from when Google has revoked the old secret until its answer
    /// is here. Google retries them.
    ///
    /// Rotate a webhook from one place at a time, not from each replica: each rotation ends the secrets
    /// before it, and a keyring counts the one that was put in last as the newest.
    #[cfg_attr(feature = "testing-google", doc = "```")]
    #[cfg_attr(
        not(feature = "testing-google"),
        doc = "```ignore (it needs the feature testing-google)"
    )]
    /// use gemini_webhooks::Keyring;
    /// use gemini_webhooks::client::{RevocationBehavior, SubscribedEvent, WebhookService, WebhookSpec};
    /// use gemini_webhooks::testing::google::{API_KEY, MockGoogle};
    /// # async fn store(_: &str) -> std::io::Result<()> { Ok(()) }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // A mock of Google. Without `base_url` it is Google.
    /// let google = MockGoogle::start().await?;
    /// let service = WebhookService::builder().api_key(API_KEY).base_url(google.base_url()).build()?;
    /// let spec = WebhookSpec::new("https://example.com/gemini-callback", SubscribedEvent::ALL);
    /// let (webhook, secret) = service.create(&spec).await?.into_parts();
    /// let keyring = Keyring::new(secret.signing_secret()?); // the receiver has a clone
    ///
    /// let behavior = RevocationBehavior::AfterH24;
    /// let rotated = service
    ///     .rotate_into(webhook.id(), behavior, &keyring, async |new| store(new.expose()).await)
    ///     .await?;
    /// println!("{rotated}");
    /// assert_eq!(keyring.key_ids().len(), 2); // the old one is valid for 24 hours more
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # If the process ends in between
    ///
    /// The service shows a secret once. If the process ends after Google has rotated and before `store` is
    /// done, nobody knows the new secret. The app starts again with the old one, which is valid until
    /// 24 hours after the rotation, and by then the new one is needed. **To find it**, call
    /// [`ensure`](Self::ensure) when the app starts, with the stored secret
    /// [at hand](super::WebhookSpec::secret_at_hand): then
    /// [`secret_expires`](super::Ensured::secret_expires) is `Some`. **To mend it**, rotate again. That does
    /// not end the old secret any sooner.
    ///
    /// After `Immediately` the old secret has ended: `ensure` returns
    /// [`NotAtHand`](super::EnsuredSecret::NotAtHand), and deliveries are refused until you have rotated
    /// again. Google retries them for 24 hours.
    ///
    /// **It is not cancel safe**, for the same reason: do not drop the future, for example by
    /// `tokio::time::timeout`. Set the [deadline](super::WebhookServiceBuilder::deadline) of the calls
    /// instead, or run it in a task of its own. If `store` panics, the new secret is in the keyring only.
    ///
    /// # Errors
    ///
    /// [`RotationError`], which has the new secret, if there is one:
    /// - [`NotRotated`](RotationErrorKind::NotRotated): the call failed. The keyring is as it was, and
    ///   `store` was not called. If the answer was lost, there may be a new secret that nobody knows, as
    ///   above: rotate again.
    /// - [`NotStored`](RotationErrorKind::NotStored): `store` failed. The keyring has the new secret, and
    ///   accepts the previous ones for 24 hours more.
    /// - [`UnknownForm`](RotationErrorKind::UnknownForm): the new secret is stored, but this version cannot
    ///   read it, so the keyring is as it was, also after `Immediately`.
    pub async fn rotate_into<F, E>(
        &self,
        id: &str,
        behavior: impl Into<Option<RevocationBehavior>>,
        keyring: &Keyring,
        store: impl FnOnce(NewSecret) -> F,
    ) -> Result<Rotated, RotationError>
    where
        F: Future<Output = Result<(), E>>,
        E: Into<BoxError>,
    {
        let behavior = behavior.into();
        let at_once = behavior == Some(RevocationBehavior::Immediately);
        let new = self
            .rotate_signing_secret(id, behavior)
            .await
            .map_err(RotationError::not_rotated)?;

        // The receiver needs it whatever else fails.
        let taken = new
            .signing_secret()
            .map(|secret| Taken::put(keyring, secret, at_once));
        // Before any further call: until it is stored, it is lost with the process.
        let stored = store(new.clone()).await.map_err(Into::into);
        let taken = match (taken, stored) {
            (Ok(taken), Ok(())) => taken,
            (taken, stored) => {
                return Err(RotationError::new(new, taken.err(), stored.err()));
            }
        };

        let Taken {
            key_id,
            previous,
            mut end,
        } = taken;
        let mut could_not_look = None;
        if !at_once {
            match self.get(id).await {
                Ok(webhook) => {
                    if let Some(told) = previous_end(&webhook, &new) {
                        end = end.min(told);
                        keyring.end_by(&previous, end);
                    }
                }
                Err(error) => could_not_look = Some(Arc::new(error)),
            }
        }
        Ok(Rotated {
            id: id.to_owned(),
            key_id,
            previous_end: end,
            could_not_look,
        })
    }
}

/// What the keyring made of a new secret.
struct Taken {
    key_id: Arc<str>,
    /// The ids of those that end.
    previous: Vec<Arc<str>>,
    end: SystemTime,
}

impl Taken {
    fn put(keyring: &Keyring, new: SigningSecret, at_once: bool) -> Self {
        let (key_id, now) = (Arc::from(new.key_id()), keyring.now());
        // As one that leaked: a source that still lists it must not bring it back.
        if at_once {
            keyring.replace(new);
            return Self {
                key_id,
                previous: Vec::new(),
                end: now,
            };
        }
        // They end even if nobody ever learns when. Google signs with the new one too, so an end that
        // comes a little early refuses nothing.
        let end = now.checked_add(DAY).unwrap_or(now);
        Self {
            key_id,
            previous: keyring.rotate_until(new, end),
            end,
        }
    }
}

/// When the last of the secrets before `new` ends, if the service tells it of all of them.
///
/// Which of them the keyring has cannot be told: the service shows the end of a text, and a keyring keeps
/// no text.
fn previous_end(webhook: &Webhook, new: &NewSecret) -> Option<SystemTime> {
    let tail = Tail::of(new.expose());
    let is_new = |secret: &SecretInfo| {
        let is_of = |truncated| tail.as_ref().is_some_and(|tail| tail.is_of(truncated));
        secret.expire_time().is_none() && secret.truncated().is_some_and(is_of)
    };
    let secrets = webhook.signing_secrets().iter();
    let previous = secrets.filter(|secret| !is_new(secret));
    let ends: Option<Vec<SystemTime>> = previous.map(SecretInfo::expire_time).collect();
    ends?.into_iter().max()
}

/// The result of [`rotate_into`](WebhookService::rotate_into): the new secret is in the keyring, and stored.
///
/// `Display` says it in one line, without a secret.
#[derive(Clone, Debug)]
pub struct Rotated {
    id: String,
    key_id: Arc<str>,
    previous_end: SystemTime,
    could_not_look: Option<Arc<ClientError>>,
}

impl Rotated {
    /// Returns the [`key_id`](SigningSecret::key_id) of the new secret, as it is in the log.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Returns when the previous secrets end, if they have not ended before. After
    /// [`Immediately`](RevocationBehavior::Immediately) it is the time of the rotation.
    ///
    /// It is what the service says, and 24 hours after the rotation at most, by the clock of the keyring.
    /// An app that stores the previous secret too stores this with it.
    #[must_use]
    pub fn previous_end(&self) -> SystemTime {
        self.previous_end
    }

    /// Why the service could not be asked when the previous secrets end. The keyring accepts them for
    /// 24 hours then, and you have nothing to do.
    #[must_use]
    pub fn could_not_look(&self) -> Option<&ClientError> {
        self.could_not_look.as_deref()
    }
}

impl fmt::Display for Rotated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No date of HTTP is before that.
        let end = httpdate::fmt_http_date(self.previous_end.max(SystemTime::UNIX_EPOCH));
        write!(
            f,
            "webhook {:?}: secret rotated; the new one is {}, and those before it end at {end}",
            self.id, self.key_id
        )?;
        match &self.could_not_look {
            None => Ok(()),
            Some(error) => write!(
                f,
                ", 24 hours from the rotation, since the service did not tell their end ({error})"
            ),
        }
    }
}
