//! The secret in the URL of a webhook.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
#[cfg(feature = "receiver")]
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
#[cfg(feature = "receiver")]
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::error::ConfigError;
use crate::pasted;
#[cfg(feature = "receiver")]
use crate::secret::Keyring;
use crate::secret::{Secret, log_id, sealed};

#[cfg(feature = "receiver")]
mod accepted;

#[cfg(feature = "receiver")]
pub(crate) use accepted::EndpointTokens;

/// 128 bits in the URL-safe alphabet.
pub(crate) const MIN_CHARS: usize = 22;

/// A secret in your webhook's URL, which proves that a delivery is yours.
///
/// You need it for dynamic webhooks. They are signed with keys that are the same for all of
/// Google's customers, and neither the URL nor the project is signed. So a valid signature proves
/// that Google sent the delivery, not that it is about *your* job: anyone with an API key can name
/// your URL in a job of theirs. They do not know the token. It never replaces the signature.
///
/// Pass it to [`endpoint_token`](crate::WebhookReceiverBuilder::endpoint_token), and give Google the
/// URL that [`url`](Self::url) returns.
///
/// # Where it stands in the URL
///
/// - In the query, once, as `token=…`. This works behind every router.
/// - Or as the last segment of the path. Then the layer must see the whole path. axum's
///   `.nest("/hook/{token}", …)` hides the part that it matched, and the delivery is refused. Put
///   the layer around the nested router, nest at `/hook` with a route `/{token}` inside, or use the
///   query. One slash after the token is ignored, because `NormalizePath` may append it.
///
/// **Access logs and tracing middleware print URLs**, and the token with them. Use the query form
/// and log the route or the path only.
///
/// # Example
/// ```
/// use gemini_webhooks::{ConfigError, EndpointToken};
///
/// let token = EndpointToken::new("Zm9yLWRvY3VtZW50YXRpb24tb25seQ")?;
/// assert_eq!(
///     token.url("https://example.com/gemini-webhook"),
///     "https://example.com/gemini-webhook?token=Zm9yLWRvY3VtZW50YXRpb24tb25seQ",
/// );
/// assert_eq!(
///     EndpointToken::new("short").unwrap_err(),
///     ConfigError::EndpointTokenTooShort { chars: 5 }
/// );
/// # Ok::<(), ConfigError>(())
/// ```
#[derive(Clone)]
pub struct EndpointToken {
    text: Zeroizing<String>,
    #[cfg(feature = "receiver")]
    digest: [u8; 32],
    id: Arc<str>,
}

impl EndpointToken {
    /// Makes a token of a text that you have, such as one from your configuration.
    ///
    /// The text must have at least 22 characters, which hold 128 bits if they are random, and only
    /// letters, digits, `-` and `_`. White space and invisible characters around it are removed.
    ///
    /// # Errors
    ///
    /// [`ConfigError::EndpointTokenTooShort`] for fewer than 22 characters, and
    /// [`ConfigError::EndpointTokenMalformed`] for other characters, or for something that is
    /// evidently not a token, such as a URL or a placeholder.
    pub fn new(text: impl AsRef<str>) -> Result<Self, ConfigError> {
        let text = pasted::trim(text.as_ref());
        if let Some(reason) = slip(text) {
            return Err(ConfigError::EndpointTokenMalformed { reason });
        }
        if text.len() < MIN_CHARS {
            return Err(ConfigError::EndpointTokenTooShort { chars: text.len() });
        }
        Ok(Self::of(text.to_owned()))
    }

    /// Returns whether a URL carries this token: its path and query as they arrived.
    ///
    /// It is what a receiver checks first. You need it only to look at a request by yourself.
    ///
    /// ```
    /// use gemini_webhooks::EndpointToken;
    ///
    /// let token = EndpointToken::new("Zm9yLWRvY3VtZW50YXRpb24tb25seQ")?;
    /// assert!(token.is_carried_by("/hook?token=Zm9yLWRvY3VtZW50YXRpb24tb25seQ"));
    /// assert!(!token.is_carried_by("/hook"));
    /// # Ok::<(), gemini_webhooks::ConfigError>(())
    /// ```
    #[cfg(feature = "receiver")]
    #[must_use]
    pub fn is_carried_by(&self, target: &str) -> bool {
        let mut accepted = EndpointTokens::default();
        accepted.add(Keyring::new(self.clone()));
        // It has no end, so the time does not matter.
        accepted.accept(target, SystemTime::UNIX_EPOCH).is_ok()
    }

    fn of(text: String) -> Self {
        Self {
            #[cfg(feature = "receiver")]
            digest: digest(&text),
            id: log_id(b"gemini-webhooks token id\0", text.as_bytes()),
            text: Zeroizing::new(text),
        }
    }

    /// Reads a token from an environment variable.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Variable`] if the variable is not set, is empty, or holds a text that
    /// [`new`](Self::new) refuses. The error names the variable and says which.
    pub fn from_env(name: &str) -> Result<Self, ConfigError> {
        pasted::from_env(name, |text| Self::new(text))
    }

    /// Makes a new token of 192 random bits, 32 characters long.
    ///
    /// It is a new one in each process and at each start. So generate a token once, and keep it in
    /// your configuration.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NoRandomness`] if the operating system returns no random bytes.
    pub fn generate() -> Result<Self, ConfigError> {
        let mut bytes = Zeroizing::new([0; 24]);
        getrandom::fill(bytes.as_mut()).map_err(|_| ConfigError::NoRandomness)?;
        Ok(Self::of(URL_SAFE_NO_PAD.encode(bytes.as_ref())))
    }

    /// Returns `base` with the token added to its query: the URL to give to Google.
    ///
    /// The result is a secret. Do not log it.
    #[must_use]
    pub fn url(&self, base: &str) -> String {
        let (base, fragment) = base
            .split_once('#')
            .map_or((base, None), |(base, f)| (base, Some(f)));
        let separator = if base.contains('?') { '&' } else { '?' };
        let mut url = format!("{base}{separator}token={}", *self.text);
        if let Some(fragment) = fragment {
            url.push('#');
            url.push_str(fragment);
        }
        url
    }

    /// Returns a name for this token that may be logged: `sha256:` and eight hexadecimal digits.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.id
    }

    #[cfg(feature = "client")]
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl FromStr for EndpointToken {
    type Err = ConfigError;

    /// As [`new`](Self::new).
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Self::new(text)
    }
}

impl Secret for EndpointToken {}

impl sealed::Secret for EndpointToken {
    fn id(&self) -> &Arc<str> {
        &self.id
    }

    #[cfg(feature = "receiver")]
    fn doubt(&self) -> Option<String> {
        None
    }
}

#[cfg(feature = "receiver")]
fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// What was pasted instead of a token, or along with it.
fn slip(text: &str) -> Option<&'static str> {
    // These would pass, and every URL would carry them.
    if ["whsec_", "whsk_"]
        .iter()
        .any(|prefix| text.starts_with(prefix))
    {
        return Some(
            "is a signing secret, which must not be in a URL; make a token with `EndpointToken::generate`",
        );
    }
    if text.starts_with('/') {
        return Some("is a path; give its last segment only");
    }
    if let Some(reason) = pasted::slip(text) {
        return Some(reason);
    }
    if text.chars().all(is_of_token) {
        return None;
    }
    if text.contains(['+', '/', '=']) {
        return Some(
            "is in standard base64 (`+`, `/`, `=`); in a URL, use `-` and `_` instead, without padding",
        );
    }
    Some("has other characters than letters, digits, `-` and `_`; use only these")
}

/// The URL-safe alphabet of base64.
pub(crate) fn is_of_token(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '-' | '_')
}

/// Where a path carries a token. Without a slash behind it: middleware that unifies paths
/// (`NormalizePath`) may have put one there.
#[cfg(any(feature = "receiver", feature = "client"))]
pub(crate) fn last_segment(path: &str) -> &str {
    let path = path.strip_suffix('/').unwrap_or(path);
    path.rsplit('/').next().unwrap_or_default()
}

impl fmt::Debug for EndpointToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0123456789abcdefghijkl";
    const TWO: &str = "ABCDEFGHIJKLMNOPQRSTUV-_";

    #[test]
    fn what_is_a_token() {
        for text in [
            ONE,
            TWO,
            " 0123456789abcdefghijkl\n",
            "\u{feff}0123456789abcdefghijkl\u{200b}",
            "0123456789abcdef0123456789abcdef",
            "123e4567-e89b-12d3-a456-426614174000",
            "----------abcdefghijkl",
        ] {
            assert!(EndpointToken::new(text).is_ok(), "{text:?}");
        }
        for (text, chars) in [("0123456789abcdefghijk", 21), ("", 0), (" \n", 0)] {
            let expected = ConfigError::EndpointTokenTooShort { chars };
            assert_eq!(EndpointToken::new(text).unwrap_err(), expected, "{text:?}");
        }
        let mistake = EndpointToken::from_env("GEMINI_WEBHOOKS_UNSET").unwrap_err();
        assert!(
            mistake
                .to_string()
                .contains("`GEMINI_WEBHOOKS_UNSET` is not set"),
            "{mistake}"
        );
        let (a, b) = (
            EndpointToken::generate().unwrap(),
            EndpointToken::generate().unwrap(),
        );
        assert_ne!(*a.text, *b.text);
        assert!(EndpointToken::new(&*a.text).is_ok());
        assert_eq!(format!("{a:?}"), "EndpointToken(…)");
    }

    #[test]
    fn what_people_paste_instead_is_named() {
        for (text, part) in [
            ("WEBHOOK_ENDPOINT_TOKEN={}", "a name and `=`"),
            ("?token={}", "a name and `=`"),
            ("WEBHOOK_ENDPOINT_TOKEN", "name of a variable"),
            ("https://example.com/hook?token={}", "a URL"),
            ("/hook/{}", "a path"),
            ("\"{}\"", "in quotes"),
            ("“{}”", "in quotes"),
            ("token: {}", "a name and `:`"),
            ("- {}", "marks of YAML"),
            ("{} # dynamic", "a comment"),
            ("{},{}", "a `,` or `;`"),
            ("{} {}", "white space"),
            ("0123456789\u{200b}abcdefghijkl", "cannot be seen"),
            ("{}…", "shortened"),
            ("{}é", "not ASCII"),
            ("${WEBHOOK_ENDPOINT_TOKEN}", "a reference"),
            ("<your-token>", "a placeholder (`<…>`)"),
            ("changemechangemechangeme", "is a placeholder"),
            ("your-endpoint-token-goes-here", "is a placeholder"),
            ("xxxxxxxxxxxxxxxxxxxxxxxx", "is a placeholder"),
            ("0000000000000000000000", "is a placeholder"),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "signing secret"),
            ("AIzaSyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O-_6Q", "Google API key"),
            ("eyJhbGciOiJSUzI1NiJ9.e30.AAAA", "(JWT)"),
            ("{}+", "standard base64"),
            ("{}/", "standard base64"),
            ("{}=", "standard base64"),
            ("{}!", "other characters"),
        ] {
            let text = text.replace("{}", ONE);
            let mistake = EndpointToken::new(&text).unwrap_err();
            assert!(
                matches!(mistake, ConfigError::EndpointTokenMalformed { .. }),
                "{text:?}: {mistake}"
            );
            let shown = mistake.to_string();
            assert!(shown.contains(part), "{text:?}: {shown}");
            assert!(
                !shown.contains("0123") && !shown.contains("AIza"),
                "{text:?}: {shown}"
            );
        }
    }

    #[test]
    fn what_a_log_calls_it_tells_tokens_apart_and_nothing_else() {
        let [one, same, other] = [ONE, ONE, TWO].map(|text| EndpointToken::new(text).unwrap());
        assert_eq!(one.key_id(), same.key_id());
        assert_ne!(one.key_id(), other.key_id());
        let digits = one.key_id().strip_prefix("sha256:").unwrap();
        assert_eq!(digits.len(), 8);
        assert!(digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        // One of any length that is taken is whole.
        #[cfg(feature = "receiver")]
        assert_eq!(sealed::Secret::doubt(&one), None);
    }

    #[test]
    fn the_url_to_hand_out() {
        let token = EndpointToken::new(ONE).unwrap();
        for (base, url) in [
            (
                "https://a.example/x",
                format!("https://a.example/x?token={ONE}"),
            ),
            (
                "https://a.example/x?y=1",
                format!("https://a.example/x?y=1&token={ONE}"),
            ),
            (
                "https://a.example/x#z",
                format!("https://a.example/x?token={ONE}#z"),
            ),
        ] {
            assert_eq!(token.url(base), url);
        }
        #[cfg(feature = "receiver")]
        for (target, carried) in [
            (format!("/x?y=1&token={ONE}"), true),
            (format!("/x?y=1&token={TWO}"), false),
            ("/x".to_owned(), false),
        ] {
            assert_eq!(token.is_carried_by(&target), carried, "{target}");
        }
    }
}
