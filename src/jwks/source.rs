//! Where keys come from.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::error::{BoxError, Chain};

/// What [`KeySource::fetch`] returns.
pub type KeyFuture<'a> = Pin<Box<dyn Future<Output = Result<FetchedKeys, BoxError>> + Send + 'a>>;

/// Fetches a key set, for instance with an HTTP client that the app has already.
///
/// The receiver sees to the rest: when to ask and how often, five seconds for the answer, one
/// question at a time. A source must not ask elsewhere than where the keys are published: no
/// redirects, no plain HTTP.
///
/// ```
/// use gemini_webhooks::jwks::{FetchedKeys, KeyFuture, KeySource};
///
/// /// Keys that are mounted into the container and replaced there.
/// #[derive(Debug)]
/// struct Mounted(std::path::PathBuf);
///
/// impl KeySource for Mounted {
///     fn fetch(&self) -> KeyFuture<'_> {
///         Box::pin(async move { Ok(FetchedKeys::new(tokio::fs::read(&self.0).await?)) })
///     }
/// }
/// # let _ = gemini_webhooks::WebhookReceiver::builder().key_source(Mounted("keys.json".into()));
/// ```
pub trait KeySource: fmt::Debug + Send + Sync + 'static {
    /// Fetches the keys. The future is dropped when it takes too long.
    fn fetch(&self) -> KeyFuture<'_>;
}

/// A key set as it was fetched.
#[derive(Clone, Debug)]
pub struct FetchedKeys {
    pub(super) json: Bytes,
    pub(super) max_age: Option<Duration>,
}

impl FetchedKeys {
    /// The text of the key set, not yet read. It counts as fresh for an hour.
    #[must_use]
    pub fn new(json: impl Into<Bytes>) -> Self {
        Self {
            json: json.into(),
            max_age: None,
        }
    }

    /// Takes how long it is fresh from the value of a `Cache-Control` header (RFC 9111, 5.2.2):
    /// `max-age`, or not at all with `no-store` or `no-cache`. Less than a minute counts as a
    /// minute, more than an hour as an hour.
    #[must_use]
    pub fn cache_control(mut self, value: &str) -> Self {
        let seconds = value.split(',').filter_map(|directive| {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" | "no-cache" => Some(0),
                // What is too large for a number is still large.
                "max-age" => match value.trim().trim_matches('"') {
                    digits if digits.is_empty() || digits.bytes().any(|d| !d.is_ascii_digit()) => {
                        None
                    }
                    digits => Some(digits.parse().unwrap_or(u64::MAX)),
                },
                _ => None,
            }
        });
        // Where they contradict each other, the careful one.
        self.max_age = seconds.min().map(Duration::from_secs).or(self.max_age);
        self
    }
}

/// The keys could not be fetched.
#[derive(Clone, Debug)]
pub struct FetchError {
    what: &'static str,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl FetchError {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, source: None }
    }

    pub(super) fn because(what: &'static str, source: impl Into<BoxError>) -> Self {
        Self {
            what,
            source: Some(source.into().into()),
        }
    }
}

/// With every cause: the first of an HTTP client is seldom the one that helps.
impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source() {
            Some(source) => write!(f, "{}: {}", self.what, Chain(source)),
            None => f.write_str(self.what),
        }
    }
}

impl Error for FetchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_keys_are_fresh() {
        for (value, seconds) in [
            ("max-age=600", Some(600)),
            ("public, max-age=600, must-revalidate", Some(600)),
            ("Public,MAX-AGE=\"600\"", Some(600)),
            ("max-age = 600", Some(600)),
            ("max-age=0", Some(0)),
            ("no-store", Some(0)),
            ("no-cache, max-age=600", Some(0)),
            ("max-age=600, max-age=60", Some(60)),
            ("max-age=99999999999999999999", Some(u64::MAX)),
            ("max-age=-1", None),
            ("max-age=1.5", None),
            ("max-age", None),
            ("s-maxage=600", None),
            ("", None),
        ] {
            let keys = FetchedKeys::new("").cache_control(value);
            assert_eq!(keys.max_age, seconds.map(Duration::from_secs), "{value}");
        }
    }
}
