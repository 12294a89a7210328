//! Public keys over HTTPS.

use std::fmt;

use reqwest::{Client, Url, redirect};

use super::set::MAX_BYTES;
use super::source::{FetchedKeys, KeyFuture, KeySource};
use crate::error::{BoxError, Chain, ConfigError};
use crate::loopback::is_loopback;

/// The URL of the public keys with which Google signs dynamic webhooks.
///
/// Source: Google's guide, copies up to 2026-10-05, and one user's report of 2026-08-31
/// (googleapis/python-genai #2927).
pub const GOOGLE_KEYS_URL: &str = "https://generativelanguage.googleapis.com/.well-known/jwks.json";

/// Fetches public keys from a URL.
///
/// [`google_keys`](crate::WebhookReceiverBuilder::google_keys) and
/// [`jwks_url`](crate::WebhookReceiverBuilder::jwks_url) use it. It accepts `https` only, except for
/// loopback addresses, follows no redirects, and reads at most 64 KiB. It uses the root
/// certificates of the operating system, and respects `HTTPS_PROXY` and `NO_PROXY`.
pub struct HttpKeySource {
    client: Client,
    url: Url,
}

impl HttpKeySource {
    /// Fetches keys from `url`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::KeysUrlInvalid`] if it is not a URL, [`ConfigError::KeysUrlInsecure`] if it is
    /// neither `https` nor a loopback address, and [`ConfigError::HttpClient`] if the HTTP client
    /// cannot be built.
    pub fn new(url: &str) -> Result<Self, ConfigError> {
        let url = Url::parse(url).map_err(|_| ConfigError::KeysUrlInvalid)?;
        let loopback = is_loopback(&url);
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
            _ => return Err(ConfigError::KeysUrlInsecure),
        }
        let mut client = Client::builder()
            .redirect(redirect::Policy::none())
            // Asked once an hour, and perhaps from a runtime that is gone by then.
            .pool_max_idle_per_host(0)
            .user_agent(concat!("gemini-webhooks/", env!("CARGO_PKG_VERSION")));
        if loopback {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| ConfigError::HttpClient {
            reason: Chain(&error).to_string(),
        })?;
        Ok(Self { client, url })
    }

    /// Fetches Google's keys, from [`GOOGLE_KEYS_URL`].
    ///
    /// # Errors
    ///
    /// [`ConfigError::HttpClient`] if the HTTP client cannot be built.
    pub fn google() -> Result<Self, ConfigError> {
        Self::new(GOOGLE_KEYS_URL)
    }

    async fn get(&self) -> Result<FetchedKeys, BoxError> {
        // What stands in the query may be a secret, and errors go into the log.
        let sent = self.client.get(self.url.clone()).send().await;
        let mut response = sent.map_err(reqwest::Error::without_url)?;
        if response.status() != 200 {
            return Err(format!("it answered {}", response.status()).into());
        }
        let mut json = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(reqwest::Error::without_url)?
        {
            if chunk.len() > MAX_BYTES - json.len() {
                return Err("it is longer than 64 KiB".into());
            }
            json.extend_from_slice(&chunk);
        }
        Ok(FetchedKeys::new(json).headers(response.headers()))
    }
}

impl KeySource for HttpKeySource {
    fn fetch(&self) -> KeyFuture<'_> {
        Box::pin(self.get())
    }
}

impl fmt::Debug for HttpKeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpKeySource")
            .field("host", &self.url.host_str())
            .field("path", &self.url.path())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that never stops sending, after a head that says nothing of the length.
    #[tokio::test]
    async fn no_more_is_taken_than_a_key_set_may_have() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let endless = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            drop(stream.read(&mut [0; 4096]).await);
            let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
            stream.write_all(head).await.unwrap();
            let mut sent = 0_usize;
            while stream.write_all(&[b' '; 4096]).await.is_ok() {
                sent += 4096;
            }
            sent
        });
        let source = HttpKeySource::new(&url).unwrap();
        let patience = std::time::Duration::from_secs(20);
        let fetched = tokio::time::timeout(patience, source.fetch()).await;
        let error = fetched.expect("it is read without end").unwrap_err();
        assert_eq!(error.to_string(), "it is longer than 64 KiB");
        // What fits into the buffers of both ends, and not what could be sent.
        let sent = endless.await.unwrap();
        assert!(sent < 64 * 1024 * 1024, "{sent}");
    }

    #[test]
    fn no_query_is_shown() {
        let source = HttpKeySource::new("https://u:p@example.com/keys?key=hidden").unwrap();
        let shown = format!("{source:?}");
        assert!(
            shown.contains("example.com") && shown.contains("/keys"),
            "{shown}"
        );
        assert!(
            !shown.contains("hidden") && !shown.contains("u:p"),
            "{shown}"
        );
    }

    #[test]
    fn which_urls_are_asked() {
        use ConfigError::{KeysUrlInsecure, KeysUrlInvalid};
        for (url, mistake) in [
            (GOOGLE_KEYS_URL, None),
            ("https://example.com/jwks.json", None),
            ("http://127.0.0.1:8080/jwks.json", None),
            ("http://127.8.8.8/", None),
            ("http://[::1]:80/", None),
            ("http://localhost/", None),
            ("http://example.com/", Some(KeysUrlInsecure)),
            ("http://localhost.example.com/", Some(KeysUrlInsecure)),
            ("http://127.0.0.1.example.com/", Some(KeysUrlInsecure)),
            ("http://127.0.0.1@example.com/", Some(KeysUrlInsecure)),
            ("http://10.0.0.1/", Some(KeysUrlInsecure)),
            ("http://0.0.0.0/", Some(KeysUrlInsecure)),
            ("http://[::ffff:127.0.0.1]/", Some(KeysUrlInsecure)),
            ("file:///etc/jwks.json", Some(KeysUrlInsecure)),
            ("jwks.json", Some(KeysUrlInvalid)),
            ("", Some(KeysUrlInvalid)),
        ] {
            assert_eq!(HttpKeySource::new(url).err(), mistake, "{url}");
        }
    }
}
