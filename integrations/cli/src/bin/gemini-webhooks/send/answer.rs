//! Sends a request, and takes down what was answered.

use std::error::Error as _;
use std::io::ErrorKind;
use std::time::Duration;

use gemini_webhooks::{Clock as _, SystemClock};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use serde_json::Value;

use super::tamper::Request;
use super::target::Target;
use crate::exit::Failure;
use crate::shown;

/// How much of a body is read. The answers of a receiver are shorter.
const MAX_BODY: usize = 64 * 1024;

/// What came of one request.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
}

#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Answered(Reply),
    /// There was no answer, and this is why.
    None(Trouble, String),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// The first part of the body, as text.
    pub(super) body: String,
    pub(super) is_cut: bool,
    /// The `error` in the body, if it is JSON with such a member.
    pub(super) code: Option<String>,
    pub(super) retry_after: Option<Duration>,
    /// Where a redirect leads, without its query.
    pub(super) location: Option<String>,
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    NothingListens,
    NotReached,
    TimedOut,
    BrokeOff,
}

impl Answer {
    /// Whether a sender such as Google would send it again.
    pub(super) fn is_success(&self) -> bool {
        matches!(&self.outcome, Outcome::Answered(reply) if (200..300).contains(&reply.status))
    }
}

/// A client that follows no redirect: a delivery goes where the user says, and nowhere else.
pub(super) fn client(target: &Target, timeout: Duration) -> Result<Client, Failure> {
    let mut builder = Client::builder()
        .user_agent(concat!("gemini-webhooks/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .timeout(timeout);
    if target.is_loopback() {
        builder = builder.no_proxy();
    }
    builder
        .build()
        .map_err(|error| Failure::new(format!("no HTTP client can be made: {}", chain(&error))))
}

/// The headers as they are sent.
pub(super) fn headers(request: &Request) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in &request.headers {
        let value = HeaderValue::from_str(value).map_err(|_| {
            Failure::unusable(format!(
                "the {name} cannot stand in a header: use visible ASCII"
            ))
        })?;
        headers.append(HeaderName::from_static(name), value);
    }
    Ok(headers)
}

pub(super) async fn send(client: &Client, request: Request, headers: HeaderMap) -> Answer {
    let begun = SystemClock.monotonic();
    let sent = client
        .request(request.method, request.target.url().clone())
        .headers(headers)
        .body(request.body)
        .send();
    let outcome = match sent.await {
        Ok(response) => match reply(response).await {
            Ok(reply) => Outcome::Answered(reply),
            Err(error) => trouble(&error),
        },
        Err(error) => trouble(&error),
    };
    Answer {
        outcome,
        took: SystemClock.monotonic().saturating_duration_since(begun),
    }
}

async fn reply(mut response: Response) -> Result<Reply, reqwest::Error> {
    let header = |name| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let retry_after = header(RETRY_AFTER).and_then(|seconds| seconds.trim().parse().ok());
    let location = header(LOCATION).and_then(|to| response.url().join(to).ok());
    let mut reply = Reply {
        status: response.status().as_u16(),
        retry_after: retry_after.map(Duration::from_secs),
        location: location.map(|to| without_query(&to)),
        ..Reply::default()
    };
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await? {
        body.extend_from_slice(&part);
        if body.len() > MAX_BODY {
            body.truncate(MAX_BODY);
            reply.is_cut = true;
            break;
        }
    }
    reply.code = code(&body);
    reply.body = String::from_utf8_lossy(&body).into_owned();
    Ok(reply)
}

fn code(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    Some(body.get("error")?.as_str()?.to_owned())
}

fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

fn trouble(error: &reqwest::Error) -> Outcome {
    let trouble = if error.is_timeout() {
        Trouble::TimedOut
    } else if has_io(error, ErrorKind::ConnectionRefused) {
        Trouble::NothingListens
    } else if error.is_connect() {
        Trouble::NotReached
    } else {
        Trouble::BrokeOff
    };
    Outcome::None(trouble, chain(error))
}

fn has_io(error: &reqwest::Error, kind: ErrorKind) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == kind)
        {
            return true;
        }
        source = error.source();
    }
    false
}

/// The error and its causes. Its own text has the URL in it, and so perhaps a token: it is left out.
fn chain(error: &reqwest::Error) -> String {
    match error.source() {
        Some(cause) => shown::chain(cause),
        None => "the request failed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_a_refusal() {
        for (body, code_in_it) in [
            (
                r#"{"error":"signature_mismatch"}"#,
                Some("signature_mismatch"),
            ),
            (r#"{"error":{"code":400}}"#, None),
            (r#"["error"]"#, None),
            (r#""error""#, None),
            ("Bad Request", None),
            ("", None),
        ] {
            assert_eq!(code(body.as_bytes()).as_deref(), code_in_it, "{body}");
        }
    }
}
