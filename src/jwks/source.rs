//! Where keys come from.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use super::freshness::Freshness;
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
    pub(super) freshness: Freshness,
}

impl FetchedKeys {
    /// The text of the key set, not yet read. It counts as fresh for an hour.
    #[must_use]
    pub fn new(json: impl Into<Bytes>) -> Self {
        Self {
            json: json.into(),
            freshness: Freshness::default(),
        }
    }

    /// Takes how long it is fresh from the headers of the response that brought it, as a private
    /// cache does (RFC 9111): `max-age` of `Cache-Control`, else `Expires`, less the time for which
    /// caches on the way have held it (`Age`, `Date`); not at all with `no-store` or `no-cache`.
    /// Less than a minute counts as a minute, more than an hour as an hour, and nothing said as an
    /// hour. Other headers are passed over.
    ///
    /// ```
    /// use gemini_webhooks::jwks::FetchedKeys;
    ///
    /// // Fresh for five minutes more. `&http::HeaderMap` does as well.
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

    /// Takes how long it is fresh from the value of a `Cache-Control` header, where that is all
    /// there is; see [`headers`](Self::headers).
    #[must_use]
    pub fn cache_control(self, value: &str) -> Self {
        self.headers([("cache-control", value)])
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
