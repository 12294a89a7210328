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
    /// Adds the signing secret of a static webhook: `whsec_` and base64, as Google shows it.
    ///
    /// Call it again for each further secret; a delivery that was signed with any of them is
    /// accepted. [`SigningSecret`] says which forms of the text are accepted.
    pub fn signing_secret(self, secret: impl AsRef<str>) -> Self {
        match secret.as_ref().parse() {
            Ok(secret) => self.keyring(Keyring::new(secret)),
            Err(mistake) => self.mistaken(mistake),
        }
    }

    /// Adds the signing secret of a static webhook from an environment variable.
    ///
    /// If the variable is not set or does not hold a secret, [`build`](Self::build) returns
    /// [`ConfigError::Variable`](crate::ConfigError::Variable), which names it. A variable holds one
    /// secret: use one variable for each.
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

    /// Accepts the secrets of a [`Keyring`], also those that it gets later.
    ///
    /// Keep a clone to rotate them without a restart. Call it again for a further keyring.
    pub fn keyring(mut self, keyring: Keyring) -> Self {
        self.keyrings.push(keyring);
        self
    }

    /// Adds a signing secret that is refused from `end` on, such as the old one after a rotation.
    ///
    /// After a rotation Google signs with both secrets, for 24 hours unless you ask it to end the old
    /// one at once (Google's guide and SDKs, copies up to 2026-10-05).
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use gemini_webhooks::WebhookReceiver;
    ///
    /// # let rotated_at = SystemTime::UNIX_EPOCH;
    /// let receiver = WebhookReceiver::builder()
    ///     .signing_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    ///     .signing_secret_until(
    ///         "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    ///         rotated_at + Duration::from_secs(24 * 60 * 60),
    ///     )
    ///     .build()?;
    /// # Ok::<(), gemini_webhooks::ConfigError>(())
    /// ```
    pub fn signing_secret_until(self, secret: impl AsRef<str>, end: SystemTime) -> Self {
        match secret.as_ref().parse() {
            Ok(secret) => self.keyring(Keyring::until(secret, end)),
            Err(mistake) => self.mistaken(mistake),
        }
    }

    /// Accepts dynamic webhooks: deliveries that are signed with Google's keys (`v1a`).
    ///
    /// The public keys are fetched from Google when they are first needed, and
    /// [kept fresh](crate::jwks). To fetch them before the app takes traffic, call
    /// [`WebhookReceiver::ready`](crate::WebhookReceiver::ready).
    ///
    /// Google's keys are the same for all of its customers. A valid signature proves that Google sent
    /// the delivery, not that it is about your job. So add an
    /// [`endpoint_token`](Self::endpoint_token) or a check of your own
    /// ([`accept_if`](Self::accept_if)); without either, [`build`](Self::build) returns
    /// [`ConfigError::AnyGoogleProject`](crate::ConfigError::AnyGoogleProject).
    ///
    /// A receiver has one source of public keys. If you call several of this method,
    /// [`jwks_url`](Self::jwks_url), [`key_source`](Self::key_source) and [`jwks`](Self::jwks), the
    /// last call wins.
    ///
    /// ```
    /// use gemini_webhooks::{EndpointToken, WebhookReceiver};
    ///
    /// let receiver = WebhookReceiver::builder()
    ///     .google_keys()
    ///     .endpoint_token(EndpointToken::new("Zm9yLWRvY3VtZW50YXRpb24tb25seQ")?)
    ///     .build()?;
    /// # Ok::<(), gemini_webhooks::ConfigError>(())
    /// ```
    #[cfg(feature = "jwks")]
    pub fn google_keys(self) -> Self {
        match HttpKeySource::google() {
            Ok(source) => self.key_source(source),
            Err(mistake) => self.mistaken(mistake),
        }
    }

    /// Accepts dynamic webhooks, with public keys that are fetched from this URL.
    ///
    /// It must be `https`, except for a loopback address, which tests use. Otherwise this works as
    /// [`google_keys`](Self::google_keys).
    #[cfg(feature = "jwks")]
    pub fn jwks_url(self, url: impl AsRef<str>) -> Self {
        match HttpKeySource::new(url.as_ref()) {
            Ok(source) => self.key_source(source),
            Err(mistake) => self.mistaken(mistake),
        }
    }

    /// Accepts dynamic webhooks, with public keys that your own code fetches.
    ///
    /// Use this if keys must come through your own HTTP client. Otherwise this works as
    /// [`google_keys`](Self::google_keys).
    #[cfg(feature = "jwks")]
    pub fn key_source(mut self, source: impl KeySource) -> Self {
        self.keys = Some(KeysFrom::Source(Arc::new(source)));
        self
    }

    /// Accepts dynamic webhooks, with public keys that are never fetched again.
    ///
    /// It is for tests and for keys that you distribute yourself. With Google's keys, a rotation at
    /// Google would end it: use [`google_keys`](Self::google_keys).
    #[cfg(feature = "jwks")]
    pub fn jwks(mut self, keys: KeySet) -> Self {
        self.keys = Some(KeysFrom::Set(keys));
        self
    }

    /// Sets how long fetched public keys are used while they cannot be fetched again. A day by
    /// default.
    ///
    /// It counts from the last successful fetch. After that, deliveries of dynamic webhooks are
    /// answered 503. Less than a minute is
    /// [`ConfigError::MaxStaleTooShort`](crate::ConfigError::MaxStaleTooShort).
    #[cfg(feature = "jwks")]
    pub fn max_stale(mut self, age: Duration) -> Self {
        self.max_stale = age;
        self
    }

    /// Also accepts JWTs (RS256) for this `audience`, the form that Google's guide shows.
    ///
    /// In this form a JWT stands in place of the signature. It must be signed with one of the
    /// receiver's public keys. Call this again for each further audience. So far, this form was seen
    /// in Google's guide only (copies up to 2026-10-05); one user's report of the live service
    /// (2026-08-31, googleapis/python-genai #2927) has `v1a` signatures instead.
    ///
    /// - The JWT must name its key (`kid`), its end (`exp`) and one of the audiences (`aud`).
    /// - `nbf` and `iat` are optional, and are checked with the [`tolerance`](Self::tolerance).
    ///   Without `iat`, the JWT may be valid for a day at most.
    /// - A JWT with extensions (`crit`) is refused.
    ///
    /// The payload of the JWT is the event, and your handler gets it as the body. If the request has
    /// a body as well, it must say the same.
    ///
    /// Only the JWT is signed, not the `webhook-id`. A duplicate under another id is recognised by
    /// [`Delivery::claim_id`]. A retry that is signed anew and has no `jti` cannot be recognised, and
    /// may be handled twice.
    #[cfg(feature = "jwt")]
    pub fn accept_jwt(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Refuses JWTs whose issuer (`iss`) is not this one. By default any issuer is accepted.
    ///
    /// The key already proves who signed the JWT.
    #[cfg(feature = "jwt")]
    pub fn jwt_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Accepts dynamic webhooks of every Google project, without an endpoint token or a check.
    ///
    /// **Anyone with an API key can then make Google deliver events of their own jobs to your
    /// handler.** The handler must check that it knows the job. Prefer
    /// [`endpoint_token`](Self::endpoint_token) or [`accept_if`](Self::accept_if).
    #[cfg(feature = "jwks")]
    pub fn allow_any_google_project(mut self) -> Self {
        self.any_google_project = true;
        self
    }

    /// Adds a check of your own, for instance whether the event is about a job of yours.
    ///
    /// It is called for each authentic delivery, in every scheme, before the event is claimed.
    /// `Ok(false)` refuses the delivery with 400. An error, or no answer within 2 seconds, is a
    /// 503, so that Google sends it again.
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
    /// let builder = WebhookReceiver::builder().accept_if(
    ///     move |event: GeminiEvent, _: Delivery| {
    ///         let jobs = jobs.clone();
    ///         async move {
    ///             let data: Option<Data> = event.data_as()?;
    ///             let id = data.and_then(|data| data.id);
    ///             Ok(jobs.knows(id.as_deref()).await?)
    ///         }
    ///     },
    /// );
    /// ```
    ///
    /// Retries are checked too, also those of events that have been handled. So keep a job in your
    /// records for a day after its event, as long as Google retries.
    ///
    /// With the feature `client`, `WebhookService::owns` is such a check that needs no records: it asks
    /// Google whether your project can read the job.
    ///
    /// Call it again for a further check. All of them must accept the event, together within the 2
    /// seconds.
    pub fn accept_if<F, A>(mut self, check: F) -> Self
    where
        F: Fn(GeminiEvent, Delivery) -> A + Send + Sync + 'static,
        A: Future<Output = Result<bool, BoxError>> + Send + 'static,
    {
        self.acceptance.add(check);
        self
    }

    /// Requires this token in the URL of each delivery, in every scheme.
    ///
    /// Call it again for each further token; any one of them is enough. [`EndpointToken`] has an
    /// example, and says where in the URL the token may stand.
    pub fn endpoint_token(self, token: EndpointToken) -> Self {
        self.endpoint_tokens(Keyring::new(token))
    }

    /// Requires one of the tokens of a [`Keyring`] in the URL of each delivery, also of those that it gets
    /// later.
    ///
    /// Keep a clone to rotate them without a restart.
    pub fn endpoint_tokens(mut self, tokens: Keyring<EndpointToken>) -> Self {
        self.endpoint_tokens.add(tokens);
        self
    }
}
