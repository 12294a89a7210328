//! A set of public keys.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::value::RawValue;

use crate::headers::Fields;
use crate::json::{members, string};
use crate::scheme::ed25519;
#[cfg(feature = "jwt")]
use crate::scheme::jwt;

pub(super) const MAX_BYTES: usize = 64 * 1024;
const MAX_KEYS: usize = 32;

/// Checks of one delivery, over all keys and entries: what a forger can make us do.
const MAX_CHECKS: usize = 16;

/// The public keys that a sender publishes.
///
/// Ed25519 keys are taken (`kty` `OKP`, `crv` `Ed25519`, RFC 8037) whose `use`, if there is one,
/// is `sig`, and whose `alg`, if there is one, is `EdDSA` or `Ed25519`; with the feature `jwt` also
/// RSA keys of 2048 to 8192 bits with a `kid`, whose `alg`, if there is one, is `RS256`. Any other
/// key is skipped: Google may add sorts of keys at any time. So are keys under which one signature
/// would fit many messages.
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
    /// Which Ed25519 key matched last: most probably the next one too. Shared by clones.
    last: AtomicUsize,
}

impl KeySet {
    /// Reads a key set.
    ///
    /// # Errors
    ///
    /// It is longer than 64 KiB, is no JSON object with a list `keys`, has more than 32 of them, or
    /// more than 16 Ed25519 keys, or none that can be used.
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
        let mut keys = Keys::default();
        for jwk in listed {
            keys.add(jwk);
        }
        if keys.ids().next().is_none() {
            return Err(KeySetError("no key that can be used"));
        }
        // A key beyond these would never be tried.
        if keys.ed25519.len() > MAX_CHECKS {
            return Err(KeySetError("more than 16 Ed25519 keys"));
        }
        Ok(Self {
            keys: Arc::new(keys),
        })
    }

    /// How many keys can be used.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.keys.ids().count()
    }

    pub(super) fn has_ed25519(&self) -> bool {
        !self.keys.ed25519.is_empty()
    }

    /// What the Ed25519 keys are called.
    pub(crate) fn ed25519_ids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.keys.ed25519.iter().map(|(id, _)| id)
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
    /// Adds a JWK (RFC 7517, 4), unless it is one to skip.
    fn add(&mut self, jwk: &RawValue) {
        const NAMES: [&str; 8] = ["kty", "use", "alg", "kid", "crv", "x", "n", "e"];
        let Some([kty, usage, alg, kid, crv, x, n, e]) = members(jwk.get(), &NAMES) else {
            return;
        };
        let is = |value: Option<&RawValue>, expected: &[&str]| {
            value
                .and_then(string)
                .is_some_and(|value| expected.contains(&&*value))
        };
        let absent_or = |value: Option<&RawValue>, expected| value.is_none() || is(value, expected);
        let bytes = |value: Option<&RawValue>| URL_SAFE_NO_PAD.decode(&*string(value?)?).ok();
        let kid = kid.and_then(string);
        if !absent_or(usage, &["sig"]) {
            return;
        }
        if is(kty, &["OKP"]) && is(crv, &["Ed25519"]) && absent_or(alg, &["EdDSA", "Ed25519"]) {
            // What names such a key is for the log only, so its text does as well.
            let id = kid.or_else(|| x.and_then(string));
            let key = bytes(x)
                .and_then(|x| x.try_into().ok())
                .and_then(|x| ed25519::PublicKey::new(&x));
            self.ed25519
                .extend(id.map(|id| id.as_ref().into()).zip(key));
            return;
        }
        #[cfg(feature = "jwt")]
        if is(kty, &["RSA"]) && absent_or(alg, &["RS256"]) {
            let key = bytes(n)
                .zip(bytes(e))
                .and_then(|(n, e)| jwt::PublicKey::new(&n, &e));
            self.rsa.extend(kid.map(|kid| kid.as_ref().into()).zip(key));
        }
        #[cfg(not(feature = "jwt"))]
        let _ = (n, e);
    }

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

    const JWT: bool = cfg!(feature = "jwt");

    fn rsa(modulus: &[u8], more: &str) -> String {
        let n = URL_SAFE_NO_PAD.encode(modulus);
        format!(r#"{{"kty":"RSA","kid":"r","n":"{n}","e":"AQAB"{more}}}"#)
    }

    /// Sixteen checks are enough for the first of two signatures, whichever keys made them.
    #[test]
    fn a_delivery_that_two_of_sixteen_keys_signed() {
        use base64::engine::general_purpose::STANDARD;
        use ed25519_dalek::{Signer as _, SigningKey};

        let keys: Vec<SigningKey> = (0..16).map(|n| SigningKey::from_bytes(&[n; 32])).collect();
        let jwk = |key: &SigningKey| {
            let x = URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#)
        };
        let listed: Vec<String> = keys.iter().map(jwk).collect();
        let json = format!(r#"{{"keys":[{}]}}"#, listed.join(","));
        let set = KeySet::from_json(json.as_bytes()).unwrap();
        let sign = |key: &SigningKey| {
            let signature = key.sign(b"msg_1.1700000000.{}").to_bytes();
            format!("v1a,{}", STANDARD.encode(signature))
        };
        let list = format!("{} {}", sign(&keys[14]), sign(&keys[15]));
        let fields = Fields {
            id: "msg_1",
            timestamp: b"1700000000",
            sent_at: 1_700_000_000,
            signatures: crate::headers::Signatures::reread(list.as_bytes()),
        };
        assert!(set.signer(&fields, b"{}").is_some());
        assert!(set.signer(&fields, b"{ }").is_none());
    }

    #[test]
    fn keys_that_an_older_set_has_not() {
        let set =
            |keys: &str| KeySet::from_json(format!(r#"{{"keys":[{keys}]}}"#).as_bytes()).unwrap();
        let one = format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"1","x":"{X}"}}"#);
        // RFC 8032, 7.1, test 2.
        let two = one.replace(X, "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw");
        assert!(
            set(&one)
                .without(&set(&one.replace("\"1\"", "\"9\"")))
                .is_none()
        );
        let new = set(&format!("{one},{two}")).without(&set(&one)).unwrap();
        assert_eq!(new.len(), 1);
        assert!(new.without(&set(&two)).is_none());
        if JWT {
            let (a, b) = (rsa(&[0xff; 256], ""), rsa(&[0xf1; 256], ""));
            let renamed = a.replace("\"r\"", "\"s\"");
            let new =
                set(&[&*a, &b, &renamed, &one].join(",")).without(&set(&[&*a, &one].join(",")));
            assert_eq!(new.unwrap().len(), 2);
        }
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
            ("RSA of 24 bits", rsa(&[1, 0, 1], ""), false),
            ("RSA of 1024 bits", rsa(&[0xff; 128], ""), false),
            ("RSA of 2048 bits", rsa(&[0xff; 256], ""), JWT),
            ("RSA of RS256", rsa(&[0xff; 256], r#","alg":"RS256""#), JWT),
            (
                "RSA of RS512",
                rsa(&[0xff; 256], r#","alg":"RS512""#),
                false,
            ),
            (
                "RSA to encrypt",
                rsa(&[0xff; 256], r#","use":"enc""#),
                false,
            ),
            (
                "RSA without a name",
                rsa(&[0xff; 256], "").replace("kid", "kind"),
                false,
            ),
            (
                "RSA with a zero in front",
                rsa(&[&[0][..], &[0xff; 256]].concat(), ""),
                false,
            ),
            (
                "elliptic curve",
                r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA","kid":"a"}"#.to_owned(),
                false,
            ),
            (
                "symmetric",
                r#"{"kty":"oct","k":"AAAA","kid":"a"}"#.to_owned(),
                false,
            ),
            (
                "of tomorrow",
                r#"{"kty":"AKP","pub":"AAAA","kid":"a"}"#.to_owned(),
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
        assert_eq!(seventeen, Err("more than 16 Ed25519 keys"));
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
