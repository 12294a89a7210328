//! [`Verifier`], which checks a delivery as a plain function: no I/O, no clock.
//!
//! Apps with a web framework use a [`WebhookReceiver`](crate::WebhookReceiver) instead, which also
//! limits bodies and recognises duplicates.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::error::{ConfigError, VerifyError};
use crate::headers::DeliveryHeaders;
use crate::scheme::Failure;
#[cfg(feature = "jwks")]
use crate::scheme::KeySet;
#[cfg(feature = "receiver")]
use crate::secret::Held;
use crate::secret::Keyring;

mod checked;
mod mismatch;
mod rules;
#[cfg(test)]
mod tests;
mod verified;

pub use checked::Checked;
#[cfg(feature = "jwks")]
use rules::PublicKeys;
use rules::Rules;
use verified::Signed;
pub use verified::Verified;

/// How far a timestamp may be off, either way: what Google's guide asks for.
pub(crate) const DEFAULT_TOLERANCE: Duration = Duration::from_secs(300);

/// Checks whether a delivery is authentic and recent.
///
/// It is a plain function of the headers, the body and the time: no I/O, no clock, no allocation.
/// Use it if you have no web framework. With one, use a
/// [`WebhookReceiver`](crate::WebhookReceiver), which does the same checks and more.
///
/// It remembers nothing. A copy of a delivery is accepted again within the tolerance, and so is every
/// retry, so recognise duplicates by [`Verified::claim_id`].
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use gemini_webhooks::{DeliveryHeaders, Keyring, Verifier, VerifyErrorKind};
///
/// // The example of the Standard Webhooks libraries.
/// let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse()?;
/// let verifier = Verifier::new(Keyring::new(secret));
/// let headers = DeliveryHeaders::from_lines([
///     ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
///     ("webhook-timestamp", "1614265330"),
///     ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
/// ]);
/// let body = br#"{"test": 2432232314}"#;
/// let sent = SystemTime::UNIX_EPOCH + Duration::from_secs(1_614_265_330);
///
/// let verified = verifier.verify(&headers, body, sent)?;
/// assert_eq!(verified.id(), "msg_p5jXN8AQM9LWM0D4loKWxJek");
///
/// let later = sent + Duration::from_secs(301);
/// let error = verifier.verify(&headers, body, later).unwrap_err();
/// assert_eq!(error.kind(), VerifyErrorKind::TimestampTooOld);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Verifier {
    rules: Arc<Rules>,
}

impl Verifier {
    /// Accepts deliveries that are signed with a secret of `keyring` (`v1`).
    ///
    /// The tolerance is 5 minutes; [`with_tolerance`](Self::with_tolerance) changes it.
    #[must_use]
    pub fn new(keyring: Keyring) -> Self {
        Self::empty().with_keyring(keyring)
    }

    /// Accepts deliveries that are signed with one of `keys` (`v1a`).
    ///
    /// The tolerance is 5 minutes; [`with_tolerance`](Self::with_tolerance) changes it. Google's
    /// keys prove who sent a delivery, not whom it is for: [`EndpointToken`](crate::EndpointToken)
    /// explains what to add.
    #[cfg(feature = "jwks")]
    #[must_use]
    pub fn for_keys(keys: KeySet) -> Self {
        Self::empty().with_keys(keys)
    }

    /// Also accepts deliveries that are signed with one of `keys` (`v1a`).
    ///
    /// One valid signature, in either scheme, is enough.
    #[cfg(feature = "jwks")]
    #[must_use]
    pub fn with_keys(self, keys: KeySet) -> Self {
        self.with(|rules| rules.keys = PublicKeys::Given(keys))
    }

    /// Public keys are handed over with each delivery.
    #[cfg(feature = "jwks")]
    pub(crate) fn with_keys_later(self) -> Self {
        self.with(|rules| rules.keys = PublicKeys::Later)
    }

    /// Also accepts JWTs (RS256) for `audience` that one of the public keys signed.
    ///
    /// Call it again for each further audience.
    /// [`WebhookReceiverBuilder::accept_jwt`](crate::WebhookReceiverBuilder::accept_jwt) lists the
    /// rules for a JWT.
    ///
    /// **In this form the event is [`Verified::payload`]**, not the body, and a duplicate is
    /// recognised by [`Verified::claim_id`], not by the id.
    #[cfg(feature = "jwt")]
    #[must_use]
    pub fn accept_jwt(self, audience: impl Into<String>) -> Self {
        self.with(|rules| rules.jwt.audiences.push(audience.into()))
    }

    /// Refuses JWTs whose issuer (`iss`) is not this one. By default any issuer is accepted.
    #[cfg(feature = "jwt")]
    #[must_use]
    pub fn jwt_issuer(self, issuer: impl Into<String>) -> Self {
        self.with(|rules| rules.jwt.issuer = Some(issuer.into()))
    }

    /// Sets how far a timestamp may be from now, in either direction. 5 minutes by default.
    ///
    /// Fractions of a second are dropped. Google's guide (copies up to 2026-10-05) asks receivers to
    /// refuse deliveries that are older than 5 minutes.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] for less than a second.
    pub fn with_tolerance(self, tolerance: Duration) -> Result<Self, ConfigError> {
        if tolerance.as_secs() == 0 {
            return Err(ConfigError::Zero {
                setting: "tolerance",
            });
        }
        Ok(self.with(|rules| rules.tolerance = tolerance))
    }

    pub(crate) fn empty() -> Self {
        Self {
            rules: Arc::default(),
        }
    }

    pub(crate) fn with_keyring(self, keyring: Keyring) -> Self {
        self.with(|rules| rules.keyrings.push(keyring.into()))
    }

    #[cfg(feature = "receiver")]
    pub(crate) fn keyrings(&self) -> &[Held] {
        &self.rules.keyrings
    }

    fn with(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(Arc::make_mut(&mut self.rules));
        self
    }

    /// Verifies a whole delivery. It does not allocate.
    ///
    /// `body` must be the bytes as they arrived. To refuse a delivery before you read its body, use
    /// [`check`](Self::check) and then [`Checked::verify`] instead.
    ///
    /// # Errors
    ///
    /// Returns the first thing that is wrong, in the order of
    /// [`VerifyErrorKind`](crate::VerifyErrorKind).
    pub fn verify<'a>(
        &'a self,
        headers: &DeliveryHeaders<'a>,
        body: &[u8],
        now: SystemTime,
    ) -> Result<Verified<'a>, VerifyError> {
        let fields = self.rules.check(headers, now)?;
        self.rules
            .verify(self.rules.given_keys(), &fields, body, now)
            .map_err(Failure::into_error)
    }

    /// Checks everything that can be checked before the body is read.
    ///
    /// So most of what is not a delivery is refused without reading its body. Afterwards pass the
    /// body to [`Checked::verify`].
    ///
    /// # Errors
    ///
    /// A header is missing, repeated with another value, or malformed; the timestamp is outside the
    /// tolerance; no signature is in a scheme that this verifier has keys for; or every secret has
    /// ended.
    pub fn check(
        &self,
        headers: &DeliveryHeaders<'_>,
        now: SystemTime,
    ) -> Result<Checked, VerifyError> {
        let fields = self.rules.check(headers, now)?;
        Ok(Checked::new(&fields, now, Arc::clone(&self.rules)))
    }
}
