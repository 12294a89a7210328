//! Reading one key (JWK, RFC 7517, 4), as others write them.
//!
//! What deviates from the letter without a risk is taken, as other libraries do;
//! `tests/vectors/jwks.json` lists what, beside their verdicts.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::value::RawValue;

use crate::json::{members, string};
use crate::scheme::ed25519;
#[cfg(feature = "jwt")]
use crate::scheme::jwt;

/// Of a source's text in an error or a log line, in characters.
const MAX_SHOWN: usize = 64;

/// A key that can be used, and its name.
pub(super) enum Key {
    Ed25519(Arc<str>, ed25519::PublicKey),
    #[cfg(feature = "jwt")]
    Rsa(Arc<str>, jwt::PublicKey),
}

/// A key of a set that is not used, with the reason.
///
/// [`KeySet::skipped`](super::KeySet::skipped) returns these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedKey {
    kid: Option<Box<str>>,
    reason: Box<str>,
    faulty: bool,
}

impl SkippedKey {
    /// Returns at most 64 characters of its `kid`, if it has one.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Returns why the key is not used.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns whether something is wrong with the key.
    ///
    /// `false` means that the key is intact, but of another sort or for another purpose.
    #[must_use]
    pub fn is_faulty(&self) -> bool {
        self.faulty
    }
}

/// Shows the `kid`, escaped, and the reason.
impl fmt::Display for SkippedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kid {
            Some(kid) => write!(f, "{kid:?}: {}", self.reason),
            None => write!(f, "without a kid: {}", self.reason),
        }
    }
}

/// Why a key is not used.
enum Reason {
    OtherPurpose(String),
    Faulty(&'static str),
}

/// The members of a JWK that matter. `null` and an empty text say nothing: serializers write them
/// for a field without a value.
struct Jwk<'a> {
    kty: Option<&'a RawValue>,
    usage: Option<&'a RawValue>,
    key_ops: Option<&'a RawValue>,
    alg: Option<&'a RawValue>,
    kid: Option<&'a RawValue>,
    crv: Option<&'a RawValue>,
    x: Option<&'a RawValue>,
    #[cfg(feature = "jwt")]
    n: Option<&'a RawValue>,
    #[cfg(feature = "jwt")]
    e: Option<&'a RawValue>,
    d: Option<&'a RawValue>,
}

/// The key, or why it is skipped.
pub(super) fn key(jwk: &RawValue) -> Result<Key, SkippedKey> {
    const NAMES: [&str; 10] = [
        "kty", "use", "key_ops", "alg", "kid", "crv", "x", "n", "e", "d",
    ];
    let skipped = |kid: Option<&RawValue>, reason| {
        let kid = kid.and_then(string);
        let (reason, faulty) = match reason {
            Reason::OtherPurpose(reason) => (reason.into(), false),
            Reason::Faulty(reason) => (reason.into(), true),
        };
        SkippedKey {
            kid: kid.map(|kid| bounded(&kid).into()),
            reason,
            faulty,
        }
    };
    let Some(found) = members(jwk.get(), &NAMES) else {
        return Err(skipped(None, Reason::Faulty("it is not a JSON object")));
    };
    let says = |value: &&RawValue| !matches!(value.get(), "null" | "\"\"");
    let [kty, usage, key_ops, alg, kid, crv, x, n, e, d] = found.map(|value| value.filter(says));
    #[cfg(not(feature = "jwt"))]
    let _ = (n, e);
    let jwk = Jwk {
        kty,
        usage,
        key_ops,
        alg,
        kid,
        crv,
        x,
        #[cfg(feature = "jwt")]
        n,
        #[cfg(feature = "jwt")]
        e,
        d,
    };
    jwk.key().map_err(|reason| skipped(kid, reason))
}

impl Jwk<'_> {
    fn key(&self) -> Result<Key, Reason> {
        match self.kty.and_then(string).as_deref() {
            Some("OKP") => {
                self.is("crv", self.crv, &["Ed25519"])?;
                self.is_for_signatures(&["EdDSA", "Ed25519"])?;
                self.ed25519().map_err(Reason::Faulty)
            }
            #[cfg(feature = "jwt")]
            Some("RSA") => {
                self.is_for_signatures(&["RS256"])?;
                self.rsa().map_err(Reason::Faulty)
            }
            #[cfg(not(feature = "jwt"))]
            Some("RSA") => Err(Reason::OtherPurpose(
                "RSA keys are for JWTs (feature `jwt`)".to_owned(),
            )),
            _ => Err(other("kty", self.kty)),
        }
    }

    fn is(&self, name: &str, value: Option<&RawValue>, expected: &[&str]) -> Result<(), Reason> {
        match value.and_then(string) {
            Some(text) if expected.contains(&&*text) => Ok(()),
            _ => Err(other(name, value)),
        }
    }

    /// Whether nothing in it speaks for another purpose.
    fn is_for_signatures(&self, algorithms: &[&str]) -> Result<(), Reason> {
        if self.usage.is_some() {
            self.is("use", self.usage, &["sig"])?;
        }
        if self.alg.is_some() {
            self.is("alg", self.alg, algorithms)?;
        }
        // `sign` stands in the public half of keys that WebCrypto exported.
        let operations = self
            .key_ops
            .and_then(|list| serde_json::from_str::<Vec<Cow<'_, str>>>(list.get()).ok());
        if operations.is_some_and(|list| {
            !list.is_empty() && !list.iter().any(|one| one == "verify" || one == "sign")
        }) {
            return Err(other("key_ops", self.key_ops));
        }
        Ok(())
    }

    fn is_public(&self) -> Result<(), &'static str> {
        match self.d {
            Some(_) => Err("its private half (`d`) is public, so anybody can sign with it"),
            None => Ok(()),
        }
    }

    fn ed25519(&self) -> Result<Key, &'static str> {
        self.is_public()?;
        let x = self.x.and_then(string).ok_or("it has no `x`")?;
        let bytes = bytes(&x).ok_or("its `x` is not base64url")?;
        let bytes = bytes
            .try_into()
            .map_err(|_| "its `x` does not have 32 bytes")?;
        let key = ed25519::PublicKey::new(&bytes)
            .ok_or("its `x` is not a point of the curve, or is one with which forgery is easy")?;
        // What names such a key is for the log only, so a part of the name, or the key's text, does
        // as well.
        let id = match self.kid.and_then(string) {
            Some(kid) => bounded(&kid),
            None => x.into_owned(),
        };
        Ok(Key::Ed25519(id.into(), key))
    }

    #[cfg(feature = "jwt")]
    fn rsa(&self) -> Result<Key, &'static str> {
        self.is_public()?;
        let kid = self
            .kid
            .ok_or("it has no `kid`, by which a JWT names its key")?;
        let kid = string(kid).ok_or("its `kid` is not a string")?;
        let n = self.n.and_then(string).ok_or("it has no `n`")?;
        let e = self.e.and_then(string).ok_or("it has no `e`")?;
        let n = bytes(&n).ok_or("its `n` is not base64url")?;
        let e = bytes(&e).ok_or("its `e` is not base64url")?;
        Ok(Key::Rsa(kid.as_ref().into(), jwt::PublicKey::new(&n, &e)?))
    }
}

fn other(name: &str, value: Option<&RawValue>) -> Reason {
    Reason::OtherPurpose(match value.map(|value| (value, string(value))) {
        None => format!("it has no `{name}`"),
        Some((_, Some(text))) => format!("its `{name}` is {:?}", bounded(&text)),
        Some((value, None)) => {
            format!("its `{name}` is {}", bounded(value.get()).escape_debug())
        }
    })
}

/// So much of a text as is shown.
pub(super) fn bounded(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", text.split_at(end).0),
        None => text.to_owned(),
    }
}

/// Base64url; with padding, unused bits or the other alphabet it still stands for the same bytes,
/// and it is bytes that are compared.
fn bytes(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::URL_SAFE,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    LENIENT
        .decode(text.replace('+', "-").replace('/', "_"))
        .ok()
}
