//! Configuration, with its defaults.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, SystemTime};

#[cfg(feature = "jwks")]
use super::keys::{Keys, KeysFrom};
use super::{Acceptance, Claims, Delivery, Shared, WebhookReceiver};
use crate::clock::{Clock, SystemClock};
use crate::endpoint::{EndpointToken, EndpointTokens};
use crate::error::{BoxError, ConfigError, VerifyErrorKind};
use crate::event::GeminiEvent;
#[cfg(feature = "jwks")]
use crate::jwks::{HttpKeySource, KeySet, KeySource};
use crate::replay::{MemoryGuard, ReplayGuard};
use crate::secret::Keyring;
use crate::trace;
use crate::verifier::{DEFAULT_TOLERANCE, Verifier};

/// Payloads are thin, a few hundred bytes.
const DEFAULT_MAX_BODY_BYTES: usize = 64 * 1024;
const DEFAULT_MAX_BUFFERED_BYTES: usize = 256 * 1024 * 1024;
const DEFAULT_BODY_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_HANDLER_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_LEASE: Duration = Duration::from_secs(120);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Google tries for a day; and a margin.
const DEFAULT_RETENTION: Duration = Duration::from_secs(25 * 60 * 60);
/// For a public key and for the app's own check, and to round up: at most this long lies between the
/// body and the claim.
const MAX_WAIT: Duration = Duration::from_secs(5 + 2 + 1);
const DEFAULT_GUARD_TIMEOUT: Duration = Duration::from_secs(2);
#[cfg(feature = "jwks")]
const DEFAULT_MAX_STALE: Duration = DAY;

/// Builds a [`WebhookReceiver`].
///
/// A mistake, such as a secret that is none, is kept and returned by [`build`](Self::build).
#[derive(Clone, Debug)]
#[must_use]
pub struct WebhookReceiverBuilder {
    keyring: Option<Keyring>,
    #[cfg(feature = "jwks")]
    keys: Option<KeysFrom>,
    #[cfg(feature = "jwks")]
    max_stale: Duration,
    #[cfg(feature = "jwks")]
    any_google_project: bool,
    #[cfg(feature = "jwt")]
    audiences: Vec<String>,
    #[cfg(feature = "jwt")]
    issuer: Option<String>,
    acceptance: Acceptance,
    guard: Guard,
    lease: Duration,
    retention: Duration,
    guard_timeout: Duration,
    handle_unclaimed: bool,
    endpoint_tokens: EndpointTokens,
    tolerance: Duration,
    max_body_bytes: usize,
    max_buffered_bytes: usize,
    body_timeout: Duration,
    handler_timeout: Duration,
    statuses: Vec<(VerifyErrorKind, u16)>,
    clock: Arc<dyn Clock>,
    mistake: Option<ConfigError>,
}

/// What remembers events.
#[derive(Clone, Debug)]
enum Guard {
    /// A memory guard of the receiver's own.
    Memory,
    Given(Arc<str>, Arc<dyn ReplayGuard>),
    None,
}

impl Default for WebhookReceiverBuilder {
    fn default() -> Self {
        Self {
            keyring: None,
            #[cfg(feature = "jwks")]
            keys: None,
            #[cfg(feature = "jwks")]
            max_stale: DEFAULT_MAX_STALE,
            #[cfg(feature = "jwks")]
            any_google_project: false,
            #[cfg(feature = "jwt")]
            audiences: Vec::new(),
            #[cfg(feature = "jwt")]
            issuer: None,
            acceptance: Acceptance::default(),
            guard: Guard::Memory,
            lease: DEFAULT_LEASE,
            retention: DEFAULT_RETENTION,
            guard_timeout: DEFAULT_GUARD_TIMEOUT,
            handle_unclaimed: false,
            endpoint_tokens: EndpointTokens::default(),
            tolerance: DEFAULT_TOLERANCE,
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
            max_buffered_bytes: DEFAULT_MAX_BUFFERED_BYTES,
            body_timeout: DEFAULT_BODY_TIMEOUT,
            handler_timeout: DEFAULT_HANDLER_TIMEOUT,
            statuses: Vec::new(),
            clock: Arc::new(SystemClock),
            mistake: None,
        }
    }
}

impl WebhookReceiverBuilder {
    /// Adds the secret of a static webhook, as text ([`SigningSecret`](crate::SigningSecret)
    /// says in which forms). Call it again for each secret that is valid at the same time.
    pub fn signing_secret(self, secret: impl AsRef<str>) -> Self {
        match secret.as_ref().parse() {
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

    /// Remembers events with this guard, so that each is handled once. A [`MemoryGuard`] of the
    /// receiver's own by default, which is enough for one process and forgets when it ends.
    ///
    /// `namespace` tells apart what shares a guard: apps, and the environments of one. It must be
    /// the same on all replicas, and another in staging than in production, or they would swallow
    /// each other's events.
    pub fn guard(mut self, namespace: impl AsRef<str>, guard: impl ReplayGuard) -> Self {
        let namespace = namespace.as_ref();
        if namespace.is_empty() {
            return self.mistaken(ConfigError::NamespaceEmpty);
        }
        self.guard = Guard::Given(namespace.into(), Arc::new(guard));
        self
    }

    /// Remembers nothing: **each copy and each retry of an event reaches the handler**, which must
    /// see to it that this does no harm.
    pub fn without_replay_protection(mut self) -> Self {
        self.guard = Guard::None;
        self
    }

    /// How long an event may be in flight before another delivery of it may be handled: what a
    /// process that died in between holds up. 120 seconds by default; longer than
    /// [`handler_timeout`](Self::handler_timeout) and twice
    /// [`guard_timeout`](Self::guard_timeout), for claim and settle.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long a handled event is remembered. 25 hours by default: Google tries for a day. At least
    /// twice the [`tolerance`](Self::tolerance); a token is remembered as long as it is accepted.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// How long an answer of the guard is waited for. 2 seconds by default. Beyond, 503.
    pub fn guard_timeout(mut self, timeout: Duration) -> Self {
        self.guard_timeout = timeout;
        self
    }

    /// Handles an event although the guard cannot answer, instead of 503: **while the guard is
    /// down, copies and retries reach the handler.**
    pub fn handle_unclaimed_while_guard_fails(mut self) -> Self {
        self.handle_unclaimed = true;
        self
    }

    /// How far the timestamp may be off, either way, in whole seconds. Five minutes by default,
    /// as Google's guide asks.
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// How long a body may be, in bytes. 64 KiB by default. Beyond, 413.
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// How much all deliveries in flight may hold together, in bytes of their bodies, from the
    /// first byte until the handler is done. 256 MiB by default. Beyond, 503. The server's buffers
    /// around them may take as much again.
    pub fn max_buffered_bytes(mut self, bytes: usize) -> Self {
        self.max_buffered_bytes = bytes;
        self
    }

    /// How long the body may take to arrive. 10 seconds by default. Beyond, 408.
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.body_timeout = timeout;
        self
    }

    /// How long the handler may take, from when it first waits for something. 30 seconds by default.
    /// Beyond, it is dropped and 503 is answered. Google waits a few seconds only: enqueue, answer, and do the work elsewhere.
    pub fn handler_timeout(mut self, timeout: Duration) -> Self {
        self.handler_timeout = timeout;
        self
    }

    /// Answers errors of one kind with another status, 400 to 599. Of several for one kind the
    /// last counts.
    pub fn status(mut self, kind: VerifyErrorKind, status: u16) -> Self {
        if (400..600).contains(&status) {
            self.statuses.push((kind, status));
            self
        } else {
            self.mistaken(ConfigError::StatusNotAnError { status })
        }
    }

    /// Where the time comes from; for tests. The system's clock by default.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Finishes.
    ///
    /// # Errors
    ///
    /// The first mistake that was made, see [`ConfigError`].
    pub fn build(self) -> Result<WebhookReceiver, ConfigError> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        for (setting, zero) in [
            ("max_body_bytes", self.max_body_bytes == 0),
            ("max_buffered_bytes", self.max_buffered_bytes == 0),
            ("body_timeout", self.body_timeout.is_zero()),
            ("handler_timeout", self.handler_timeout.is_zero()),
            ("guard_timeout", self.guard_timeout.is_zero()),
        ] {
            if zero {
                return Err(ConfigError::Zero { setting });
            }
        }
        let verifier = self.verifier()?;
        let claims = self.claims()?;
        #[cfg(feature = "jwks")]
        let keys = {
            #[cfg(feature = "jwt")]
            let tokens = !self.audiences.is_empty();
            #[cfg(not(feature = "jwt"))]
            let tokens = false;
            Keys::new(self.keys, &self.clock, self.max_stale, tokens)
        };
        Ok(WebhookReceiver {
            shared: Arc::new(Shared {
                id: rand::random(),
                endpoint_tokens: self.endpoint_tokens,
                verifier,
                #[cfg(feature = "jwks")]
                keys,
                acceptance: self.acceptance,
                claims,
                max_body_bytes: self.max_body_bytes,
                max_buffered_bytes: self.max_buffered_bytes,
                buffered: AtomicUsize::new(0),
                body_timeout: self.body_timeout,
                handler_timeout: self.handler_timeout,
                statuses: self.statuses,
                clock: self.clock,
            }),
        })
    }

    /// The rules by which deliveries are verified.
    fn verifier(&self) -> Result<Verifier, ConfigError> {
        let mut verifier = Verifier::empty().with_tolerance(self.tolerance)?;
        let mut has_keys = false;
        if let Some(keyring) = &self.keyring {
            verifier = verifier.with_keyring(keyring.clone());
            has_keys = true;
        }
        #[cfg(feature = "jwks")]
        if self.keys.is_some() {
            let tied = !self.endpoint_tokens.is_empty() || !self.acceptance.is_empty();
            if !tied && !self.any_google_project {
                return Err(ConfigError::AnyGoogleProject);
            }
            if self.max_stale < Duration::from_secs(60) {
                return Err(ConfigError::MaxStaleTooShort);
            }
            verifier = verifier.with_keys_later();
            has_keys = true;
        }
        #[cfg(feature = "jwt")]
        {
            let mut names = self.audiences.iter().chain(&self.issuer);
            if names.any(String::is_empty) {
                return Err(ConfigError::JwtNameEmpty);
            }
            if self.keys.is_none() && !self.audiences.is_empty() {
                return Err(ConfigError::JwtWithoutKeys);
            }
            for audience in &self.audiences {
                verifier = verifier.accept_jwt(audience);
            }
            if let Some(issuer) = &self.issuer {
                verifier = verifier.jwt_issuer(issuer);
            }
        }
        if has_keys {
            Ok(verifier)
        } else {
            Err(ConfigError::NoKeys)
        }
    }

    /// How events are claimed, if they are.
    fn claims(&self) -> Result<Option<Claims>, ConfigError> {
        let (namespace, guard) = match &self.guard {
            Guard::None => return Ok(None),
            Guard::Given(namespace, guard) => (Arc::clone(namespace), Arc::clone(guard)),
            Guard::Memory => {
                let guard = MemoryGuard::new().by_clock(Arc::clone(&self.clock));
                ("".into(), Arc::new(guard) as Arc<dyn ReplayGuard>)
            }
        };
        // It counts from when the store made it, and holds until the store has settled it.
        let answers = self.guard_timeout.saturating_mul(2);
        if self.lease <= self.handler_timeout.saturating_add(answers) {
            return Err(ConfigError::LeaseTooShort);
        }
        if self.retention < self.tolerance.saturating_mul(2) {
            return Err(ConfigError::RetentionTooShort);
        }
        if self.retention < DAY {
            trace::short_retention(self.retention);
        }
        Ok(Some(Claims {
            guard,
            namespace,
            lease: self.lease,
            retention: self.retention,
            delay: self
                .body_timeout
                .saturating_add(MAX_WAIT)
                .saturating_add(self.guard_timeout),
            timeout: self.guard_timeout,
            handle_unclaimed: self.handle_unclaimed,
        }))
    }

    /// The first mistake is the one to tell.
    fn mistaken(mut self, mistake: ConfigError) -> Self {
        self.mistake.get_or_insert(mistake);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn mistakes_are_told_at_the_end_the_first_one() {
        let zero = |setting| ConfigError::Zero { setting };
        let good = || WebhookReceiver::builder().signing_secret(SECRET);
        for (builder, expected) in [
            (WebhookReceiver::builder(), ConfigError::NoKeys),
            (good().signing_secret(""), ConfigError::SecretEmpty),
            (
                WebhookReceiver::builder()
                    .signing_secret("v1,x")
                    .signing_secret(""),
                ConfigError::SecretIsSignature,
            ),
            (
                good().signing_secret_until("''", SystemTime::UNIX_EPOCH),
                ConfigError::SecretQuoted,
            ),
            (
                good().tolerance(Duration::from_millis(999)),
                zero("tolerance"),
            ),
            (good().max_body_bytes(0), zero("max_body_bytes")),
            (good().max_buffered_bytes(0), zero("max_buffered_bytes")),
            (good().body_timeout(Duration::ZERO), zero("body_timeout")),
            (
                good().handler_timeout(Duration::ZERO),
                zero("handler_timeout"),
            ),
            (
                good().status(VerifyErrorKind::SignatureMismatch, 200),
                ConfigError::StatusNotAnError { status: 200 },
            ),
            (
                good().status(VerifyErrorKind::SignatureMismatch, 600),
                ConfigError::StatusNotAnError { status: 600 },
            ),
        ] {
            assert_eq!(builder.build().map(drop), Err(expected));
        }
        assert!(good().build().is_ok());
    }

    #[cfg(feature = "jwks")]
    #[test]
    fn public_keys_want_something_that_ties_deliveries_to_this_project() {
        let json = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        let keys = KeySet::from_json(json).unwrap();
        let with_keys = || WebhookReceiver::builder().jwks(keys.clone());
        let token = EndpointToken::generate().unwrap();
        for builder in [with_keys(), with_keys().signing_secret(SECRET)] {
            assert_eq!(
                builder.clone().build().map(drop),
                Err(ConfigError::AnyGoogleProject)
            );
            assert!(
                builder
                    .clone()
                    .endpoint_token(token.clone())
                    .build()
                    .is_ok()
            );
            assert!(builder.allow_any_google_project().build().is_ok());
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let builder = WebhookReceiver::builder().signing_secret(SECRET);
        let shown = format!("{builder:?} {:?}", builder.clone().build().unwrap());
        assert!(!shown.contains("MfKQ"), "{shown}");
    }
}
