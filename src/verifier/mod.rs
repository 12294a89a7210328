//! The decision: is this delivery authentic, and of now? Without I/O and without a clock.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::error::{ConfigError, VerifyError};
use crate::headers::{DeliveryHeaders, Fields, Signatures};
use crate::scheme::Scheme;
#[cfg(feature = "jwt")]
use crate::scheme::jwt::SignedToken;
pub(crate) use crate::scheme::{Failure, KeySet};
use crate::secret::Keyring;

mod rules;

#[cfg(feature = "jwks")]
use rules::PublicKeys;
use rules::Rules;

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
        let values = [fields.timestamp, fields.signatures.as_bytes()];
        Ok(Checked {
            id: fields.id.into(),
            values: values.concat().into_boxed_slice(),
            timestamp_length: fields.timestamp.len(),
            sent_at: fields.sent_at,
            now,
            rules: Arc::clone(&self.rules),
        })
    }
}

/// A delivery whose headers are in order and whose body is still to come.
///
/// It owns what it needs, so that it can wait for the body, and holds on to the secrets and the
/// time that the headers were judged by.
pub struct Checked {
    id: Arc<str>,
    /// Timestamp and signature list.
    values: Box<[u8]>,
    timestamp_length: usize,
    sent_at: u64,
    now: SystemTime,
    rules: Arc<Rules>,
}

impl Checked {
    /// `webhook-id`, not yet authenticated.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    #[cfg(feature = "receiver")]
    pub(crate) fn shared_id(&self) -> Arc<str> {
        Arc::clone(&self.id)
    }

    /// The second half: whether a key of the verifier signed these headers with this body.
    ///
    /// # Errors
    ///
    /// [`VerifyErrorKind::SignatureMismatch`](crate::VerifyErrorKind::SignatureMismatch), or what is wrong with a token.
    pub fn verify(&self, body: &[u8]) -> Result<Verified<'_>, VerifyError> {
        self.verify_under(self.rules.given_keys(), body)
            .map_err(Failure::into_error)
    }

    /// As [`verify`](Self::verify), under these public keys; `None` if none are known.
    pub(crate) fn verify_under<'a>(
        &'a self,
        keys: Option<&'a KeySet>,
        body: &[u8],
    ) -> Result<Verified<'a>, Failure> {
        self.rules.verify(keys, &self.fields(), body, self.now)
    }

    fn fields(&self) -> Fields<'_> {
        let (timestamp, signatures) = self.values.split_at(self.timestamp_length);
        Fields {
            id: &self.id,
            timestamp,
            sent_at: self.sent_at,
            signatures: Signatures::reread(signatures),
        }
    }
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked")
            .field("id", &self.id())
            .field("timestamp", &self.sent_at)
            .finish_non_exhaustive()
    }
}

/// What is known of a delivery once its signature has been verified.
#[derive(Clone, Debug)]
pub struct Verified<'a> {
    id: &'a str,
    sent_at: u64,
    signed: Signed<'a>,
}

/// What was signed, and with which key.
#[derive(Clone, Debug)]
enum Signed<'a> {
    /// Id, timestamp and body.
    Delivery(Scheme, &'a Arc<str>),
    /// The token alone.
    #[cfg(feature = "jwt")]
    Token(Box<SignedToken>),
}

impl<'a> Verified<'a> {
    /// `webhook-id`: opaque, the same over all retries of one event. [`Scheme::Jwt`] does not sign
    /// it.
    #[must_use]
    pub fn id(&self) -> &'a str {
        self.id
    }

    /// When this attempt was made, in seconds since the Unix epoch. [`Scheme::Jwt`] does not sign
    /// it.
    #[must_use]
    pub fn timestamp(&self) -> u64 {
        self.sent_at
    }

    /// How it was signed.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        match &self.signed {
            Signed::Delivery(scheme, _) => *scheme,
            #[cfg(feature = "jwt")]
            Signed::Token(_) => Scheme::Jwt,
        }
    }

    /// Which key signed it: [`SigningSecret::key_id`](crate::SigningSecret::key_id), or the name
    /// of a public key.
    #[must_use]
    pub fn key_id(&self) -> &str {
        self.shared_key_id()
    }

    pub(crate) fn shared_key_id(&self) -> &Arc<str> {
        match &self.signed {
            Signed::Delivery(_, key_id) => key_id,
            #[cfg(feature = "jwt")]
            Signed::Token(token) => &token.key_id,
        }
    }

    /// What a repeat of the event is known by: the [id](Self::id); for a token its `jti`, else a
    /// digest of it.
    #[must_use]
    pub fn claim_id(&self) -> &str {
        match &self.signed {
            Signed::Delivery(..) => self.id,
            #[cfg(feature = "jwt")]
            Signed::Token(token) => &token.claim_id,
        }
    }

    /// The event, if a token carried it instead of the body.
    #[cfg(feature = "jwt")]
    #[must_use]
    pub fn payload(&self) -> Option<&[u8]> {
        Some(&self.token()?.payload)
    }

    /// Until when the token is accepted, if there is one: remember its claim id so long at least.
    #[cfg(feature = "jwt")]
    #[must_use]
    pub fn token_valid_until(&self) -> Option<SystemTime> {
        let seconds = Duration::from_secs(self.token()?.valid_until);
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    }

    #[cfg(feature = "jwt")]
    pub(crate) fn token(&self) -> Option<&SignedToken> {
        match &self.signed {
            Signed::Delivery(..) => None,
            Signed::Token(token) => Some(token),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::error::VerifyErrorKind;
    use crate::secret::SigningSecret;
    use crate::testing;

    const SENT: u64 = 1_700_000_000;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn secret(byte: u8) -> SigningSecret {
        SigningSecret::from_bytes(&[byte; 32]).unwrap()
    }

    fn signature(secret: &SigningSecret, body: &[u8]) -> String {
        let [.., (_, signature)] = testing::sign_v1(secret, "msg_1", SENT, body);
        signature
    }

    fn verify(
        verifier: &Verifier,
        signature: &str,
        body: &[u8],
        now: SystemTime,
    ) -> Result<String, VerifyError> {
        let timestamp = SENT.to_string();
        let headers = DeliveryHeaders::from_lines([
            ("webhook-id", "msg_1"),
            ("webhook-timestamp", &timestamp),
            ("webhook-signature", signature),
        ]);
        verifier
            .verify(&headers, body, now)
            .map(|verified| verified.key_id().to_owned())
    }

    #[test]
    fn the_window_has_two_sides_and_saturates() {
        use VerifyErrorKind::{TimestampTooNew, TimestampTooOld};
        let verifier = Verifier::new(Keyring::new(secret(1)));
        let signature = signature(&secret(1), b"{}");
        for (now, expected) in [
            (at(SENT), None),
            (at(SENT + 300), None),
            (at(SENT + 300) + Duration::from_millis(999), None),
            (at(SENT + 301), Some(TimestampTooOld)),
            (at(SENT - 300), None),
            (at(SENT - 301), Some(TimestampTooNew)),
            (at(0), Some(TimestampTooNew)),
            (
                SystemTime::UNIX_EPOCH - Duration::from_secs(9),
                Some(TimestampTooNew),
            ),
            (at(1 << 39), Some(TimestampTooOld)),
        ] {
            let error = verify(&verifier, &signature, b"{}", now).err();
            assert_eq!(error.map(|error| error.kind()), expected, "{now:?}");
        }
        let wide = Verifier::new(Keyring::new(secret(1)))
            .with_tolerance(Duration::MAX)
            .unwrap();
        assert!(verify(&wide, &signature, b"{}", at(0)).is_ok());
    }

    #[test]
    fn any_secret_that_is_valid_now() {
        let verifier = Verifier::new(Keyring::new(secret(1)).add_until(secret(2), at(SENT + 10)));
        let (new, old, foreign) = (
            signature(&secret(1), b"{}"),
            signature(&secret(2), b"{}"),
            signature(&secret(3), b"{}"),
        );
        let signed_by =
            |list: &str, now| verify(&verifier, list, b"{}", at(now)).map_err(|e| e.kind());
        let key = |byte| Ok(secret(byte).key_id().to_owned());
        let mismatch = Err(VerifyErrorKind::SignatureMismatch);
        assert_eq!(signed_by(&new, SENT), key(1));
        assert_eq!(signed_by(&old, SENT + 9), key(2));
        assert_eq!(signed_by(&old, SENT + 10), mismatch);
        assert_eq!(signed_by(&foreign, SENT), mismatch);
        assert_eq!(signed_by(&format!("{foreign} {old}"), SENT), key(2));
        assert_eq!(
            signed_by(&format!("v1,%%% v1 v9,x {foreign} v1, {new}"), SENT),
            key(1)
        );
        assert_eq!(signed_by(&format!("{old} {new}"), SENT + 10), key(1));

        let ended = Verifier::new(Keyring::until(secret(1), at(SENT)));
        let error = verify(&ended, &new, b"{}", at(SENT)).unwrap_err();
        assert_eq!(error.kind(), VerifyErrorKind::KeysUnavailable);
    }

    #[test]
    fn half_a_digest_is_none() {
        let verifier = Verifier::new(Keyring::new(secret(1)));
        let whole = signature(&secret(1), b"{}");
        for length in 0..whole.len() {
            assert!(
                verify(&verifier, &whole[..length], b"{}", at(SENT)).is_err(),
                "{length}"
            );
        }
    }

    #[test]
    fn a_body_need_not_be_text() {
        let verifier = Verifier::new(Keyring::new(secret(1)));
        let body = b"\xff\x00\xfe";
        assert!(verify(&verifier, &signature(&secret(1), body), body, at(SENT)).is_ok());
    }

    #[test]
    fn errors_tell_the_operator_what_he_needs_and_nobody_a_digest() {
        let verifier = Verifier::new(Keyring::new(secret(1)));
        let good = signature(&secret(1), b"{}");
        let foreign = signature(&secret(2), b"{}");
        for (signature, now, parts) in [
            (
                good.clone(),
                SENT + 1000,
                ["too old", "1000 s off, 300 s allowed"],
            ),
            (good, SENT - 301, ["in the future", "301 s off"]),
            (
                format!("v1a,AAAA {foreign}"),
                SENT,
                ["no key", "found v1a, v1"],
            ),
            (
                "v1a,AAAA v2,A".to_owned(),
                SENT,
                ["scheme", "found v1a, v2"],
            ),
            (
                "eyJhbGciOiJSUzI1NiJ9.e30.AAAA".to_owned(),
                SENT,
                ["found a token (JWT)", "`accept_jwt`"],
            ),
        ] {
            let error = verify(&verifier, &signature, b"{}", at(now)).unwrap_err();
            for shown in [error.to_string(), format!("{error:?}")] {
                for part in parts {
                    assert!(shown.contains(part), "{part:?} is not in {shown:?}");
                }
                for entry in signature.split(' ') {
                    assert!(!shown.contains(entry), "{entry:?} is in {shown:?}");
                }
            }
            assert!(error.source().is_none());
        }
    }
}
