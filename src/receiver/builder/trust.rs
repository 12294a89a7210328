//! Whom a receiver trusts, and what ties a delivery to its app.

#[cfg(feature = "jwks")]
use std::sync::Arc;
#[cfg(feature = "jwks")]
use std::time::Duration;
use std::time::SystemTime;

use super::WebhookReceiverBuilder;
use crate::endpoint::EndpointToken;
use crate::error::BoxError;
use crate::event::GeminiEvent;
#[cfg(feature = "jwks")]
use crate::jwks::{HttpKeySource, KeySet, KeySource};
use crate::receiver::Delivery;
#[cfg(feature = "jwks")]
use crate::receiver::keys::KeysFrom;
use crate::secret::{Keyring, SigningSecret};

impl WebhookReceiverBuilder {
    /// Adds the secret of a static webhook, as text ([`SigningSecret`](crate::SigningSecret)
    /// says in which forms). Call it again for each secret that is valid at the same time.
    pub fn signing_secret(self, secret: impl AsRef<str>) -> Self {
        match secret.as_ref().parse() {
            Ok(secret) => self.keyring(Keyring::new(secret)),
            Err(mistake) => self.mistaken(mistake),
        }
    }

    /// Adds the secret of a static webhook from an environment variable. If it is not set or holds no
    /// secret, [`build`](Self::build) names it.
    ///
    /// ```no_run
    /// # use gemini_webhooks::{ConfigError, WebhookReceiver};
    /// let receiver = WebhookReceiver::builder()
    ///     .signing_secret_from_env("WEBHOOK_SIGNING_SECRET")
    ///     .build()?;
    /// # Ok::<(), ConfigError>(())
    /// ```
    pub fn signing_secret_from_env(self, name: &str) -> Self {
        match SigningSecret::from_env(name) {
            Ok(secret) => self.keyring(Keyring::new(secret)),
            Err(mistake) => self.mistaken(mistake),
        }
    }

    /// Adds every secret of a [`Keyring`], where each may have an end.
    pub fn keyring(mut self, keyring: Keyring) -> Self {
        match &mut self.keyring {
            Some(mine) => mine.extend(keyring),
            None => self.keyring = Some(keyring),
        }
        self
    }

    /// Adds the secret of a static webhook that is no longer accepted from `end` on: the old one
    /// after a rotation.
    pub fn signing_secret_until(self, secret: impl AsRef<str>, end: SystemTime) -> Self {
        match secret.as_ref().parse() {
            Ok(secret) => self.keyring(Keyring::until(secret, end)),
            Err(mistake) => self.mistaken(mistake),
        }
    }

    /// Accepts dynamic webhooks: `v1a` signatures under the keys that Google publishes, fetched
    /// when they are first needed and [kept fresh](crate::jwks).
    ///
    /// These keys are the same for all of Google's customers, so something must tie deliveries to
    /// this project: an [`endpoint_token`](Self::endpoint_token) or a check of your own
    /// ([`accept_if`](Self::accept_if)), else `build` fails.
    ///
    /// Of this method, [`jwks_url`](Self::jwks_url), [`key_source`](Self::key_source) and
    /// [`jwks`](Self::jwks) the last that is called counts.
    #[cfg(feature = "jwks")]
    pub fn google_keys(self) -> Self {
        match HttpKeySource::google() {
            Ok(source) => self.key_source(source),
            Err(mistake) => self.mistaken(mistake),
        }
    }

    /// As [`google_keys`](Self::google_keys), with the keys of another place. `https` only, but
    /// for this machine itself.
    #[cfg(feature = "jwks")]
    pub fn jwks_url(self, url: impl AsRef<str>) -> Self {
        match HttpKeySource::new(url.as_ref()) {
            Ok(source) => self.key_source(source),
            Err(mistake) => self.mistaken(mistake),
        }
    }

    /// As [`google_keys`](Self::google_keys), with keys that the app fetches itself.
    #[cfg(feature = "jwks")]
    pub fn key_source(mut self, source: impl KeySource) -> Self {
        self.keys = Some(KeysFrom::Source(Arc::new(source)));
        self
    }

    /// As [`google_keys`](Self::google_keys), with keys that never change.
    #[cfg(feature = "jwks")]
    pub fn jwks(mut self, keys: KeySet) -> Self {
        self.keys = Some(KeysFrom::Set(keys));
        self
    }

    /// How long fetched keys may be used after they were last confirmed, while they cannot be
    /// fetched again. A day by default, a minute at least. Beyond, deliveries under them are answered 503.
    #[cfg(feature = "jwks")]
    pub fn max_stale(mut self, age: Duration) -> Self {
        self.max_stale = age;
        self
    }

    /// Accepts dynamic webhooks in the form of Google's guide as well: a token (RS256 JWT) in place
    /// of the signature, under one of the public keys and for this `audience`. Call it again for
    /// each further audience.
    ///
    /// A token must name its key (`kid`) and its end (`exp`), and be for one of the audiences
    /// (`aud`). `nbf` and `iat` are checked where they are there, with the
    /// [tolerance](Self::tolerance); without `iat` it may be good for a day at most. Extensions
    /// (`crit`) are refused. The token's payload is the event and what the inner service gets as
    /// the body; a body that came along must say the same.
    ///
    /// The token alone is signed. So a copy under another id is known for a repeat by
    /// [`Delivery::claim_id`]; but a retry that is signed anew without `jti` may be handled twice.
    #[cfg(feature = "jwt")]
    pub fn accept_jwt(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Asks of tokens that this issuer (`iss`) made them. Any may, by default: the key says who did.
    #[cfg(feature = "jwt")]
    pub fn jwt_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Accepts deliveries under public keys from whatever Google project sends them, with neither
    /// an [`endpoint_token`](Self::endpoint_token) nor [`accept_if`](Self::accept_if). Anyone with
    /// an API key can then have events of theirs delivered to this receiver: the handler must check
    /// that it knows the job.
    #[cfg(feature = "jwks")]
    pub fn allow_any_google_project(mut self) -> Self {
        self.any_google_project = true;
        self
    }

    /// Asks the app about each delivery that is authentic, of whatever scheme: is this a job of
    /// ours? `Ok(false)` refuses it with 400; an error, or two seconds without an answer, is a 503,
    /// so that the sender tries again.
    ///
    /// ```
    /// # use gemini_webhooks::{Delivery, GeminiEvent, WebhookReceiver};
    /// # #[derive(Clone)] struct Jobs;
    /// # impl Jobs {
    /// #     fn new() -> Self { Self }
    /// #     async fn knows(&self, id: Option<&str>) -> Result<bool, std::io::Error> { Ok(id.is_some()) }
    /// # }
    /// # #[derive(serde::Deserialize)] struct Data { id: Option<String> }
    /// let jobs = Jobs::new();
    /// let builder = WebhookReceiver::builder().accept_if(move |event: GeminiEvent, _: Delivery| {
    ///     let jobs = jobs.clone();
    ///     async move {
    ///         let data: Option<Data> = event.data_as()?;
    ///         Ok(jobs.knows(data.and_then(|data| data.id).as_deref()).await?)
    ///     }
    /// });
    /// ```
    ///
    /// It is asked of retries as well, of those whose answer was lost too: let it know a job for as long
    /// as a retry may come.
    ///
    /// Call it again for a further check: all of them must accept the event, within the two seconds.
    pub fn accept_if<F, A>(mut self, check: F) -> Self
    where
        F: Fn(GeminiEvent, Delivery) -> A + Send + Sync + 'static,
        A: Future<Output = Result<bool, BoxError>> + Send + 'static,
    {
        self.acceptance.add(check);
        self
    }

    /// Requires this token in the URL of each delivery, of whatever scheme. Call it again for each
    /// token that is valid at the same time.
    pub fn endpoint_token(mut self, token: EndpointToken) -> Self {
        self.endpoint_tokens.add(&token);
        self
    }
}
