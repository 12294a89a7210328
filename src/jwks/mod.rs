//! Sets of public keys (JSON Web Key Sets, RFC 7517), for dynamic webhooks.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::value::RawValue;

use crate::headers::Fields;
use crate::json::{members, string};
use crate::scheme::ed25519::{self, PublicKey};

const MAX_BYTES: usize = 64 * 1024;
const MAX_KEYS: usize = 32;

/// Checks of one delivery, over all keys and entries: what a forger can make us do.
const MAX_CHECKS: usize = 16;

/// The public keys that a sender publishes.
///
/// Ed25519 keys are taken (`kty` `OKP`, `crv` `Ed25519`, RFC 8037) whose `use`, if there is one,
/// is `sig`, and whose `alg`, if there is one, is `EdDSA` or `Ed25519`. Any other key is skipped:
/// Google may add sorts of keys at any time. So are keys under which one signature would fit many
/// messages.
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
    keys: Arc<[Key]>,
    /// Which key matched last: most probably the next one too. Shared by clones.
    last: Arc<AtomicUsize>,
}

struct Key {
    id: Arc<str>,
    key: PublicKey,
}

impl KeySet {
    /// Reads a key set.
    ///
    /// # Errors
    ///
    /// It is longer than 64 KiB, is no JSON object with a list `keys`, has more than 32 of them, or
    /// more than 16 or none that can be used.
    pub fn from_json(json: &[u8]) -> Result<Self, KeySetError> {
        if json.len() > MAX_BYTES {
            return Err(KeySetError("longer than 64 KiB"));
        }
        let listed = str::from_utf8(json)
            .ok()
            .and_then(|json| members(json, &["keys"]))
            .and_then(|[keys]| serde_json::from_str::<Vec<&RawValue>>(keys?.get()).ok())
            .ok_or(KeySetError("no JSON object with a list of keys"))?;
        if listed.len() > MAX_KEYS {
            return Err(KeySetError("more than 32 keys"));
        }
        let keys: Arc<[Key]> = listed.into_iter().filter_map(Key::read).collect();
        if keys.is_empty() {
            return Err(KeySetError("no key that can be used"));
        }
        // A key beyond these would never be tried.
        if keys.len() > MAX_CHECKS {
            return Err(KeySetError("more than 16 keys that can be used"));
        }
        let last = Arc::new(AtomicUsize::new(0));
        Ok(Self { keys, last })
    }

    /// How many keys can be used.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The id of the key that made one of the `v1a` signatures. No key id travels with them, so
    /// every key is tried, the one that matched last first.
    pub(crate) fn signer(&self, fields: &Fields<'_>, body: &[u8]) -> Option<&Arc<str>> {
        let last = self.last.load(Ordering::Relaxed);
        let order = (0..self.keys.len())
            .cycle()
            .skip(last)
            .take(self.keys.len());
        let (index, key) = order
            .filter_map(|index| Some((index, self.keys.get(index)?)))
            .flat_map(|(index, key)| {
                ed25519::signatures(fields).map(move |signature| (index, key, signature))
            })
            .take(MAX_CHECKS)
            .find(|(_, key, signature)| key.key.signed(signature, fields, body))
            .map(|(index, key, _)| (index, key))?;
        self.last.store(index, Ordering::Relaxed);
        Some(&key.id)
    }
}

impl Key {
    fn read(jwk: &RawValue) -> Option<Self> {
        let [kty, crv, x, kid, usage, alg] =
            members(jwk.get(), &["kty", "crv", "x", "kid", "use", "alg"])?;
        let is = |value: Option<&RawValue>, expected: &[&str]| {
            value
                .and_then(string)
                .is_some_and(|value| expected.contains(&&*value))
        };
        let fits = is(kty, &["OKP"])
            && is(crv, &["Ed25519"])
            && (usage.is_none() || is(usage, &["sig"]))
            && (alg.is_none() || is(alg, &["EdDSA", "Ed25519"]));
        let x = string(x.filter(|_| fits)?)?;
        let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(&*x).ok()?.try_into().ok()?;
        Some(Self {
            id: kid
                .and_then(string)
                .map_or_else(|| x.as_ref().into(), |kid| kid.as_ref().into()),
            key: PublicKey::new(&bytes)?,
        })
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keys.iter().map(|key| &key.id))
            .finish()
    }
}

/// A key set cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySetError(&'static str);

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key set cannot be used: {}", self.0)
    }
}

impl Error for KeySetError {}

#[cfg(test)]
mod tests {
    use super::*;

    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn read(keys: &str) -> Result<usize, &'static str> {
        let json = format!(r#"{{"keys":[{keys}]}}"#);
        KeySet::from_json(json.as_bytes())
            .map(|set| set.len())
            .map_err(|error| error.0)
    }

    #[test]
    fn which_keys_are_taken() {
        let good = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{X}"}}"#);
        for (what, key, taken) in [
            ("the least", good.clone(), true),
            (
                "for signatures",
                good.replace('}', r#","use":"sig"}"#),
                true,
            ),
            ("of EdDSA", good.replace('}', r#","alg":"EdDSA"}"#), true),
            (
                "of Ed25519",
                good.replace('}', r#","alg":"Ed25519"}"#),
                true,
            ),
            (
                "with more members",
                good.replace('}', r#","kid":"a","x5c":[1],"key_ops":["verify"]}"#),
                true,
            ),
            ("with an odd kid", good.replace('}', r#","kid":7}"#), true),
            (
                "for encryption",
                good.replace('}', r#","use":"enc"}"#),
                false,
            ),
            (
                "with an odd use",
                good.replace('}', r#","use":["sig"]}"#),
                false,
            ),
            (
                "of another algorithm",
                good.replace('}', r#","alg":"RS256"}"#),
                false,
            ),
            ("of another curve", good.replace("Ed25519", "Ed448"), false),
            ("for agreement", good.replace("Ed25519", "X25519"), false),
            ("of another type", good.replace("OKP", "EC"), false),
            ("without a type", good.replace(r#""kty":"OKP","#, ""), false),
            ("without x", good.replace(r#""x""#, r#""y""#), false),
            ("with a short x", good.replace("11qY", ""), false),
            ("with padding", good.replace("URo", "URo="), false),
            ("in the standard alphabet", good.replace('_', "/"), false),
            ("of small order", good.replace(X, &"A".repeat(43)), false),
            (
                "RSA",
                r#"{"kty":"RSA","n":"AQAB","e":"AQAB","use":"sig"}"#.to_owned(),
                false,
            ),
            ("no object", "7".to_owned(), false),
        ] {
            let expected = if taken {
                Ok(1)
            } else {
                Err("no key that can be used")
            };
            assert_eq!(read(&key), expected, "{what}");
            // and it does not spoil a good one
            assert_eq!(
                read(&format!("{key},{good}")),
                Ok(1 + usize::from(taken)),
                "{what}"
            );
        }
        let others = vec!["7"; 16].join(",");
        let sixteen = vec![good.as_str(); 16].join(",");
        assert_eq!(read(&format!("{others},{sixteen}")), Ok(16));
        let seventeen = read(&format!("{good},{sixteen}"));
        assert_eq!(seventeen, Err("more than 16 keys that can be used"));
        assert_eq!(
            read(&vec![good.as_str(); 33].join(",")),
            Err("more than 32 keys")
        );
        assert_eq!(read(""), Err("no key that can be used"));
    }

    #[test]
    fn what_is_no_key_set() {
        let deep = format!(r#"{{"keys":{}"#, "[".repeat(60_000));
        for json in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"keys":{}}"#,
            r#"{"keys":null}"#,
            "<html>",
            deep.as_str(),
        ] {
            let error = KeySet::from_json(json.as_bytes()).unwrap_err();
            assert_eq!(error.0, "no JSON object with a list of keys");
        }
        let long = format!("{}{}", r#"{"keys":[]}"#, " ".repeat(MAX_BYTES));
        assert_eq!(
            KeySet::from_json(long.as_bytes()).unwrap_err().0,
            "longer than 64 KiB"
        );
    }
}
