//! Where public keys come from.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use super::freshness::Freshness;
use crate::error::{BoxError, Chain};

/// The future that [`KeySource::fetch`] returns.
pub type KeyFuture<'a> = Pin<Box<dyn Future<Output = Result<FetchedKeys, BoxError>> + Send + 'a>>;

/// Fetches a set of public keys, for instance with your app's own HTTP client.
///
/// Pass it to [`key_source`](crate::WebhookReceiverBuilder::key_source). The receiver decides when to
/// fetch, waits 5 seconds for the answer, and makes one fetch at a time. For your safety, fetch only
/// from where the keys are published: use `https`, and follow no redirects.
///
/// ```
/// use gemini_webhooks::jwks::{FetchedKeys, KeyFuture, KeySource};
///
/// /// Keys in a file that is mounted into the container.
/// #[derive(Debug)]
/// struct Mounted(std::path::PathBuf);
///
/// impl KeySource for Mounted {
///     fn fetch(&self) -> KeyFuture<'_> {
///         Box::pin(async move {
///             let json = tokio::fs::read(&self.0).await?;
///             Ok(FetchedKeys::new(json))
///         })
///     }
/// }
/// # let _ = gemini_webhooks::WebhookReceiver::builder().key_source(Mounted("keys.json".into()));
/// ```
pub trait KeySource: fmt::Debug + Send + Sync + 'static {
    /// Fetches the keys. The future is dropped if it takes longer than 5 seconds.
    fn fetch(&self) -> KeyFuture<'_>;
}

/// The text of a key set that was fetched, and how long it is fresh.
#[derive(Clone, Debug)]
pub struct FetchedKeys {
    pub(super) json: Bytes,
    pub(super) freshness: Freshness,
}

impl FetchedKeys {
    /// Wraps the text of a key set, which counts as fresh for an hour.
    ///
    /// The receiver reads it as [`KeySet::from_json`](super::KeySet::from_json) does.
    #[must_use]
    pub fn new(json: impl Into<Bytes>) -> Self {
        Self {
            json: json.into(),
            freshness: Freshness::default(),
        }
    }

    /// Returns the text of the key set.
    ///
    /// ```
    /// use gemini_webhooks::jwks::FetchedKeys;
    ///
    /// let keys = FetchedKeys::new(r#"{"keys":[]}"#);
    /// assert_eq!(keys.json(), br#"{"keys":[]}"#);
    /// ```
    #[must_use]
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// Reads from the headers of the response how long the keys are fresh.
    ///
    /// The rules are those of a private cache (RFC 9111): `max-age` of `Cache-Control`, or else
    /// `Expires`, less the time for which caches on the way held the response (`Age`, `Date`). With
    /// `no-store` or `no-cache` it is not fresh. Less than a minute counts as a minute, and more
    /// than an hour as an hour. If no header says anything, it is an hour. Other headers are
    /// ignored.
    ///
    /// ```
    /// use gemini_webhooks::jwks::FetchedKeys;
    ///
    /// // Fresh for five more minutes. `&http::HeaderMap` works too.
    /// let headers = [("Cache-Control", "public, max-age=3600"), ("Age", "3300")];
    /// let keys = FetchedKeys::new(r#"{"keys":[]}"#).headers(headers);
    /// # let _ = keys;
    /// ```
    #[must_use]
    pub fn headers<N, V>(mut self, headers: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        for (name, value) in headers {
            let value = String::from_utf8_lossy(value.as_ref());
            self.freshness.note(name.as_ref(), &value);
        }
        self
    }

    /// Reads from the value of a `Cache-Control` header how long the keys are fresh.
    ///
    /// Prefer [`headers`](Self::headers), if you have all headers.
    #[must_use]
    pub fn cache_control(self, value: &str) -> Self {
        self.headers([("cache-control", value)])
    }
}

/// The error when public keys cannot be fetched.
///
/// [`WebhookReceiver::ready`](crate::WebhookReceiver::ready) and
/// [`refresh_keys`](crate::WebhookReceiver::refresh_keys) return it. Its text has all causes.
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

/// Shows every cause, because the first error of an HTTP client seldom helps.
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
