//! The decision: is this delivery authentic, and of now? Without I/O and without a clock.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::error::{ConfigError, VerifyError};
use crate::headers::DeliveryHeaders;
use crate::scheme::Failure;
#[cfg(feature = "jwks")]
use crate::scheme::KeySet;
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

/// Decides whether a delivery is authentic, as a plain function of its headers, its body and the
/// time. For apps without a framework; [`WebhookReceiver`](crate::WebhookReceiver) stands on it.
///
/// It does not remember ids: whoever calls it must see to it that a repeat does no harm.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use gemini_webhooks::{DeliveryHeaders, Keyring, Verifier, VerifyErrorKind};
///
/// // The example of the Standard Webhooks libraries.
/// let verifier = Verifier::new(Keyring::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse()?));
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
/// let late = verifier.verify(&headers, body, sent + Duration::from_secs(301)).unwrap_err();
/// assert_eq!(late.kind(), VerifyErrorKind::TimestampTooOld);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Verifier {
    rules: Arc<Rules>,
}

impl Verifier {
    /// Accepts deliveries signed with a secret of `keyring` (`v1`), within five minutes.
    #[must_use]
    pub fn new(keyring: Keyring) -> Self {
        Self::empty().with_keyring(keyring)
    }

    /// Accepts deliveries signed with one of `keys` (`v1a`), within five minutes.
    ///
    /// Such a signature proves who sent a delivery, not whom it is for: see
    /// [`EndpointToken`](crate::EndpointToken).
    #[cfg(feature = "jwks")]
    #[must_use]
    pub fn for_keys(keys: KeySet) -> Self {
        Self::empty().with_keys(keys)
    }

    /// Accepts deliveries signed with one of `keys` (`v1a`) as well. Either scheme stands for
    /// itself: none is a fallback for a signature of the other that is wrong.
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

    /// Accepts tokens (RS256 JWT) as well that one of the public keys signed and that are for
    /// `audience`; call it again for each further audience.
    /// [`WebhookReceiverBuilder::accept_jwt`](crate::WebhookReceiverBuilder::accept_jwt) says what
    /// else is asked of a token.
    ///
    /// **In this form the event is [`Verified::payload`]**, not the body, and a repeat is known by
    /// [`Verified::claim_id`], not by the id.
    #[cfg(feature = "jwt")]
    #[must_use]
    pub fn accept_jwt(self, audience: impl Into<String>) -> Self {
        self.with(|rules| rules.jwt.audiences.push(audience.into()))
    }

    /// Asks of tokens that `iss` is this issuer.
    #[cfg(feature = "jwt")]
    #[must_use]
    pub fn jwt_issuer(self, issuer: impl Into<String>) -> Self {
        self.with(|rules| rules.jwt.issuer = Some(issuer.into()))
    }

    /// How far a timestamp may be off, into the past or the future; in whole seconds. Five
    /// minutes by default, as Google's guide asks.
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
        self.with(|rules| rules.keyring = Some(keyring))
    }

    fn with(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(Arc::make_mut(&mut self.rules));
        self
    }

    /// Verifies a whole delivery: [`check`](Self::check) and [`Checked::verify`] in one, without
    /// an allocation.
    ///
    /// # Errors
    ///
    /// The first thing wrong with it, in the order of
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

    /// The first half: everything that can be said before the body is read. So an adapter can
    /// refuse most of what is not a delivery without reading it.
    ///
    /// # Errors
    ///
    /// A header is missing, repeated or malformed, the timestamp is outside the window, nothing
    /// is signed in a scheme that this verifier knows, or every secret has reached its end.
    pub fn check(
        &self,
        headers: &DeliveryHeaders<'_>,
        now: SystemTime,
    ) -> Result<Checked, VerifyError> {
        let fields = self.rules.check(headers, now)?;
        Ok(Checked::new(&fields, now, Arc::clone(&self.rules)))
    }
}
