//! A set of public keys.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::value::RawValue;

use crate::headers::Fields;
use crate::json::members;
use crate::scheme::ed25519;
#[cfg(feature = "jwt")]
use crate::scheme::jwt;
use crate::trace;

mod error;
mod read;

pub use error::KeySetError;
pub use read::SkippedKey;

pub(super) const MAX_BYTES: usize = 64 * 1024;
const MAX_KEYS: usize = 32;

/// In front of JSON it is not allowed (RFC 8259, 8.1), and editors write it all the same.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Checks of one delivery, over all keys and entries: what a forger can make us do.
const MAX_CHECKS: usize = 16;

/// A set of public keys (JSON Web Key Set, RFC 7517). It is cheap to clone.
///
/// It uses these keys:
///
/// - Ed25519 keys (`kty` is `OKP`, `crv` is `Ed25519`, RFC 8037), for `v1a` signatures. If a key has
///   `alg`, it must be `EdDSA` or `Ed25519`.
/// - With the feature `jwt`, RSA keys of 2048 to 8192 bits with a `kid`, for JWTs. If a key has
///   `alg`, it must be `RS256`.
///
/// Every other key is [skipped](Self::skipped), because Google may add sorts of keys at any time.
/// Skipped are also keys whose `use` or `key_ops` is not for verifying, weak keys with which one
/// signature would fit many messages, and keys that are published with their private half.
///
/// Deviations from RFC 7517 that carry no risk are accepted: `null` or an empty string for a member
/// without a value, zeros in front of RSA's numbers, base64 with padding or in the standard
/// alphabet, and a byte order mark in front of the JSON.
///
/// ```
/// use gemini_webhooks::jwks::KeySet;
///
/// let json = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1",
///     "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
/// assert_eq!(KeySet::from_json(json)?.len(), 1);
/// # Ok::<(), gemini_webhooks::jwks::KeySetError>(())
/// ```
#[derive(Clone)]
pub struct KeySet {
    keys: Arc<Keys>,
}

#[derive(Default)]
struct Keys {
    ed25519: Vec<(Arc<str>, ed25519::PublicKey)>,
    #[cfg(feature = "jwt")]
    rsa: Vec<(Arc<str>, jwt::PublicKey)>,
    skipped: Vec<SkippedKey>,
    /// Which Ed25519 key matched last: most probably the next one too. Shared by clones.
    last: AtomicUsize,
}

impl KeySet {
    /// Reads a key set from its JSON text.
    ///
    /// # Errors
    ///
    /// The text is longer than 64 KiB, is not a JSON object with a list `keys`, or has more than 32
    /// keys, more than 16 Ed25519 keys, or none that can be used. The error says what the text
    /// looks like, and why its keys cannot be used.
    pub fn from_json(json: &[u8]) -> Result<Self, KeySetError> {
        if json.len() > MAX_BYTES {
            return Err(KeySetError::new("it is longer than 64 KiB"));
        }
        let json = json.strip_prefix(BYTE_ORDER_MARK).unwrap_or(json);
        let listed = str::from_utf8(json)
            .ok()
            .and_then(|json| members(json, &["keys"]))
            .and_then(|[keys]| serde_json::from_str::<Vec<&RawValue>>(keys?.get()).ok())
            .ok_or_else(|| KeySetError::no_key_set(json))?;
        if listed.len() > MAX_KEYS {
            return Err(KeySetError::new("it has more than 32 keys"));
        }
        let mut keys = Keys::default();
        for jwk in listed {
            match read::key(jwk) {
                Ok(read::Key::Ed25519(id, key)) => keys.ed25519.push((id, key)),
                #[cfg(feature = "jwt")]
                Ok(read::Key::Rsa(id, key)) => keys.rsa.push((id, key)),
                Err(skipped) => keys.skipped.push(skipped),
            }
        }
        if keys.ids().next().is_none() {
            return Err(KeySetError::no_usable_key(&keys.skipped));
        }
        // A key beyond these would never be tried.
        if keys.ed25519.len() > MAX_CHECKS {
            return Err(KeySetError::new("it has more than 16 Ed25519 keys"));
        }
        Ok(Self {
            keys: Arc::new(keys),
        })
    }

    /// Returns how many keys can be used. It is at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.keys.ids().count()
    }

    /// Returns the keys that are not used, each with the reason. A receiver logs them.
    #[must_use]
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.keys.skipped
    }

    pub(super) fn has_ed25519(&self) -> bool {
        !self.keys.ed25519.is_empty()
    }

    /// What the Ed25519 keys are called.
    pub(crate) fn ed25519_ids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.keys.ed25519.iter().map(|(id, _)| id)
    }

    /// Says in the log which keys are not used, and why.
    pub(crate) fn log_skipped(&self) {
        for key in self.skipped() {
            trace::key_skipped(key.kid(), key.reason(), key.is_faulty());
        }
    }

    /// The id of the key that made one of the `v1a` signatures. No key id travels with them, so
    /// every key is tried, the one that matched last first.
    pub(crate) fn signer(&self, fields: &Fields<'_>, body: &[u8]) -> Option<&Arc<str>> {
        let keys = &self.keys.ed25519;
        let last = self.keys.last.load(Ordering::Relaxed);
        // One signature after the other, each under all keys: of a delivery that two keys signed, the
        // first is enough, however many keys there are.
        let (index, (id, _)) = ed25519::signatures(fields)
            .flat_map(|signature| {
                let order = (0..keys.len()).cycle().skip(last).take(keys.len());
                let keys = order.filter_map(|index| Some((index, keys.get(index)?)));
                keys.map(move |(index, key)| (index, key, signature))
            })
            .take(MAX_CHECKS)
            .find(|(_, (_, key), signature)| key.signed(signature, fields, body))
            .map(|(index, key, _)| (index, key))?;
        self.keys.last.store(index, Ordering::Relaxed);
        Some(id)
    }

    /// The RSA keys of this name: one, unless the sender is careless.
    #[cfg(feature = "jwt")]
    pub(crate) fn named(&self, kid: &str) -> impl Iterator<Item = &(Arc<str>, jwt::PublicKey)> {
        self.keys.rsa.iter().filter(move |(id, _)| **id == *kid)
    }

    /// The keys of this set that `old` has not, if there are any.
    pub(crate) fn without(&self, old: &Self) -> Option<Self> {
        let known = &old.keys;
        let mut keys = Keys::default();
        for key in &self.keys.ed25519 {
            if !known.ed25519.iter().any(|(_, known)| known.is_same(&key.1)) {
                keys.ed25519.push(key.clone());
            }
        }
        #[cfg(feature = "jwt")]
        for (id, key) in &self.keys.rsa {
            let same = |(known_id, known): &(Arc<str>, jwt::PublicKey)| {
                known_id == id && known.is_same(key)
            };
            if !known.rsa.iter().any(same) {
                keys.rsa.push((Arc::clone(id), key.clone()));
            }
        }
        keys.ids().next()?;
        Some(Self {
            keys: Arc::new(keys),
        })
    }

    /// Whether both are clones of one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.keys, &other.keys)
    }
}

impl Keys {
    fn ids(&self) -> impl Iterator<Item = &Arc<str>> {
        let ids = self.ed25519.iter().map(|(id, _)| id);
        #[cfg(feature = "jwt")]
        let ids = ids.chain(self.rsa.iter().map(|(id, _)| id));
        ids
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.ids()).finish()
    }
}

#[cfg(test)]
mod tests;
