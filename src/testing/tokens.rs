//! A signer of JWTs.

use std::fmt;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::headers;
use crate::error::ConfigError;

/// Signs deliveries of a dynamic webhook as JWTs (RS256), in Google's place.
///
/// This is the form that Google's guide shows. For `v1a` signatures, use
/// [`Ed25519Signer`](super::Ed25519Signer).
///
/// ```
/// use gemini_webhooks::jwks::KeySet;
/// use gemini_webhooks::testing::{self, ManualClock, Rs256Signer};
/// use gemini_webhooks::{Clock as _, DeliveryHeaders, Verifier};
///
/// let signer = Rs256Signer::generate("key-1")?;
/// let keys = KeySet::from_json(testing::key_set([signer.jwk()]).as_bytes())?;
/// let clock = ManualClock::default();
///
/// let now = clock.unix_seconds();
/// let claims = testing::claims(testing::SAMPLE_EVENTS[0], "my-app", now)?;
/// let lines = signer.sign("msg_1", now, &claims);
/// let lines = lines.iter().map(|(name, value)| (*name, value));
/// let headers = DeliveryHeaders::from_lines(lines);
/// let verifier = Verifier::for_keys(keys).accept_jwt("my-app");
/// let verified = verifier.verify(&headers, b"", clock.now())?;
/// assert_eq!(verified.payload(), Some(claims.as_bytes()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Rs256Signer {
    kid: String,
    key: RsaKeyPair,
}

impl Rs256Signer {
    /// Makes a signer with a new key of 2048 bits, whose name is `kid`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NoRandomness`] if the operating system returns no random bytes.
    pub fn generate(kid: &str) -> Result<Self, ConfigError> {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| ConfigError::NoRandomness)?;
        Ok(Self {
            kid: kid.to_owned(),
            key,
        })
    }

    /// Makes a signer with a key that you kept, whose name is `kid`.
    ///
    /// `der` is an RSA private key of 2048 bits or more in PKCS#8 (DER), as [`to_pkcs8`](Self::to_pkcs8)
    /// returns it. A receiver that knows the public key then needs no other one after a restart of the
    /// test.
    ///
    /// # Errors
    ///
    /// [`ConfigError::PrivateKeyMalformed`] if it is no such key.
    pub fn from_pkcs8(kid: &str, der: &[u8]) -> Result<Self, ConfigError> {
        let key =
            RsaKeyPair::from_pkcs8(der).map_err(|rejected| ConfigError::PrivateKeyMalformed {
                reason: rejected.to_string(),
            })?;
        Ok(Self {
            kid: kid.to_owned(),
            key,
        })
    }

    /// Returns the private key in PKCS#8 (DER), to keep it.
    #[must_use]
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        #[expect(
            clippy::expect_used,
            reason = "a key that was made or read can be written"
        )]
        let der = self.key.as_der().expect("the key is whole");
        Zeroizing::new(der.as_ref().to_vec())
    }

    /// Returns the public key as a JWK, for [`key_set`](super::key_set).
    #[must_use]
    pub fn jwk(&self) -> String {
        let key = self.key.public_key();
        serde_json::json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid,
            "n": URL_SAFE_NO_PAD.encode(key.modulus().big_endian_without_leading_zero()),
            "e": URL_SAFE_NO_PAD.encode(key.exponent().big_endian_without_leading_zero()),
        })
        .to_string()
    }

    /// Signs a delivery, and returns its three headers.
    ///
    /// Each item is a name and a value. `timestamp` is in seconds since the Unix epoch. `claims` is
    /// a JSON object, which [`claims`] makes.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: u64, claims: &str) -> [(&'static str, String); 3] {
        let header = serde_json::json!({"alg": "RS256", "typ": "JWT", "kid": self.kid});
        headers(id, timestamp, self.token(&header.to_string(), claims))
    }

    /// Returns a JWT of any header and claims, also invalid ones.
    #[must_use]
    pub fn token(&self, header: &str, claims: &str) -> String {
        let parts = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        let message = parts.join(".");
        let mut signature = vec![0; self.key.public_modulus_len()];
        #[expect(
            clippy::expect_used,
            reason = "RSA fails only for a buffer of another length"
        )]
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message.as_bytes(),
                &mut signature,
            )
            .expect("the buffer is as long as the modulus");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

impl fmt::Debug for Rs256Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rs256Signer")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// Returns the claims of a JWT that carries `event`, for [`Rs256Signer::sign`].
///
/// They are the members of `event` and `aud`, `iat` and `exp`. `issued_at` is in seconds since the
/// Unix epoch, and the JWT is valid for an hour from then.
///
/// # Errors
///
/// `event` is not a JSON object.
pub fn claims(event: &str, audience: &str, issued_at: u64) -> Result<String, serde_json::Error> {
    let mut claims: serde_json::Map<String, serde_json::Value> = serde_json::from_str(event)?;
    claims.insert("aud".to_owned(), audience.into());
    claims.insert("iat".to_owned(), issued_at.into());
    claims.insert("exp".to_owned(), issued_at.saturating_add(3600).into());
    serde_json::to_string(&claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_kept_signs_as_before() {
        let signer = Rs256Signer::generate("key-1").unwrap();
        let der = signer.to_pkcs8();
        let kept = Rs256Signer::from_pkcs8("key-1", &der).unwrap();
        assert_eq!(kept.jwk(), signer.jwk());
        // PKCS#1 1.5 has no randomness.
        assert_eq!(kept.token("{}", "{}"), signer.token("{}", "{}"));

        for (name, der) in [
            ("nothing", &b""[..]),
            ("text", b"-----BEGIN PRIVATE KEY-----"),
            ("half", &der[..der.len() / 2]),
        ] {
            let error = Rs256Signer::from_pkcs8("key-1", der).unwrap_err();
            assert!(
                matches!(error, ConfigError::PrivateKeyMalformed { .. }),
                "{name}: {error}"
            );
        }
    }
}
