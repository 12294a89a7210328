//! The secret part of the URL that an app hands out.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::error::{ConfigError, Detail, VerifyError, VerifyErrorKind};
use crate::pasted;

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
    pub(crate) fn accept(&self, target: &str) -> Result<(), VerifyError> {
        let wrong = |why| VerifyError::new(VerifyErrorKind::WrongEndpoint, Detail::Text(why));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut in_query = query
            .split('&')
            .filter_map(|pair| pair.strip_prefix("token="));
        let (carried, why) = match (in_query.next(), in_query.next()) {
            (Some(token), None) => (token, "the `token` in its query is another"),
            (Some(_), Some(_)) => return Err(wrong("its query has `token` more than once")),
            (None, _) => match last_segment(path) {
                "" => (
                    "",
                    "it has no `token` in its query, and no path. A router that nests (axum's `nest`) hides the part of the path that it took: put the layer around it, or the token into the query",
                ),
                segment => (
                    segment,
                    "it has no `token` in its query, and the last segment of its path is another",
                ),
            },
        };
        let carried = digest(carried);
        let found = self
            .0
            .iter()
            .fold(false, |found, accepted| found | is_same(&carried, accepted));
        if found { Ok(()) } else { Err(wrong(why)) }
    }
}

/// Without a slash behind it: middleware that unifies paths (`NormalizePath`) may have put one there.
fn last_segment(path: &str) -> &str {
    let path = path.strip_suffix('/').unwrap_or(path);
    path.rsplit('/').next().unwrap_or_default()
}

/// To the end, wherever they differ first.
fn is_same(one: &Digest, other: &Digest) -> bool {
    let differing = one.iter().zip(other).fold(0, |bits, (a, b)| bits | (a ^ b));
    differing == 0
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
            (format!("/hook/{ONE}/"), true),
            (format!("/hook/{ONE}/?a=b"), true),
            (format!("/{ONE}"), true),
            (format!("/hook/{ONE}//"), false),
            (format!("/hook/{ONE}/x"), false),
            (format!("/hook?token={ONE}/"), false),
            (format!("/{ONE}/hook"), false),
            (format!("/hook?Token={ONE}"), false),
            (format!("/hook?xtoken={ONE}"), false),
            (format!("/hook?token={encoded}"), false),
            (format!("/hook?%74oken={ONE}"), false),
            (format!("/hook?token={}", &ONE[1..]), false),
            (format!("/hook?token={ONE}0"), false),
            (format!("/hook?token={}", ONE.to_uppercase()), false),
        ] {
            assert_eq!(tokens.accept(&target).is_ok(), accepted, "{target}");
        }
    }

    #[test]
    fn the_log_says_which_form_was_seen_and_nothing_of_it() {
        let mut tokens = EndpointTokens::default();
        tokens.add(&EndpointToken::new(ONE).unwrap());
        for (target, part) in [
            (
                format!("/hook?token={TWO}"),
                "the `token` in its query is another",
            ),
            (format!("/hook?token={TWO}&token={ONE}"), "more than once"),
            (
                format!("/hook/{TWO}"),
                "the last segment of its path is another",
            ),
            ("/".to_owned(), "axum's `nest`"),
            (String::new(), "axum's `nest`"),
            ("/?a=b".to_owned(), "axum's `nest`"),
        ] {
            let error = tokens.accept(&target).unwrap_err();
            assert_eq!(error.kind(), VerifyErrorKind::WrongEndpoint);
            for shown in [error.to_string(), format!("{error:?}")] {
                assert!(shown.contains(part), "{target}: {shown}");
                assert!(
                    ![ONE, TWO].iter().any(|token| shown.contains(token)),
                    "{shown}"
                );
            }
        }
    }

    /// A comparison of a part would accept these.
    #[test]
    fn digests_are_compared_to_the_end() {
        let token = |n: u32| format!("0123456789abcdefghij{n:04}");
        let digests: Vec<Digest> = (0..2000).map(|n| digest(&token(n))).collect();
        for byte in [0, 31] {
            let is_near = |n: &usize| digests[*n][byte] == digests[0][byte];
            let near = (1..digests.len()).find(is_near).unwrap();
            let mut tokens = EndpointTokens::default();
            tokens.add(&EndpointToken::new(token(0)).unwrap());
            let near = token(near.try_into().unwrap());
            assert!(tokens.accept(&format!("/{near}")).is_err(), "byte {byte}");
            assert!(tokens.accept(&format!("/{}", token(0))).is_ok());
        }
        for byte in 0..32 {
            for bit in 0..8 {
                let mut other = digests[0];
                other[byte] ^= 1 << bit;
                assert!(!is_same(&digests[0], &other), "byte {byte}, bit {bit}");
            }
        }
        assert!(is_same(&digests[0], &digests[0].clone()));
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
