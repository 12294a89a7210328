//! The secret part of the URL that an app hands out.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::error::ConfigError;
use crate::pasted;

#[cfg(feature = "receiver")]
mod accepted;

#[cfg(feature = "receiver")]
pub(crate) use accepted::EndpointTokens;

/// 128 bits in the URL-safe alphabet.
const MIN_CHARS: usize = 22;

/// A secret in the URL that you hand out, which ties a delivery to your project.
///
/// A signature under Google's public keys proves that Google sent a delivery, not that it is about
/// *your* job: the keys are the same for all projects, and neither the URL nor the project is
/// signed. Whoever has an API key can aim a webhook at your URL. With an endpoint token they would
/// have to know it.
///
/// It stands in the query as `token=…`, once, or is the last segment of the path. It never
/// replaces a signature. **Access logs and request-tracing layers print URLs**: keep the query out
/// of them, for instance by logging `uri().path()` only, and do not use the path form then.
///
/// The query comes through every router. The path form needs the layer to see the path to its end:
/// a router that nests hides the part of the path that it took, so under axum's
/// `.nest("/hook/{token}", …)` the layer sees `/` and refuses. Put the layer around the nested
/// router (`.nest("/hook", …)` with a route `/{token}` inside does as well), or the token into the
/// query. One slash behind the token, as `NormalizePath` may append, is passed over.
///
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
}

impl EndpointToken {
    /// From at least 22 characters of the URL-safe alphabet (letters, digits, `-`, `_`): 128 bits
    /// if they are random. White space and what else cannot be seen around it is trimmed.
    ///
    /// # Errors
    ///
    /// [`ConfigError::EndpointTokenTooShort`], [`ConfigError::EndpointTokenMalformed`].
    pub fn new(text: impl AsRef<str>) -> Result<Self, ConfigError> {
        let text = pasted::trim(text.as_ref());
        if let Some(reason) = slip(text) {
            return Err(ConfigError::EndpointTokenMalformed { reason });
        }
        if text.len() < MIN_CHARS {
            return Err(ConfigError::EndpointTokenTooShort { chars: text.len() });
        }
        Ok(Self {
            text: Zeroizing::new(text.to_owned()),
        })
    }

    /// From an environment variable.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Variable`], which names the variable and says what is wrong: it is not set, is
    /// empty, or [`new`](Self::new) refuses what it holds.
    pub fn from_env(name: &str) -> Result<Self, ConfigError> {
        pasted::from_env(name, |text| Self::new(text))
    }

    /// A new one of 192 random bits, from the operating system.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NoRandomness`] if that has none to give.
    pub fn generate() -> Result<Self, ConfigError> {
        let mut bytes = Zeroizing::new([0; 24]);
        getrandom::fill(bytes.as_mut()).map_err(|_| ConfigError::NoRandomness)?;
        Ok(Self {
            text: Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_ref())),
        })
    }

    /// The URL to hand out: `base` with the token in its query.
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

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// What was pasted instead of a token, or along with it.
fn slip(text: &str) -> Option<&'static str> {
    // These would pass, and every URL would carry them.
    if ["whsec_", "whsk_"]
        .iter()
        .any(|prefix| text.starts_with(prefix))
    {
        return Some("is a signing secret, which must not stand in a URL");
    }
    if text.starts_with('/') {
        return Some("is a path; give its last segment alone");
    }
    if let Some(reason) = pasted::slip(text) {
        return Some(reason);
    }
    let url_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if text.bytes().all(url_safe) {
        return None;
    }
    if text.contains(['+', '/', '=']) {
        return Some(
            "is in standard base64 (`+`, `/`, `=`); a URL wants `-` and `_`, without padding",
        );
    }
    Some("has other characters than letters, digits, `-` and `_`")
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
        assert!(!format!("{a:?}").contains(&*a.text));
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
    }
}
