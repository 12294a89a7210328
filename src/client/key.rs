//! The API key.

use std::env;
use std::ffi::OsStr;
use std::fmt;

use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use crate::error::ConfigError;
use crate::pasted;

/// In this order, as in Google's SDKs.
const VARIABLES: [&str; 2] = ["GOOGLE_API_KEY", "GEMINI_API_KEY"];

/// A key of the Gemini API, as Google AI Studio shows it.
///
/// What people paste instead or along (quotes, the name of a variable, a placeholder, a signing
/// secret) is refused, and the error says what it is. It shows nothing of itself in `Debug`, cannot
/// be compared, and is wiped on drop.
#[derive(Clone)]
pub(super) struct ApiKey(Zeroizing<String>);

impl ApiKey {
    /// From text. White space and what else cannot be seen around it is trimmed.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ApiKeyMalformed`].
    pub(super) fn new(text: impl AsRef<str>) -> Result<Self, ConfigError> {
        let text = pasted::trim(text.as_ref());
        match slip(text) {
            Some(reason) => Err(ConfigError::ApiKeyMalformed { reason }),
            None => Ok(Self(Zeroizing::new(text.to_owned()))),
        }
    }

    /// From the environment: `GOOGLE_API_KEY`, else `GEMINI_API_KEY`, the order of Google's SDKs. An
    /// empty variable is an unset one.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Variable`]: neither is set, or what the first of them holds is no key.
    pub(super) fn from_env() -> Result<Self, ConfigError> {
        let is_empty = |value: &OsStr| {
            value
                .to_str()
                .is_some_and(|text| pasted::trim(text).is_empty())
        };
        let is_set = |name: &str| env::var_os(name).is_some_and(|value| !is_empty(&value));
        first(is_set, |name| {
            pasted::from_env(name, |text| Self::new(text))
        })
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// For the header, marked so that no log of HTTP shows it.
    pub(super) fn header(&self) -> Result<HeaderValue, ConfigError> {
        let mut header =
            HeaderValue::from_str(&self.0).map_err(|_| ConfigError::ApiKeyMalformed {
                reason: "has a character that an HTTP header cannot carry; copy it again",
            })?;
        header.set_sensitive(true);
        Ok(header)
    }
}

/// What `read` makes of the first variable that is set.
fn first<T>(
    is_set: impl Fn(&str) -> bool,
    read: impl FnOnce(&str) -> Result<T, ConfigError>,
) -> Result<T, ConfigError> {
    match VARIABLES.into_iter().find(|name| is_set(name)) {
        Some(name) => read(name),
        None => Err(ConfigError::Variable {
            name: "GOOGLE_API_KEY".to_owned(),
            reason:
                "is not set, nor is `GEMINI_API_KEY`; set one of them to an API key of the Gemini API"
                    .to_owned(),
        }),
    }
}

/// What was pasted instead of a key, or along with it.
fn slip(text: &str) -> Option<&'static str> {
    let starts = |with: &[&str]| with.iter().any(|prefix| text.starts_with(prefix));
    if text.is_empty() {
        return Some("is empty; make one in Google AI Studio");
    }
    if starts(&["whsec_", "whsk_", "v1,"]) {
        return Some(
            "is the signing secret of a webhook, or a signature; make an API key in Google AI Studio",
        );
    }
    if starts(&["ya29."]) {
        return Some("is an OAuth access token; make an API key in Google AI Studio");
    }
    // What makes it a key is what `slip` takes exception to.
    let key = text
        .strip_prefix("AIza")
        .or_else(|| text.strip_prefix("AQ."))
        .unwrap_or(text);
    pasted::slip(key)
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AIzaSyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O-_6Q";

    #[test]
    fn what_is_a_key() {
        for text in [
            KEY,
            &format!(" {KEY}\r\n"),
            &format!("\u{feff}{KEY}"),
            "AQ.Ab8RN6I1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6",
            "fake-key-123",
            "test",
        ] {
            let key = ApiKey::new(text).unwrap();
            assert_eq!(key.text(), pasted::trim(text));
            assert!(key.header().unwrap().is_sensitive());
            for shown in [format!("{key:?}"), format!("{:?}", key.header())] {
                assert!(!shown.contains(key.text()), "{shown}");
            }
        }
    }

    #[test]
    fn what_people_paste_instead_is_named() {
        for (text, part) in [
            ("", "is empty"),
            (" \u{200b}\n", "is empty"),
            ("GEMINI_API_KEY", "name of a variable"),
            ("GEMINI_API_KEY={}", "a name and `=`"),
            ("export GOOGLE_API_KEY={}", "a name and `=`"),
            ("\"{}\"", "in quotes"),
            ("'{}'", "in quotes"),
            ("{}\"", "a quote"),
            ("x-goog-api-key: {}", "a name and `:`"),
            ("Bearer {}", "`Bearer`"),
            ("{} # prod", "a comment"),
            ("{},{}", "a `,`"),
            ("{} {}", "white space"),
            ("$GEMINI_API_KEY", "a reference"),
            ("<your-api-key>", "a placeholder"),
            ("xxxxxxxxxxxx", "a placeholder"),
            ("AIza…", "shortened"),
            ("AIza...", "shortened"),
            ("AIza••••", "masked"),
            ("AIzaS\u{200b}y", "cannot be seen"),
            ("AIzaSé", "not ASCII"),
            ("https://aistudio.google.com/apikey", "a URL"),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "signing secret"),
            ("ya29.a0AfH6SMBx1b2C3d4E5f6", "access token"),
            ("eyJhbGciOiJSUzI1NiJ9.e30.AAAA", "(JWT)"),
        ] {
            let text = text.replace("{}", KEY);
            let shown = ApiKey::new(&text).unwrap_err().to_string();
            assert!(shown.contains(part), "{text:?}: {shown}");
            assert!(!shown.contains("SyA1b2"), "{shown}");
        }
    }

    #[test]
    fn which_variable_is_read() {
        for (set, read) in [
            (
                vec!["GOOGLE_API_KEY", "GEMINI_API_KEY"],
                Some("GOOGLE_API_KEY"),
            ),
            (vec!["GOOGLE_API_KEY"], Some("GOOGLE_API_KEY")),
            (vec!["GEMINI_API_KEY"], Some("GEMINI_API_KEY")),
            (vec!["API_KEY"], None),
        ] {
            let found = first(|name| set.contains(&name), |name| Ok(name.to_owned()));
            assert_eq!(found.as_deref().ok(), read, "{set:?}");
            if let Err(mistake) = found {
                let shown = mistake.to_string();
                assert!(
                    shown.contains("`GOOGLE_API_KEY` is not set, nor is `GEMINI_API_KEY`"),
                    "{shown}"
                );
            }
        }
    }
}
