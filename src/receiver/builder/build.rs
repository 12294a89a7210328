//! Checks the settings, and makes a receiver of them.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::{DAY, Guard, WebhookReceiverBuilder};
use crate::error::ConfigError;
use crate::metrics::{self, Requests};
#[cfg(feature = "jwks")]
use crate::receiver::Keys;
use crate::receiver::claims::AT_ONCE;
use crate::receiver::leftovers::Leftovers;
use crate::receiver::outage::Outage;
use crate::receiver::{AtWork, Captures, Claims, Shared, WebhookReceiver};
use crate::replay::{MemoryGuard, ReplayGuard};
use crate::secret::{Held, SigningSecret, valid_at};
use crate::trace;
use crate::verifier::Verifier;

/// At most this long lies between the end of the body and the claim: confirming old public keys,
/// fetching a new one, the app's checks, and rounding up.
const MAX_WAIT: Duration = Duration::from_secs(2 + 5 + 2 + 1);

impl WebhookReceiverBuilder {
    /// Checks the settings and returns the receiver.
    ///
    /// # Errors
    ///
    /// Returns the first invalid setting, in the order of the calls, or else the first missing or
    /// contradictory one. [`ConfigError`] lists them.
    pub fn build(mut self) -> Result<WebhookReceiver, ConfigError> {
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
        let namespace = match &self.guard {
            Guard::Given(namespace, _) => Some(&**namespace),
            Guard::Memory | Guard::None => None,
        };
        let now = self.clock.now();
        let loaded: Vec<_> = verifier.keyrings().iter().map(Held::load).collect();
        let secrets = || loaded.iter().flat_map(|entries| valid_at(entries, now));
        metrics::describe();
        trace::built(secrets().map(SigningSecret::key_id), namespace);
        for secret in secrets() {
            if let Some(bytes) = secret.unusual_length() {
                trace::unusual_secret(secret.key_id(), bytes);
            }
        }
        Ok(WebhookReceiver {
            shared: Arc::new(Shared {
                id: rand::random(),
                endpoint_tokens: self.endpoint_tokens,
                verifier,
                #[cfg(feature = "jwks")]
                keys,
                acceptance: self.acceptance,
                claims,
                once_per_job: self.once_per_job,
                captures: self.log_refused_deliveries.then(Captures::default),
                retention: self.retention,
                delay: self
                    .body_timeout
                    .saturating_add(MAX_WAIT)
                    .saturating_add(self.guard_timeout),
                max_body_bytes: self.max_body_bytes,
                max_buffered_bytes: self.max_buffered_bytes,
                buffered: AtomicUsize::new(0),
                at_work: AtWork::default(),
                body_timeout: self.body_timeout,
                handler_timeout: self.handler_timeout,
                statuses: self.statuses,
                clock: self.clock,
            }),
        })
    }

    /// The rules by which deliveries are verified.
    fn verifier(&mut self) -> Result<Verifier, ConfigError> {
        let mut verifier = Verifier::empty().with_tolerance(self.tolerance)?;
        let mut has_keys = false;
        for keyring in self.keyrings.drain(..) {
            verifier = verifier.with_keyring(keyring);
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
        let longer_than = self.handler_timeout.saturating_add(answers);
        if self.lease <= longer_than {
            let lease = self.lease;
            return Err(ConfigError::LeaseTooShort { lease, longer_than });
        }
        let at_least = self.tolerance.saturating_mul(2);
        if self.retention < at_least {
            let retention = self.retention;
            return Err(ConfigError::RetentionTooShort {
                retention,
                at_least,
            });
        }
        if self.retention < DAY {
            trace::short_retention(self.retention);
        }
        Ok(Some(Claims {
            guard,
            namespace,
            lease: self.lease,
            timeout: self.guard_timeout,
            handle_unclaimed: self.handle_unclaimed,
            requests: Requests::by(&self.clock),
            outage: Outage::default(),
            turns: Semaphore::new(AT_ONCE),
            leftovers: Leftovers::default(),
            concerns: Mutex::default(),
        }))
    }
}
