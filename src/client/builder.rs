//! The settings of a client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{ClientBuilder, Url, redirect};

use super::http::{self, Http};
use super::key::ApiKey;
use super::retry::{MAX_RETRIES, Policy};
use super::service::WebhookService;
use crate::clock::{Clock, SystemClock};
use crate::error::{Chain, ConfigError};
use crate::loopback::is_loopback;

/// The base URL of the Gemini API.
pub const GOOGLE_API_URL: &str = "https://generativelanguage.googleapis.com";

const DEFAULT_VERSION: &str = "v1";
const DEFAULT_DEADLINE: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TRY_TIMEOUT: Duration = Duration::from_secs(30);

type Configure = Box<dyn FnOnce(ClientBuilder) -> ClientBuilder + Send>;

/// Builds a [`WebhookService`] from its settings.
///
/// Every setting has a default. The API key is read from the environment if you give none.
#[must_use]
pub struct WebhookServiceBuilder {
    key: Option<Result<ApiKey, ConfigError>>,
    base_url: String,
    version: String,
    policy: Policy,
    configure: Option<Configure>,
    clock: Arc<dyn Clock>,
    /// From 0 to 1, for waiting by chance.
    pub(super) random: fn() -> f64,
}

impl Default for WebhookServiceBuilder {
    fn default() -> Self {
        Self {
            key: None,
            base_url: GOOGLE_API_URL.to_owned(),
            version: DEFAULT_VERSION.to_owned(),
            policy: Policy {
                max_retries: MAX_RETRIES,
                deadline: DEFAULT_DEADLINE,
            },
            configure: None,
            clock: Arc::new(SystemClock),
            random: http::random,
        }
    }
}

impl WebhookServiceBuilder {
    /// Sets the API key.
    ///
    /// By default it is read from `GOOGLE_API_KEY`, or else from `GEMINI_API_KEY`.
    pub fn api_key(mut self, key: impl AsRef<str>) -> Self {
        self.key = Some(ApiKey::new(key));
        self
    }

    /// Sets the base URL of the API. [`GOOGLE_API_URL`] by default.
    ///
    /// It must be `https`, except for loopback addresses (`localhost`, `127.0.0.1`, `[::1]`).
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = url.into();
        self
    }

    /// Sets the version of the API in the URL. `v1` by default.
    ///
    /// Google's newest SDKs use `v1`, earlier ones `v1beta`.
    pub fn api_version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Sets how often a failed call is retried. 4 times by default, as in Google's SDKs.
    ///
    /// That is done after a 408, 409, 429 and 5xx, and where there was no connection or no answer,
    /// after 500 ms, doubling up to 8 s, less up to a quarter by chance, or after the time that
    /// `Retry-After` asks for. A call that would make a second webhook, secret or job is sent again only
    /// where it cannot have been carried out: where there was no connection, and after a 429. A wait
    /// of more than a day is not begun; the error has its
    /// [`retry_after`](super::ClientError::retry_after).
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.policy.max_retries = retries;
        self
    }

    /// How long a call may take, with all its tries and the waiting between them: 60 seconds by
    /// default. A wait that would go beyond it is not begun, nor, for a call that makes a webhook, a
    /// secret or a job, one that would leave less than a third of it for the answer, or than 10 seconds
    /// if that is less.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.policy.deadline = deadline;
        self
    }

    /// Changes the HTTP client: a proxy, certificates, time-outs. Before this is called, a connection
    /// may take 10 seconds to make and a try 30 seconds, and a URL of this machine itself is called
    /// without a proxy. Redirects stay off, HTTPS stays required, and what goes over the connection is
    /// not logged, since secrets do.
    ///
    /// ```
    /// use std::time::Duration;
    /// use gemini_webhooks::client::WebhookService;
    ///
    /// let service = WebhookService::builder()
    ///     .api_key("fake-key-123")
    ///     .http(|client| client.timeout(Duration::from_secs(5)).https_only(true))
    ///     .build()?;
    /// # Ok::<(), gemini_webhooks::ConfigError>(())
    /// ```
    pub fn http(
        mut self,
        configure: impl FnOnce(ClientBuilder) -> ClientBuilder + Send + 'static,
    ) -> Self {
        self.configure = Some(Box::new(configure));
        self
    }

    /// Sets the clock for deadlines and for dates in `Retry-After`. The system's clock by default.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Checks the settings and returns the client.
    ///
    /// # Errors
    ///
    /// - [`ConfigError::ApiKeyMalformed`] if the text is not an API key.
    /// - [`ConfigError::Variable`] if you gave no key, and the environment has none.
    /// - [`ConfigError::ApiUrlInvalid`] if the base URL or the version cannot be used.
    /// - [`ConfigError::Zero`] if the deadline is zero.
    /// - [`ConfigError::HttpClient`] if the HTTP client cannot be built.
    pub fn build(self) -> Result<WebhookService, ConfigError> {
        let key = self.key.unwrap_or_else(ApiKey::from_env)?;
        if self.policy.deadline.is_zero() {
            return Err(ConfigError::Zero {
                setting: "deadline",
            });
        }
        let base = base(&self.base_url)?;
        let version = http::segment("build", "the version", &self.version);
        let version = version.map_err(|_| ConfigError::ApiUrlInvalid {
            reason: "cannot be used without a version of the API, and `api_version` is empty; leave it out for `v1`",
        })?;
        let header = key.header()?;
        let mut client = ClientBuilder::new()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TRY_TIMEOUT)
            .user_agent(concat!("gemini-webhooks/", env!("CARGO_PKG_VERSION")));
        let loopback = is_loopback(&base);
        if loopback {
            client = client.no_proxy();
        }
        if let Some(configure) = self.configure {
            client = configure(client);
        }
        // The key goes along with each call, so it is not for the caller to lower these.
        client = client
            .redirect(redirect::Policy::none())
            .referer(false)
            .connection_verbose(false);
        if !loopback {
            client = client.https_only(true);
        }
        let client = client.build().map_err(|error| ConfigError::HttpClient {
            reason: Chain(&error).to_string(),
        })?;
        Ok(WebhookService::new(Http::new(http::Inner {
            client,
            base: format!("{}/{version}", base.as_str().trim_end_matches('/')),
            key,
            header,
            policy: self.policy,
            clock: self.clock,
            random: self.random,
        })))
    }
}

fn base(text: &str) -> Result<Url, ConfigError> {
    let invalid = |reason| ConfigError::ApiUrlInvalid { reason };
    let url = Url::parse(text.trim()).map_err(|_| {
        invalid("is not a valid URL; give an absolute one, such as `https://example.com`")
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid(
            "has a user or a password in it; remove it, and give the API key to `api_key`",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("has a query or a fragment; remove it"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err(invalid(
            "is neither `https` nor a loopback address, so the API key would be sent unencrypted; use `https`",
        )),
    }
}

impl fmt::Debug for WebhookServiceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookServiceBuilder")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(url: &str, version: &str) -> Result<String, String> {
        let builder = WebhookService::builder().api_key("fake-key-123");
        let service = builder.base_url(url).api_version(version).build();
        service
            .map(|service| service.base().to_owned())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn where_the_api_may_be() {
        for (url, version, base) in [
            (
                GOOGLE_API_URL,
                "v1",
                "https://generativelanguage.googleapis.com/v1",
            ),
            (
                "https://a.example/gemini/",
                "v1beta",
                "https://a.example/gemini/v1beta",
            ),
            ("http://127.0.0.1:8080", "v1", "http://127.0.0.1:8080/v1"),
            ("http://localhost:1/", "a/b", "http://localhost:1/a%2Fb"),
            ("http://[::1]:1", "v1", "http://[::1]:1/v1"),
        ] {
            assert_eq!(build(url, version).as_deref(), Ok(base), "{url}");
        }
        for (url, version, part) in [
            ("http://a.example", "v1", "neither `https` nor a loopback"),
            (
                "http://127.0.0.1.a.example",
                "v1",
                "neither `https` nor a loopback",
            ),
            ("http://10.0.0.1", "v1", "neither `https` nor a loopback"),
            ("ftp://a.example", "v1", "neither `https` nor a loopback"),
            ("a.example", "v1", "not a valid URL"),
            ("", "v1", "not a valid URL"),
            ("https://user@a.example", "v1", "a user or a password"),
            ("https://:hidden@a.example", "v1", "a user or a password"),
            ("https://a.example?key=hidden", "v1", "a query"),
            ("https://a.example#x", "v1", "a fragment"),
            ("https://a.example", "", "`api_version` is empty"),
            ("https://a.example", "..", "`api_version` is empty"),
        ] {
            let mistake = build(url, version).unwrap_err();
            assert!(
                mistake.contains(part) && !mistake.contains("hidden"),
                "{url}: {mistake}"
            );
        }
    }

    #[test]
    fn a_wrong_key_is_told_when_it_is_built() {
        let builder = WebhookService::builder().api_key("\"fake-key-123\"");
        assert!(!format!("{builder:?}").contains("fake"));
        let mistake = builder.build().unwrap_err();
        assert!(
            matches!(mistake, ConfigError::ApiKeyMalformed { .. }),
            "{mistake}"
        );
        let zero = WebhookService::builder()
            .api_key("k")
            .deadline(Duration::ZERO)
            .build();
        assert_eq!(
            zero.unwrap_err(),
            ConfigError::Zero {
                setting: "deadline"
            }
        );
    }
}
