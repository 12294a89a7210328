//! A signer of `v1a` signatures.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};

use super::headers;
use crate::scheme::Scheme;

/// Signs deliveries of a dynamic webhook (`v1a`), in Google's place.
///
/// ```
/// use gemini_webhooks::jwks::KeySet;
/// use gemini_webhooks::testing::{self, Ed25519Signer, ManualClock};
/// use gemini_webhooks::{Clock as _, DeliveryHeaders, Verifier};
///
/// let signer = Ed25519Signer::new("key-1", [7; 32]);
/// let keys = KeySet::from_json(testing::key_set([signer.jwk()]).as_bytes())?;
/// let clock = ManualClock::default();
///
/// let lines = signer.sign("msg_1", clock.unix_seconds(), "{}");
/// let lines = lines.iter().map(|(name, value)| (*name, value));
/// let headers = DeliveryHeaders::from_lines(lines);
/// let verifier = Verifier::for_keys(keys);
/// let verified = verifier.verify(&headers, b"{}", clock.now())?;
/// assert_eq!(verified.key_id(), "key-1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Ed25519Signer {
    kid: String,
    key: SigningKey,
}

impl Ed25519Signer {
    /// Makes a signer with the key of this seed, whose name is `kid`.
    #[must_use]
    pub fn new(kid: &str, seed: [u8; 32]) -> Self {
        Self {
            kid: kid.to_owned(),
            key: SigningKey::from_bytes(&seed),
        }
    }

    /// Returns the public key as a JWK, for [`key_set`].
    #[must_use]
    pub fn jwk(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.key.verifying_key().as_bytes());
        serde_json::json!({
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": self.kid, "x": x,
        })
        .to_string()
    }

    /// Signs a delivery, and returns its three headers.
    ///
    /// Each item is a name and a value. `timestamp` is in seconds since the Unix epoch.
    #[must_use]
    pub fn sign(
        &self,
        id: &str,
        timestamp: u64,
        body: impl AsRef<[u8]>,
    ) -> [(&'static str, String); 3] {
        let message = [format!("{id}.{timestamp}.").as_bytes(), body.as_ref()].concat();
        let signature = STANDARD.encode(self.key.sign(&message).to_bytes());
        headers(id, timestamp, format!("{},{signature}", Scheme::V1a))
    }
}

impl fmt::Debug for Ed25519Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ed25519Signer")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// Returns the JSON text of a key set with these keys.
#[must_use]
pub fn key_set(jwks: impl IntoIterator<Item = String>) -> String {
    let jwks: Vec<String> = jwks.into_iter().collect();
    format!(r#"{{"keys":[{}]}}"#, jwks.join(","))
}
