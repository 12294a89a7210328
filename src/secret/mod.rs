//! The signing secrets of static webhooks, several at a time during a rotation.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeError, Engine as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::error::ConfigError;
use crate::pasted;
use crate::scheme::hmac::KeyedMac;

mod keyring;

pub use keyring::Keyring;
#[cfg(feature = "receiver")]
pub(crate) use keyring::WeakKeyring;
pub(crate) use keyring::{Held, ended_at, valid_at};

/// What a [`Keyring`] holds: a [`SigningSecret`] or an [`EndpointToken`](crate::EndpointToken). It is
/// sealed.
pub trait Secret: sealed::Secret {}

pub(crate) mod sealed {
    use std::str::FromStr;
    use std::sync::Arc;

    use crate::error::ConfigError;

    #[expect(unnameable_types, reason = "it seals `Secret`")]
    pub trait Secret: Clone + FromStr<Err = ConfigError> + Send + Sync + 'static {
        /// A name for it that may be logged.
        fn id(&self) -> &Arc<str>;

        /// Why it may have been cut.
        #[cfg(feature = "receiver")]
        fn doubt(&self) -> Option<String>;
    }
}

const PREFIX: &str = "whsec_";

/// Below this a key could be searched for. Standard Webhooks asks for 24 to 64 bytes.
const MIN_BYTES: usize = 16;

/// What Standard Webhooks asks for.
#[cfg(feature = "receiver")]
const USUAL_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Secrets are seen with and without padding.
const SECRET_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The signing secret of a static webhook: `whsec_` and base64, as Google shows it.
///
/// Google shows a secret once, when the webhook is created or its secret is rotated (Google's guide,
/// copies up to 2026-10-05). Most apps pass the text to
/// [`signing_secret`](crate::WebhookReceiverBuilder::signing_secret) and do not need this type. Use
/// it with a [`Keyring`], a [`Verifier`](crate::Verifier), or for its [`key_id`](Self::key_id).
///
/// The text may lack the prefix or the padding, and may have white space and invisible characters
/// around it. It must be 16 bytes or more; [Standard Webhooks] asks for 24 to 64. What people
/// paste by mistake, such as a name, quotes, a placeholder, a signature, an API key, or the secret
/// encoded in base64 once more, is refused with [`ConfigError::SecretMalformed`], which says what
/// it is.
///
/// `Debug` shows the [`key_id`](Self::key_id) only. A secret cannot be compared, and its bytes are
/// erased from memory when it is dropped.
/// ```
/// use gemini_webhooks::{ConfigError, SigningSecret};
///
/// let secret: SigningSecret = " whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n".parse()?;
/// assert!(secret.key_id().starts_with("sha256:"));
///
/// let mistake = "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="
///     .parse::<SigningSecret>()
///     .unwrap_err();
/// assert!(mistake.to_string().contains("as a signature does"));
/// # Ok::<(), ConfigError>(())
/// ```
///
/// [Standard Webhooks]: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
#[derive(Clone)]
pub struct SigningSecret {
    mac: KeyedMac,
    id: Arc<str>,
    /// Of the key, in bytes.
    #[cfg(feature = "receiver")]
    length: usize,
}

impl SigningSecret {
    /// Makes a secret of its decoded bytes, for instance of a key that you generated yourself.
    ///
    /// # Errors
    ///
    /// [`ConfigError::SecretEmpty`] for no bytes, and [`ConfigError::SecretTooShort`] for fewer than
    /// 16.
    pub fn from_bytes(key: &[u8]) -> Result<Self, ConfigError> {
        match key.len() {
            0 => Err(ConfigError::SecretEmpty),
            bytes if bytes < MIN_BYTES => Err(ConfigError::SecretTooShort { bytes }),
            _ => Ok(Self {
                mac: KeyedMac::new(key),
                id: log_id(b"gemini-webhooks key id\0", key),
                #[cfg(feature = "receiver")]
                length: key.len(),
            }),
        }
    }

    /// Reads a secret from an environment variable, which holds it as text.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Variable`] if the variable is not set, is empty, or does not hold a secret. The
    /// error names the variable and says which.
    pub fn from_env(name: &str) -> Result<Self, ConfigError> {
        pasted::from_env(name, str::parse)
    }

    /// Returns a name for this secret that may be logged: `sha256:` and eight hexadecimal digits.
    ///
    /// It says nothing about the secret itself. [`Delivery::key_id`](crate::Delivery::key_id) and the
    /// log line of a delivery have the name of the secret that signed it, so after a rotation you see
    /// when the old one is no longer used.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.id
    }

    /// How many bytes it has, where that is not what Standard Webhooks asks for: it may have been
    /// cut.
    #[cfg(feature = "receiver")]
    pub(crate) fn unusual_length(&self) -> Option<usize> {
        (!USUAL_BYTES.contains(&self.length)).then_some(self.length)
    }

    pub(crate) fn mac(&self) -> &KeyedMac {
        &self.mac
    }
}

impl FromStr for SigningSecret {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let text = pasted::trim(text);
        let malformed = |reason| ConfigError::SecretMalformed { reason };
        if let Some(reason) = slip(text) {
            return Err(malformed(reason));
        }
        let base64 = text.strip_prefix(PREFIX).unwrap_or(text);
        let key = SECRET_BASE64.decode(base64).map_err(|error| {
            malformed(match error {
                DecodeError::InvalidByte(_, byte) if byte != b'=' => {
                    "has a character that is not base64 (letters, digits, `+`, `/`); copy it again"
                }
                _ => "is not complete base64: a character is missing at the end, or there is one too many; copy it again",
            })
        })?;
        Self::from_bytes(&Zeroizing::new(key))
    }
}

/// What was pasted instead of a secret, or along with it.
fn slip(text: &str) -> Option<&'static str> {
    let starts = |with: &[&str]| with.iter().any(|prefix| text.starts_with(prefix));
    if starts(&["v1,", "v1a,"]) {
        return Some(
            "starts with `v1,`, as a signature does; give the secret, which starts with `whsec_`",
        );
    }
    if starts(&["whsk_", "whpk_"]) {
        return Some(
            "is an asymmetric key (`whsk_`, `whpk_`); give the signing secret, which starts with `whsec_`",
        );
    }
    let behind = text.trim_end_matches('=').split_once('=');
    if text.starts_with(PREFIX) && behind.is_some() {
        return Some("has something after the `=` with which a secret ends; remove it");
    }
    if text.matches(PREFIX).count() > 1 {
        return Some("has `whsec_` twice; give one secret, with one prefix");
    }
    let base64 = text.strip_prefix(PREFIX).unwrap_or(text);
    if is_encoded_again(base64) {
        return Some(
            "is encoded once more in base64, as the `data` of a Kubernetes secret is; decode it, or put it under `stringData`",
        );
    }
    if let Some(reason) = pasted::slip(text).or_else(|| pasted::slip(base64)) {
        return Some(reason);
    }
    if base64.len() == text.len() && is_another_prefix(text) {
        return Some(
            "does not start with the prefix `whsec_`, but with a part of it or with other letters; copy it again",
        );
    }
    if is_hexadecimal(base64) {
        return Some(
            "is hexadecimal or a UUID, but Google's secrets are base64; if it is a key of your own, decode it and call `SigningSecret::from_bytes`",
        );
    }
    if !base64.contains(['-', '_']) {
        return None;
    }
    if pasted::is_made_of_words(base64) {
        return Some("is a placeholder; put the value in its place");
    }
    Some(
        "is in the url-safe alphabet (`-`, `_`), but Google's secrets are standard base64 (`+`, `/`); copy it again",
    )
}

/// Whether it is base64 of a text with a secret in it. Lines are wrapped at 76 characters.
fn is_encoded_again(text: &str) -> bool {
    let text: Zeroizing<String> = Zeroizing::new(text.split_whitespace().collect());
    let decoded = SECRET_BASE64.decode(text.as_str()).map(Zeroizing::new);
    decoded.is_ok_and(|decoded| {
        decoded
            .windows(PREFIX.len())
            .any(|part| part == PREFIX.as_bytes())
    })
}

/// `WHSEC_…`, `whsec-…`, `sec_…`
fn is_another_prefix(text: &str) -> bool {
    ["whsec", "Whsec", "WHSEC"]
        .iter()
        .any(|name| text.starts_with(name))
        || text
            .split_once('_')
            .is_some_and(|(before, _)| "whsec".ends_with(before))
}

/// Hexadecimal digits of one case, dashes aside: by chance, 22 characters of base64 are that once in
/// 2^44 times, and a secret of 24 bytes has 32.
fn is_hexadecimal(text: &str) -> bool {
    let text = text.strip_prefix("0x").unwrap_or(text);
    let digits = |letters: std::ops::RangeInclusive<u8>| {
        let is_digit = |byte: u8| byte.is_ascii_digit() || byte == b'-' || letters.contains(&byte);
        text.bytes().all(is_digit)
    };
    text.len() >= 22 && (digits(b'a'..=b'f') || digits(b'A'..=b'F'))
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningSecret({})", self.id)
    }
}

impl Secret for SigningSecret {}

impl sealed::Secret for SigningSecret {
    fn id(&self) -> &Arc<str> {
        &self.id
    }

    #[cfg(feature = "receiver")]
    fn doubt(&self) -> Option<String> {
        let bytes = self.unusual_length()?;
        Some(format!(
            "the signing secret has {bytes} bytes, and 24 to 64 are usual: check that all of it is there"
        ))
    }
}

/// 32 bits of a digest say nothing about 128 or more bits of key, and suffice to tell a handful
/// of secrets apart.
pub(crate) fn log_id(context: &[u8], secret: &[u8]) -> Arc<str> {
    let digest = Sha256::new_with_prefix(context)
        .chain_update(secret)
        .finalize();
    let mut id = String::from("sha256:");
    for byte in digest.iter().take(4) {
        id.push_str(&format!("{byte:02x}"));
    }
    id.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ConfigError::*;

    #[test]
    fn what_is_a_secret() {
        let cases: &[(&str, Result<(), ConfigError>)] = &[
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Ok(())),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Ok(())),
            (" \twhsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\r\n", Ok(())),
            (
                "\u{feff}whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\u{200b}\u{a0}",
                Ok(()),
            ),
            ("whsec_MDEyMzQ1Njc4OWFiY2RlZg==", Ok(())),
            ("whsec_MDEyMzQ1Njc4OWFiY2RlZg", Ok(())),
            ("whsec_MDEyMzQ1Njc4OWFiY2RlZg=", Ok(())),
            ("whsec_+/+/+/+/+/+/+/+/+/+a+/+/+/+/+/+/", Ok(())),
            // Hexadecimal digits of both cases are base64.
            ("whsec_abcdefABCDEF0123456789abcdefABCD", Ok(())),
            // What the key says is its own affair.
            ("whsec_Z2VtaW5pLXdlYmhvb2tzIHRlc3Qgc2VjcmV0IDE=", Ok(())),
            ("", Err(SecretEmpty)),
            ("   ", Err(SecretEmpty)),
            ("whsec_", Err(SecretEmpty)),
            ("whsec_AA==", Err(SecretTooShort { bytes: 1 })),
            (
                "whsec_MDEyMzQ1Njc4OWFiY2Rl",
                Err(SecretTooShort { bytes: 15 }),
            ),
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
    fn what_people_paste_instead_is_named() {
        const KEY: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let good = format!("whsec_{KEY}");
        let again = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let with = |pattern: &str| pattern.replace('@', &good);
        let cases = [
            // something else
            (
                "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=".to_owned(),
                "as a signature does",
            ),
            (with("v1,@"), "as a signature does"),
            (format!("v1a,{KEY}"), "as a signature does"),
            (format!("whsk_{KEY}"), "asymmetric"),
            (format!("whpk_{KEY}"), "asymmetric"),
            // Letters and digits only: it would be a key of 29 bytes.
            (
                "AIzaSyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q".to_owned(),
                "Google API key",
            ),
            (
                "AIzaSyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O-_6Q".to_owned(),
                "Google API key",
            ),
            (
                "AQ.Ab8RN6I1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6".to_owned(),
                "Google API key",
            ),
            ("ya29.a0AfH6SMBx1b2C3d4E5f6".to_owned(), "access token"),
            ("eyJhbGciOiJSUzI1NiJ9.e30.AAAA".to_owned(), "(JWT)"),
            ("-----BEGIN PUBLIC KEY-----\nMCow".to_owned(), "PEM"),
            ("https://example.com/hook".to_owned(), "a URL"),
            ("op://vault/webhook/secret".to_owned(), "a URL"),
            (
                "webhooks/abcdefghijklmnopqrstuvwxyz0123456789".to_owned(),
                "name of a resource",
            ),
            (
                "projects/1/secrets/webhook/versions/1".to_owned(),
                "name of a resource",
            ),
            (
                "arn:aws:secretsmanager:eu-west-1:1:secret:x".to_owned(),
                "name of a resource",
            ),
            // by another encoding
            ("0123456789abcdef".repeat(4), "hexadecimal"),
            ("0123456789ABCDEF".repeat(4), "hexadecimal"),
            (
                format!("whsec_{}", "0123456789abcdef".repeat(2)),
                "hexadecimal",
            ),
            (
                "0x00112233445566778899aabbccddeeff".to_owned(),
                "hexadecimal",
            ),
            ("123e4567-e89b-12d3-a456-426614174000".to_owned(), "UUID"),
            (again(&good), "encoded once more"),
            (again(&format!("{good}\n")), "encoded once more"),
            (again(&format!("KEY=\"{good}\"")), "encoded once more"),
            (again(&good).replace('S', "S\n"), "encoded once more"),
            (
                again(&good).trim_end_matches('=').to_owned(),
                "encoded once more",
            ),
            (with("@%3D"), "percent-encoded"),
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-w".to_owned(),
                "url-safe",
            ),
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa_w".to_owned(),
                "url-safe",
            ),
            // .env
            (with("WEBHOOK_SIGNING_SECRET=@"), "a name and `=`"),
            (with("export WEBHOOK_SIGNING_SECRET=@"), "a name and `=`"),
            (with("NAME = @"), "a name and `=`"),
            (with("NAME=\"@\""), "a name and `=`"),
            (format!("NAME={KEY}="), "a name and `=`"),
            (with("--secret=@"), "a name and `=`"),
            (with("@ # static webhook"), "a comment"),
            (with("# @"), "a comment"),
            (with("\"@\""), "in quotes"),
            (with("'@'"), "in quotes"),
            (with("`@`"), "in quotes"),
            (with("@\""), "a quote"),
            ("WEBHOOK_SIGNING_SECRET".to_owned(), "name of a variable"),
            ("WEBHOOK_SIGNING_SECRET=".to_owned(), "name of a variable"),
            // YAML, JSON, HTTP
            (with("- @"), "marks of YAML"),
            (with("|\n  @"), "marks of YAML"),
            (with(">- @"), "marks of YAML"),
            (with("secret: @"), "a name and `:`"),
            (with("secret:@"), "a name and `:`"),
            (with("\"secret\": \"@\","), "in quotes"),
            (with("{\"new_signing_secret\":\"@\"}"), "JSON"),
            (with("[\"@\"]"), "JSON"),
            (with("Bearer @"), "`Bearer`"),
            (with("bearer @"), "`Bearer`"),
            (with("@\\n"), "an escape"),
            (with("\\\"@\\\""), "a quote"),
            // a browser, an editor
            (with("“@”"), "in quotes"),
            (with("„@“"), "in quotes"),
            (with("‘@’"), "in quotes"),
            (good.replace("KY", "K\u{200b}Y"), "cannot be seen"),
            (good.replace("whsec_", "whsec_\u{feff}"), "cannot be seen"),
            (good.replace("KY", "K\0Y"), "cannot be seen"),
            (good.replace("KY", "K\u{a0}Y"), "white space"),
            (good.replace('K', "К"), "not ASCII"),
            ("whsec_...LaSw".to_owned(), "shortened"),
            ("whsec_…LaSw".to_owned(), "shortened"),
            ("whsec_…".to_owned(), "shortened"),
            ("whsec_••••••••".to_owned(), "masked"),
            ("whsec_********".to_owned(), "masked"),
            (with("(@)"), "a bracket"),
            // nothing was filled in
            (
                "${{ secrets.WEBHOOK_SIGNING_SECRET }}".to_owned(),
                "a reference",
            ),
            ("${WEBHOOK_SIGNING_SECRET}".to_owned(), "a reference"),
            ("$WEBHOOK_SIGNING_SECRET".to_owned(), "a reference"),
            ("$(cat secret)".to_owned(), "a reference"),
            ("{{ .Values.secret }}".to_owned(), "a reference"),
            ("%WEBHOOK_SIGNING_SECRET%".to_owned(), "a reference"),
            ("whsec_${SECRET}".to_owned(), "a reference"),
            ("<your-secret>".to_owned(), "a placeholder (`<…>`)"),
            ("whsec_<secret>".to_owned(), "a placeholder (`<…>`)"),
            ("whsec_your_secret_here".to_owned(), "is a placeholder"),
            ("whsec_your-webhook-secret".to_owned(), "is a placeholder"),
            ("whsec_test_secret".to_owned(), "is a placeholder"),
            ("your-secret".to_owned(), "is a placeholder"),
            ("whsec_xxxxxxxxxxxxxxxx".to_owned(), "is a placeholder"),
            (
                "whsec_XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX".to_owned(),
                "is a placeholder",
            ),
            (
                "whsec_yourWebhookSecretGoesHere12".to_owned(),
                "is a placeholder",
            ),
            (
                "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(),
                "is a placeholder",
            ),
            (
                "0000000000000000000000000000000000000000000=".to_owned(),
                "is a placeholder",
            ),
            ("changeme".to_owned(), "is a placeholder"),
            (
                "whsec_changemechangemechangeme".to_owned(),
                "is a placeholder",
            ),
            // two, or half of one
            (with("@ @"), "`whsec_` twice"),
            (with("@,@"), "`whsec_` twice"),
            (with("@@"), "`whsec_` twice"),
            (format!("whsec_{good}"), "`whsec_` twice"),
            (format!("{KEY} {KEY}"), "white space"),
            (format!("{KEY},{KEY}"), "a `,` or `;`"),
            (with("@,"), "a `,` or `;`"),
            (with("@;"), "a `,` or `;`"),
            (good.to_uppercase(), "the prefix"),
            (format!("Whsec_{KEY}"), "the prefix"),
            (format!("whsec-{KEY}"), "the prefix"),
            (format!("whsec{KEY}"), "the prefix"),
            (format!("hsec_{KEY}"), "the prefix"),
            (format!("_{KEY}"), "the prefix"),
            (format!("{good}A"), "missing at the end"),
            (good[..good.len() - 1].to_owned(), "missing at the end"),
            (with("@="), "missing at the end"),
            (with("@."), "has a character"),
            (
                "whsec_MfKQ9r8GKYqr!wjUPD8ILPZIo2LaLaSw".to_owned(),
                "has a character",
            ),
        ];
        for (text, part) in &cases {
            let Err(mistake) = text.parse::<SigningSecret>() else {
                panic!("{text:?} is taken");
            };
            assert!(
                matches!(mistake, SecretMalformed { .. }),
                "{text:?}: {mistake}"
            );
            let shown = mistake.to_string();
            assert!(shown.contains(part), "{text:?}: {shown}");
            for secret in [KEY, "LaSw", "AIzaSy", "0123456789"] {
                assert!(!shown.contains(secret), "{text:?}: {shown}");
            }
        }
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let mistake = SigningSecret::from_env("GEMINI_WEBHOOKS_UNSET").unwrap_err();
        assert!(
            mistake
                .to_string()
                .contains("`GEMINI_WEBHOOKS_UNSET` is not set"),
            "{mistake}"
        );
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
        let digits = secret.key_id().strip_prefix("sha256:").unwrap();
        assert_eq!(digits.len(), 8);
        assert!(
            digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{digits}"
        );
        // Padding and prefix do not make another key of it.
        let same: SigningSecret = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        assert_eq!(same.key_id(), secret.key_id());
    }
}
