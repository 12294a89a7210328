//! The secret part of the URL that an app hands out.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::error::ConfigError;

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
/// ```
/// use gemini_webhooks::{ConfigError, EndpointToken};
///
/// let token = EndpointToken::new("Zm9yLWRvY3VtZW50YXRpb24tb25seQ")?;
/// assert_eq!(
///     token.url("https://example.com/gemini-webhook"),
///     "https://example.com/gemini-webhook?token=Zm9yLWRvY3VtZW50YXRpb24tb25seQ",
/// );
/// assert_eq!(EndpointToken::new("short").unwrap_err(), ConfigError::EndpointTokenTooShort);
/// # Ok::<(), ConfigError>(())
/// ```
#[derive(Clone)]
pub struct EndpointToken {
    text: Zeroizing<String>,
}

impl EndpointToken {
    /// From at least 22 characters of the URL-safe alphabet (letters, digits, `-`, `_`): 128 bits
    /// if they are random. White space around it is trimmed.
    ///
    /// # Errors
    ///
    /// [`ConfigError::EndpointTokenTooShort`], [`ConfigError::EndpointTokenAlphabet`].
    pub fn new(text: impl AsRef<str>) -> Result<Self, ConfigError> {
        let text = text.as_ref().trim();
        let url_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !text.bytes().all(url_safe) {
            return Err(ConfigError::EndpointTokenAlphabet);
        }
        if text.len() < MIN_CHARS {
            return Err(ConfigError::EndpointTokenTooShort);
        }
        Ok(Self {
            text: Zeroizing::new(text.to_owned()),
        })
    }

    /// From an environment variable.
    ///
    /// # Errors
    ///
    /// [`ConfigError::EndpointTokenUnset`] if it is not set, else as [`new`](Self::new).
    pub fn from_env(name: &str) -> Result<Self, ConfigError> {
        Self::new(std::env::var(name).map_err(|_| ConfigError::EndpointTokenUnset)?)
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
}

impl fmt::Debug for EndpointToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointToken(…)")
    }
}

type Digest = [u8; 32];

/// The tokens that a receiver accepts; several while one replaces another.
#[derive(Clone, Default)]
pub(crate) struct EndpointTokens(Vec<Digest>);

impl EndpointTokens {
    pub(crate) fn add(&mut self, token: &EndpointToken) {
        self.0.push(digest(&token.text));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Step 1 of a delivery: whether `target`, the path and query of the URL as they came, carries
    /// one of the tokens. Digests are compared, all of them and to the end, so that the time tells
    /// nothing of how much was right. Nothing is decoded: no honest URL encodes this alphabet.
    pub(crate) fn accept(&self, target: &str) -> bool {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut in_query = query
            .split('&')
            .filter_map(|pair| pair.strip_prefix("token="));
        let carried = match (in_query.next(), in_query.next()) {
            (Some(token), None) => token,
            (None, _) => path.rsplit('/').next().unwrap_or_default(),
            (Some(_), Some(_)) => return false,
        };
        let carried = digest(carried);
        self.0.iter().fold(false, |found, accepted| {
            let differs = carried
                .iter()
                .zip(accepted)
                .fold(0, |bits, (a, b)| bits | (a ^ b));
            found | (differs == 0)
        })
    }
}

impl fmt::Debug for EndpointTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} endpoint tokens", self.0.len())
    }
}

fn digest(text: &str) -> Digest {
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0123456789abcdefghijkl";
    const TWO: &str = "ABCDEFGHIJKLMNOPQRSTUV-_";

    #[test]
    fn what_is_a_token() {
        use ConfigError::{EndpointTokenAlphabet, EndpointTokenTooShort};
        for (text, expected) in [
            (ONE, None),
            (TWO, None),
            (" 0123456789abcdefghijkl\n", None),
            ("0123456789abcdefghijk", Some(EndpointTokenTooShort)),
            ("", Some(EndpointTokenTooShort)),
            ("0123456789abcdefghijk+", Some(EndpointTokenAlphabet)),
            ("0123456789abcdefghijk=", Some(EndpointTokenAlphabet)),
            ("0123456789 abcdefghijkl", Some(EndpointTokenAlphabet)),
            ("0123456789abcdefghijké", Some(EndpointTokenAlphabet)),
        ] {
            assert_eq!(EndpointToken::new(text).err(), expected, "{text:?}");
        }
        assert_eq!(
            EndpointToken::from_env("GEMINI_WEBHOOKS_UNSET").unwrap_err(),
            ConfigError::EndpointTokenUnset
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
    fn which_urls_carry_one() {
        let mut tokens = EndpointTokens::default();
        tokens.add(&EndpointToken::new(ONE).unwrap());
        tokens.add(&EndpointToken::new(TWO).unwrap());
        let encoded = format!("%30{}", &ONE[1..]);
        for (target, accepted) in [
            (format!("/hook?token={ONE}"), true),
            (format!("/hook?token={TWO}"), true),
            (format!("/hook?a=b&token={ONE}&c"), true),
            (format!("/hook/{ONE}"), true),
            (format!("/hook/{ONE}?a=b"), true),
            ("/hook".to_owned(), false),
            ("/hook?token=".to_owned(), false),
            ("/".to_owned(), false),
            (String::new(), false),
            (format!("/hook?token={ONE}&token={ONE}"), false),
            (format!("/hook?token={ONE}&token="), false),
            (format!("/hook/{ONE}?token=wrong"), false),
            (format!("/hook/{ONE}/"), false),
            (format!("/{ONE}/hook"), false),
            (format!("/hook?Token={ONE}"), false),
            (format!("/hook?xtoken={ONE}"), false),
            (format!("/hook?token={encoded}"), false),
            (format!("/hook?%74oken={ONE}"), false),
            (format!("/hook?token={}", &ONE[1..]), false),
            (format!("/hook?token={ONE}0"), false),
            (format!("/hook?token={}", ONE.to_uppercase()), false),
        ] {
            assert_eq!(tokens.accept(&target), accepted, "{target}");
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
