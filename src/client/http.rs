//! The one place that sends.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, Response, Url};
use serde_json::Value;
use zeroize::Zeroizing;

use super::error::ClientError;
use super::key::ApiKey;
use super::percent::encoded;
use super::retry::{self, Failure, Policy, Repeat};
use super::shown::Hidden;
use crate::clock::Clock;
use crate::error::Chain;

/// A page of a thousand webhooks has less than 1 MiB.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Of an answer whose head is enough. To read more takes longer than a new connection.
const MAX_REST: usize = 64 * 1024;
const TO_REST: Duration = Duration::from_millis(100);
const TOO_LONG: &str = "the answer is longer than 4 MiB";

/// What all calls share.
#[derive(Clone)]
pub(super) struct Http(Arc<Inner>);

#[derive(Clone)]
pub(super) struct Inner {
    pub(super) client: Client,
    /// Without a slash at its end, and with the version.
    pub(super) base: String,
    pub(super) key: ApiKey,
    pub(super) header: HeaderValue,
    pub(super) policy: Policy,
    pub(super) clock: Arc<dyn Clock>,
    /// From 0 to 1.
    pub(super) random: fn() -> f64,
}

/// One call, before it is sent.
#[derive(Debug)]
pub(super) struct Call {
    /// What users call it.
    pub(super) name: &'static str,
    pub(super) method: Method,
    /// Behind the version, made of [`segment`]s.
    pub(super) path: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
    pub(super) repeat: Repeat,
}

/// The body of an answer. It may contain a secret.
pub(super) type Body = Zeroizing<Vec<u8>>;

/// A try that failed.
struct Failed {
    failure: Failure,
    error: ClientError,
}

impl Http {
    pub(super) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// The same, with the same connections, for calls that are tried once.
    pub(super) fn without_retries(&self) -> Self {
        let mut inner = Inner::clone(&self.0);
        inner.policy.max_retries = 0;
        Self::new(inner)
    }

    pub(super) fn base(&self) -> &str {
        &self.0.base
    }

    /// How long one call may take.
    pub(super) fn deadline(&self) -> Duration {
        self.0.policy.deadline
    }

    pub(super) fn wall(&self) -> SystemTime {
        self.0.clock.now()
    }

    pub(super) fn monotonic(&self) -> Instant {
        self.0.clock.monotonic()
    }

    /// From 0 to 1.
    pub(super) fn random(&self) -> f64 {
        (self.0.random)()
    }

    /// Sends the call until it succeeds, or until trying again is of no use or not safe.
    pub(super) async fn send(&self, call: Call) -> Result<Body, ClientError> {
        let Inner { policy, clock, .. } = &*self.0;
        let url = self.url(&call)?;
        let body = call.body.as_ref().map(Value::to_string);
        let start = clock.monotonic();
        let elapsed = || clock.monotonic().saturating_duration_since(start);
        let (mut retries, mut doubtful) = (0_u32, false);
        loop {
            let left = policy.deadline.saturating_sub(elapsed());
            let once = self.once(&call, url.clone(), body.clone());
            let Failed { failure, error } = match tokio::time::timeout(left, once).await {
                Ok(Ok(body)) => return Ok(body),
                Ok(Err(failed)) => failed,
                Err(_) => overdue(call.name, policy.deadline),
            };
            let error = error.after(retries.saturating_add(1), failure, doubtful);
            doubtful |= failure.may_be_carried_out();
            let wait = policy.wait(failure, call.repeat, retries, elapsed(), self.random());
            let Some(wait) = wait else {
                return Err(error);
            };
            tokio::time::sleep(wait).await;
            retries = retries.saturating_add(1);
        }
    }

    fn url(&self, call: &Call) -> Result<Url, ClientError> {
        let url = format!("{}/{}", self.0.base, call.path);
        let mut url = Url::parse(&url).map_err(|error| {
            ClientError::refused(
                call.name,
                format!("the URL of the call is invalid: {error}"),
            )
        })?;
        if !call.query.is_empty() {
            let pair = |(name, value): &(&str, String)| format!("{name}={}", encoded(value));
            let pairs: Vec<String> = call.query.iter().map(pair).collect();
            url.set_query(Some(&pairs.join("&")));
        }
        Ok(url)
    }

    /// Whether the service answers this call with a success, in one try. Of such an answer only the head is
    /// read: a job may contain all of its results.
    pub(super) async fn succeeds(
        &self,
        call: &Call,
        deadline: Duration,
    ) -> Result<(), ClientError> {
        let deadline = deadline.min(self.deadline());
        let answered = self.answered(call, self.url(call)?, None);
        let failed = match tokio::time::timeout(deadline, answered).await {
            Ok(Ok(response)) if is_json(response.headers()) => {
                // The head has told; the rest only tells whether the connection can be used again.
                let whole = tokio::time::timeout(TO_REST, rest(response)).await;
                match whole.ok().flatten() {
                    Some(body) if !is_about(call, &body) => Failed {
                        failure: Failure::Unusable,
                        error: ClientError::unreadable(
                            call.name,
                            "the answer is about something else",
                        ),
                    },
                    _ => return Ok(()),
                }
            }
            Ok(Ok(_)) => Failed {
                failure: Failure::Unusable,
                error: ClientError::unreadable(call.name, "the answer is not JSON"),
            },
            Ok(Err(failed)) => failed,
            Err(_) => overdue(call.name, deadline),
        };
        Err(failed.error.after(1, failed.failure, false))
    }

    async fn once(&self, call: &Call, url: Url, body: Option<String>) -> Result<Body, Failed> {
        let response = self.answered(call, url, body).await?;
        read(response).await.map_err(|error| match error {
            Unread::Lost(error) => lost(call.name, error),
            Unread::TooLong => Failed {
                failure: Failure::Unusable,
                error: ClientError::unreadable(call.name, TOO_LONG),
            },
        })
    }

    /// The head of an answer that is a success.
    async fn answered(
        &self,
        call: &Call,
        url: Url,
        body: Option<String>,
    ) -> Result<Response, Failed> {
        let mut request = self
            .0
            .client
            .request(call.method.clone(), url)
            .header("x-goog-api-key", self.0.header.clone())
            .header(ACCEPT, "application/json");
        request = match body {
            Some(body) => request.header(CONTENT_TYPE, "application/json").body(body),
            // Some servers refuse a POST that does not say its length.
            None if call.method == Method::POST => request.header(CONTENT_LENGTH, 0),
            None => request,
        };
        let response = request.send().await;
        let response = response.map_err(|error| lost(call.name, error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let retry_after = self.retry_after(response.headers());
        // What else the answer says of the error is lost, not the error.
        let body = read(response).await.unwrap_or_default();
        let hidden = Hidden::new(self.0.key.text(), call.body.as_ref());
        Err(Failed {
            failure: Failure::Status {
                status,
                retry_after,
            },
            error: ClientError::answered(call.name, status, &body, retry_after, &hidden),
        })
    }

    fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
        retry::retry_after(value, self.0.clock.now())
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("base", &self.0.base)
            .field("policy", &self.0.policy)
            .finish_non_exhaustive()
    }
}

fn overdue(call: &'static str, deadline: Duration) -> Failed {
    Failed {
        failure: Failure::Lost,
        error: ClientError::timeout(call, format!("there was no answer within {deadline:?}")),
    }
}

fn lost(call: &'static str, error: reqwest::Error) -> Failed {
    let failure = if error.is_connect() {
        Failure::Unsent
    } else {
        Failure::Lost
    };
    let is_timeout = error.is_timeout();
    // Page tokens and ids stand in the URL.
    let error = Chain(&error.without_url()).to_string();
    let error = if is_timeout {
        ClientError::timeout(call, format!("there was no answer in time: {error}"))
    } else {
        ClientError::transport(call, error.into())
    };
    Failed { failure, error }
}

enum Unread {
    Lost(reqwest::Error),
    TooLong,
}

async fn read(mut response: Response) -> Result<Body, Unread> {
    let announced = response.content_length().unwrap_or_default();
    let announced = usize::try_from(announced).unwrap_or(usize::MAX);
    if announced > MAX_BYTES {
        return Err(Unread::TooLong);
    }
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(Unread::Lost)? {
        if chunk.len() > MAX_BYTES.saturating_sub(body.len()) {
            return Err(Unread::TooLong);
        }
        // Whatever has to grow leaves a copy behind.
        if body.is_empty() {
            body.reserve_exact(announced.max(chunk.len()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn is_json(headers: &HeaderMap) -> bool {
    let essence = headers.get(CONTENT_TYPE).and_then(|value| {
        let text = value.to_str().ok()?;
        text.split(';').next()
    });
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// Reads an answer to its end if it is short.
async fn rest(mut response: Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > MAX_REST {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

/// Whether an answer names what the call asks for.
fn is_about(call: &Call, body: &[u8]) -> bool {
    let asked = call.path.rsplit('/').next();
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let names = ["name", "id"].map(|member| json.get(member).and_then(|name| name.as_str()));
    names
        .into_iter()
        .flatten()
        .any(|name| name.rsplit('/').next().map(encoded).as_deref() == asked)
}

/// One segment of a path, whatever `text` is.
///
/// # Errors
///
/// It is empty, or one that URLs resolve.
pub(super) fn segment(call: &'static str, what: &str, text: &str) -> Result<String, ClientError> {
    match text {
        "" | "." | ".." => Err(ClientError::refused(
            call,
            format!("{what} must not be {text:?}"),
        )),
        _ => Ok(encoded(text)),
    }
}

/// From 0 to 1. Without randomness nothing is taken off the waiting.
pub(super) fn random() -> f64 {
    let random = getrandom::u32().unwrap_or_default();
    f64::from(random) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_segment() {
        let base = Url::parse("https://a.example/v1/webhooks/").unwrap();
        for id in [
            "abc", "a/b", "../x", "%2e%2e", "a?b#c", "a:ping", "\u{2025}", ".. ", "...",
        ] {
            let segment = segment("webhooks.get", "the id", id).unwrap();
            let url = base.join(&format!("./{segment}")).unwrap();
            assert_eq!(url.path_segments().unwrap().count(), 3, "{url}");
            assert_eq!(url.path(), format!("/v1/webhooks/{segment}"), "{id}");
            assert_eq!((url.query(), url.fragment()), (None, None), "{id}");
        }
        for id in ["", ".", ".."] {
            let error = segment("webhooks.get", "the id", id).unwrap_err();
            assert!(
                error.to_string().contains("webhooks.get failed: the id"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_random_is_from_0_to_1() {
        assert!(
            (0..1000)
                .map(|_| random())
                .all(|part| (0.0..=1.0).contains(&part))
        );
    }
}
