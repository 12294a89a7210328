//! What a verifier accepts, and in which order it looks.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{DEFAULT_TOLERANCE, Signed, Verified};
use crate::error::{Detail, VerifyError, VerifyErrorKind};
use crate::headers::{DeliveryHeaders, Fields, MAX_SIGNATURE};
#[cfg(feature = "jwks")]
use crate::scheme::ed25519;
#[cfg(feature = "jwt")]
use crate::scheme::jwt::{self, JwtRules};
use crate::scheme::{Failure, KeySet, Scheme, hmac};
use crate::secret::{Held, SigningSecret, valid_at};

#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// For `v1`.
    pub(super) keyrings: Vec<Held>,
    /// For `v1a` and tokens.
    #[cfg(feature = "jwks")]
    pub(super) keys: PublicKeys,
    /// Tokens are accepted if there is an audience.
    #[cfg(feature = "jwt")]
    pub(super) jwt: JwtRules,
    pub(super) tolerance: Duration,
}

/// Whether a verifier takes public keys, and which.
#[cfg(feature = "jwks")]
#[derive(Clone, Debug, Default)]
pub(super) enum PublicKeys {
    #[default]
    None,
    Given(KeySet),
    /// Handed over with each delivery.
    Later,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            keyrings: Vec::new(),
            #[cfg(feature = "jwks")]
            keys: PublicKeys::None,
            #[cfg(feature = "jwt")]
            jwt: JwtRules::default(),
            tolerance: DEFAULT_TOLERANCE,
        }
    }
}

impl Rules {
    /// Steps 2 (headers), 3 (window) and 4 (scheme) of a delivery.
    pub(super) fn check<'h>(
        &self,
        headers: &DeliveryHeaders<'h>,
        now: SystemTime,
    ) -> Result<Fields<'h>, VerifyError> {
        let fields = headers.parse(self.max_signature())?;
        self.check_window(fields.sent_at, now)?;
        let v1 = !self.keyrings.is_empty() && hmac::candidates(&fields).next().is_some();
        let mut keyrings = self.keyrings.iter();
        if v1
            && keyrings
                .any(|keyring| keyring.read(|secrets| valid_at(secrets, now).next().is_some()))
        {
            return Ok(fields);
        }
        #[cfg(feature = "jwks")]
        if self.has_public_candidate(&fields) {
            return Ok(fields);
        }
        if v1 {
            return Err(self.all_ended(now));
        }
        let told = Detail::Told(self.advice(&fields).into());
        Err(VerifyError::new(VerifyErrorKind::UnsupportedScheme, told))
    }

    /// What came, none of which can be verified here, and what to do for each.
    fn advice(&self, fields: &Fields<'_>) -> String {
        let mut told = fields.signatures.found();
        let has = |prefix| fields.signatures.after(prefix).next().is_some();
        if fields.signatures.tokens().next().is_some() {
            told +=
                "; to accept a token (JWT), call `accept_jwt` and give public keys (feature `jwt`)";
        }
        if has(b"v1a,") {
            told += if self.takes_v1a() {
                "; no `v1a` entry is a signature, which has 88 characters of base64"
            } else {
                "; `v1a` is the signature of a dynamic webhook: to accept it, call `google_keys` (feature `jwks`)"
            };
        }
        if has(b"v1,") {
            told += if !self.keyrings.is_empty() {
                "; no `v1` entry is a signature, which has 44 characters of base64"
            } else {
                "; `v1` is the signature of a static webhook: to accept it, call `signing_secret`"
            };
        }
        told
    }

    fn max_signature(&self) -> usize {
        #[cfg(feature = "jwt")]
        if self.takes_tokens() {
            return crate::headers::MAX_SIGNATURE_WITH_TOKENS;
        }
        MAX_SIGNATURE
    }

    #[cfg(feature = "jwt")]
    fn takes_tokens(&self) -> bool {
        !self.jwt.audiences.is_empty()
    }

    fn takes_v1a(&self) -> bool {
        #[cfg(feature = "jwks")]
        let takes = !matches!(self.keys, PublicKeys::None);
        #[cfg(not(feature = "jwks"))]
        let takes = false;
        takes
    }

    #[cfg(feature = "jwks")]
    fn has_public_candidate(&self, fields: &Fields<'_>) -> bool {
        if !self.takes_v1a() {
            return false;
        }
        #[cfg(feature = "jwt")]
        if self.takes_tokens() && fields.signatures.tokens().next().is_some() {
            return true;
        }
        ed25519::candidates(fields).next().is_some()
    }

    pub(super) fn given_keys(&self) -> Option<&KeySet> {
        #[cfg(feature = "jwks")]
        if let PublicKeys::Given(keys) = &self.keys {
            return Some(keys);
        }
        None
    }

    fn check_window(&self, sent_at: u64, now: SystemTime) -> Result<(), VerifyError> {
        let now = unix_seconds(now);
        let tolerance = self.tolerance.as_secs();
        let seconds = now.abs_diff(sent_at);
        if seconds <= tolerance {
            return Ok(());
        }
        let kind = if sent_at < now {
            VerifyErrorKind::TimestampTooOld
        } else {
            VerifyErrorKind::TimestampTooNew
        };
        Err(VerifyError::new(kind, Detail::Off { seconds, tolerance }))
    }

    /// Step 6 of a delivery, the signature: any key that is valid now, in any scheme that is
    /// configured, may have made one. `keys` are the public keys, if any are known.
    pub(super) fn verify<'a>(
        &'a self,
        keys: Option<&'a KeySet>,
        fields: &Fields<'a>,
        body: &[u8],
        now: SystemTime,
    ) -> Result<Verified<'a>, Failure> {
        let verified = |signed| Verified {
            id: fields.id,
            sent_at: fields.sent_at,
            signed,
        };
        if let Some(key_id) = self.secret(fields, body, now) {
            return Ok(verified(Signed::Delivery(Scheme::V1, key_id)));
        }
        #[cfg(feature = "jwks")]
        if self.has_public_candidate(fields) {
            return self.verify_publicly(keys, fields, body, now).map(verified);
        }
        Err(self.mismatch(keys, fields, body, now).into())
    }

    /// The id of the secret that signed.
    fn secret(
        &self,
        fields: &Fields<'_>,
        body: &[u8],
        now: SystemTime,
    ) -> Option<Cow<'_, Arc<str>>> {
        hmac::candidates(fields).next()?;
        let signed = |secret: &SigningSecret| secret.mac().signed(fields, body);
        self.keyrings
            .iter()
            .find_map(|keyring| keyring.find(now, signed))
    }

    #[cfg(feature = "jwks")]
    fn verify_publicly<'a>(
        &'a self,
        keys: Option<&'a KeySet>,
        fields: &Fields<'a>,
        body: &[u8],
        now: SystemTime,
    ) -> Result<Signed<'a>, Failure> {
        if let Some(key_id) = keys.and_then(|keys| keys.signer(fields, body)) {
            return Ok(Signed::Delivery(Scheme::V1a, Cow::Borrowed(key_id)));
        }
        // Entries that are no signatures under any key are not worth asking for keys.
        let unknown = ed25519::signatures(fields).next().is_some();
        #[cfg(feature = "jwt")]
        if self.takes_tokens() {
            return self.verify_tokens(keys, fields, body, now, unknown);
        }
        Err(failure(self.mismatch(keys, fields, body, now), unknown))
    }

    /// `unknown`: a key that is not known may have made another signature of the list.
    #[cfg(feature = "jwt")]
    fn verify_tokens<'a>(
        &self,
        keys: Option<&KeySet>,
        fields: &Fields<'_>,
        body: &[u8],
        now: SystemTime,
        mut unknown: bool,
    ) -> Result<Signed<'a>, Failure> {
        let time = (unix_seconds(now), self.tolerance.as_secs());
        let mut error = None;
        for token in fields.signatures.tokens().take(jwt::MAX_TOKENS) {
            match self.jwt.verify(keys, token, body, time) {
                Ok(token) => return Ok(Signed::Token(Box::new(token))),
                Err(why) => {
                    unknown |= matches!(why, Failure::UnknownKey(_));
                    error = Some(why.into_error());
                }
            }
        }
        let error = error.unwrap_or_else(|| self.mismatch(keys, fields, body, now));
        Err(failure(error, unknown))
    }
}

#[cfg(feature = "jwks")]
fn failure(error: VerifyError, unknown: bool) -> Failure {
    if unknown {
        Failure::UnknownKey(error)
    } else {
        Failure::Refused(error)
    }
}

/// A clock before 1970 is a broken clock: everything is then too new, and refused.
fn unix_seconds(now: SystemTime) -> u64 {
    now.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
