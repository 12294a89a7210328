//! Shared secrets of static webhooks, several at once while one replaces another.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::error::ConfigError;
use crate::scheme::hmac::KeyedMac;

const PREFIX: &str = "whsec_";

/// Below this a key could be searched for. Standard Webhooks asks for 24 to 64 bytes.
const MIN_BYTES: usize = 16;

/// Secrets are seen with and without padding.
const SECRET_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The shared secret of a static webhook, as Google shows it once: `whsec_` and base64.
///
/// Accepted with or without the prefix, padded or not, with white space around it. 24 to 64
/// bytes are usual ([Standard Webhooks]); fewer than 16 are refused. The usual slips of pasting
/// get a [`ConfigError`] that names them.
///
/// It shows itself in `Debug` without its bytes, cannot be compared, and is wiped on drop.
///
/// ```
/// use gemini_webhooks::{ConfigError, SigningSecret};
///
/// let secret: SigningSecret = " whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n".parse()?;
/// assert!(matches!(
///     "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=".parse::<SigningSecret>(),
///     Err(ConfigError::SecretIsSignature)
/// ));
/// # Ok::<(), ConfigError>(())
/// ```
///
/// [Standard Webhooks]: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
#[derive(Clone)]
pub struct SigningSecret {
    mac: KeyedMac,
    id: Arc<str>,
}

impl SigningSecret {
    /// From the decoded bytes of a secret.
    ///
    /// # Errors
    ///
    /// [`ConfigError::SecretEmpty`] and [`ConfigError::SecretTooShort`] (fewer than 16 bytes).
    pub fn from_bytes(key: &[u8]) -> Result<Self, ConfigError> {
        match key.len() {
            0 => Err(ConfigError::SecretEmpty),
            bytes if bytes < MIN_BYTES => Err(ConfigError::SecretTooShort { bytes }),
            _ => Ok(Self {
                mac: KeyedMac::new(key),
                id: key_id(key),
            }),
        }
    }

    /// A name for this secret that may be logged: `sha256:` and eight hexadecimal digits. It
    /// tells which of several secrets signed a delivery, and so when an old one can go.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.id
    }

    pub(crate) fn shared_key_id(&self) -> &Arc<str> {
        &self.id
    }

    pub(crate) fn mac(&self) -> &KeyedMac {
        &self.mac
    }
}

impl FromStr for SigningSecret {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let text = text.trim();
        if text.starts_with(['"', '\'', '`']) || text.ends_with(['"', '\'', '`']) {
            return Err(ConfigError::SecretQuoted);
        }
        if text.starts_with("v1,") {
            return Err(ConfigError::SecretIsSignature);
        }
        if text.starts_with("whsk_") || text.starts_with("whpk_") {
            return Err(ConfigError::SecretIsAsymmetric);
        }
        let base64 = text.strip_prefix(PREFIX).unwrap_or(text);
        if base64.contains(char::is_whitespace) {
            return Err(ConfigError::SecretHasWhitespace);
        }
        if base64.contains(['-', '_']) {
            return Err(ConfigError::SecretUrlSafe);
        }
        let key = SECRET_BASE64
            .decode(base64)
            .map(Zeroizing::new)
            .map_err(|_| ConfigError::SecretNotBase64)?;
        Self::from_bytes(&key)
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningSecret({})", self.id)
    }
}

/// 32 bits of a digest say nothing about 128 or more bits of key, and suffice to tell a handful
/// of secrets apart.
fn key_id(key: &[u8]) -> Arc<str> {
    let digest = Sha256::new_with_prefix(b"gemini-webhooks key id\0")
        .chain_update(key)
        .finalize();
    let mut id = String::from("sha256:");
    for byte in digest.iter().take(4) {
        id.push_str(&format!("{byte:02x}"));
    }
    id.into()
}

/// The secrets that a receiver accepts, each for ever or until an end.
///
/// Google keeps the old secret valid for up to 24 hours after a rotation and meanwhile signs
/// with both, so a receiver holds both: the new one, and the old one with its end.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use gemini_webhooks::{ConfigError, Keyring};
///
/// # let rotated_at = SystemTime::UNIX_EPOCH;
/// let keyring = Keyring::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse()?)
///     .add_until(
///         "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".parse()?,
///         rotated_at + Duration::from_secs(24 * 60 * 60),
///     );
/// assert_eq!(keyring.len(), 2);
/// # Ok::<(), ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Keyring {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    secret: SigningSecret,
    end: Option<SystemTime>,
}

impl Keyring {
    /// With one secret, without an end.
    #[must_use]
    pub fn new(secret: SigningSecret) -> Self {
        Self {
            entries: Vec::new(),
        }
        .add(secret)
    }

    /// With one secret that is no longer accepted from `end` on.
    #[must_use]
    pub fn until(secret: SigningSecret, end: SystemTime) -> Self {
        Self {
            entries: Vec::new(),
        }
        .add_until(secret, end)
    }

    /// Adds a secret without an end.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "`+` would not say what it does"
    )]
    pub fn add(mut self, secret: SigningSecret) -> Self {
        self.entries.push(Entry { secret, end: None });
        self
    }

    /// Adds a secret that is no longer accepted from `end` on, by wall time.
    #[must_use]
    pub fn add_until(mut self, secret: SigningSecret, end: SystemTime) -> Self {
        self.entries.push(Entry {
            secret,
            end: Some(end),
        });
        self
    }

    /// How many secrets it holds, those past their end included.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Every secret of `other` as well.
    #[cfg(feature = "receiver")]
    pub(crate) fn extend(&mut self, other: Self) {
        self.entries.extend(other.entries);
    }

    /// The secrets that have not reached their end.
    pub(crate) fn valid_at(&self, now: SystemTime) -> impl Iterator<Item = &SigningSecret> {
        self.entries
            .iter()
            .filter(move |entry| entry.end.is_none_or(|end| now < end))
            .map(|entry| &entry.secret)
    }

    /// The secrets that have reached their end, each with it, the last one first.
    pub(crate) fn ended_at(&self, now: SystemTime) -> Vec<(&SigningSecret, SystemTime)> {
        let mut ended: Vec<_> = self
            .entries
            .iter()
            .filter_map(|entry| Some((&entry.secret, entry.end.filter(|end| *end <= now)?)))
            .collect();
        ended.sort_by_key(|(_, end)| Reverse(*end));
        ended
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use ConfigError::*;

    #[test]
    fn what_is_a_secret() {
        let cases: &[(&str, Result<(), ConfigError>)] = &[
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Ok(())),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Ok(())),
            (" \twhsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\r\n", Ok(())),
            ("whsec_MDEyMzQ1Njc4OWFiY2RlZg==", Ok(())),
            ("whsec_MDEyMzQ1Njc4OWFiY2RlZg", Ok(())),
            ("whsec_MDEyMzQ1Njc4OWFiY2RlZg=", Ok(())),
            ("", Err(SecretEmpty)),
            ("   ", Err(SecretEmpty)),
            ("whsec_", Err(SecretEmpty)),
            ("whsec_AA==", Err(SecretTooShort { bytes: 1 })),
            (
                "whsec_MDEyMzQ1Njc4OWFiY2Rl",
                Err(SecretTooShort { bytes: 15 }),
            ),
            (
                "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
                Err(SecretIsSignature),
            ),
            (
                "v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                Err(SecretIsSignature),
            ),
            (
                "\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"",
                Err(SecretQuoted),
            ),
            (
                "'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'",
                Err(SecretQuoted),
            ),
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"",
                Err(SecretQuoted),
            ),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-w", Err(SecretUrlSafe)),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa_w", Err(SecretUrlSafe)),
            (
                "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                Err(SecretIsAsymmetric),
            ),
            (
                "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                Err(SecretIsAsymmetric),
            ),
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                Err(SecretHasWhitespace),
            ),
            ("whsec_not*base64*at*all*not*base64*", Err(SecretNotBase64)),
            ("whsec_é", Err(SecretNotBase64)),
        ];
        for (text, expected) in cases {
            assert_eq!(
                &text.parse::<SigningSecret>().map(drop),
                expected,
                "{text:?}"
            );
        }
    }

    #[test]
    fn debug_tells_nothing_of_the_bytes() {
        let text = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let secret: SigningSecret = text.parse().unwrap();
        let shown = format!("{secret:?} {:?}", Keyring::new(secret.clone()));
        assert!(shown.contains(secret.key_id()));
        assert!(
            !shown.contains("MfKQ") && !shown.contains("31f2"),
            "{shown}"
        );
        // Padding and prefix do not make another key of it.
        let same: SigningSecret = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        assert_eq!(same.key_id(), secret.key_id());
    }

    #[test]
    fn a_secret_ends_when_it_should() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let secret = |byte| SigningSecret::from_bytes(&[byte; 24]).unwrap();
        let keyring = Keyring::new(secret(1)).add_until(secret(2), at(100));
        assert_eq!(keyring.valid_at(at(99)).count(), 2);
        assert_eq!(keyring.valid_at(at(100)).count(), 1);
        assert_eq!(keyring.valid_at(at(101)).count(), 1);
    }
}
