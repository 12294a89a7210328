//! Deliveries as somebody kept them: a whole HTTP request, a HAR file, a `curl` command, a line of a log.
//!
//! [`read`] finds out which of them a text is. A capture can hold whatever the open internet sends, so nothing in it
//! is trusted, and everything is bounded.

mod curl;
mod har;
mod http;
mod listened;
mod log;

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use gemini_webhooks::{WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};

pub use curl::from_curl;
pub use har::from_har;
pub use http::{from_headers, from_http};
pub use listened::from_listened;
pub use log::from_log;

/// The longest text that is read: 16 MiB. HAR files hold whole pages.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The headers of a delivery.
pub(crate) const HEADERS: [&str; 3] = [WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE];

/// More deliveries of one file are not read: the last ones count.
const MAX_DELIVERIES: usize = 1000;

/// More header lines than this are no delivery.
const MAX_HEADERS: usize = 256;

/// One HTTP request as it arrived: header lines and body, and the method and target if they are known.
///
/// Header lines stay as they are, in their order, repeated ones as well: what a proxy did to them is part of what
/// there is to find.
///
/// ```
/// use gemini_webhooks_cli::Capture;
///
/// let headers = [("webhook-id", "msg_1"), ("webhook-timestamp", "1700000000")];
/// let capture = Capture::new(headers, "{}").with_request_line("POST", "/gemini-callback");
/// assert_eq!(capture.header("Webhook-Id").next(), Some(b"msg_1".as_slice()));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Capture {
    method: Option<String>,
    target: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    body: Bytes,
    received_at: Option<SystemTime>,
    refused_with: Option<Vec<String>>,
    notes: Vec<String>,
}

impl Capture {
    /// Makes a capture of header lines and a body.
    #[must_use]
    pub fn new<N, V>(headers: impl IntoIterator<Item = (N, V)>, body: impl Into<Bytes>) -> Self
    where
        N: Into<String>,
        V: Into<Vec<u8>>,
    {
        Self {
            headers: headers
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            body: body.into(),
            ..Self::default()
        }
    }

    /// Adds the method and the target: the path with the query.
    #[must_use]
    pub fn with_request_line(
        mut self,
        method: impl Into<String>,
        target: impl Into<String>,
    ) -> Self {
        self.method = Some(method.into());
        self.target = Some(target.into());
        self
    }

    /// Replaces the body, for a capture whose body is kept apart. What was noticed of the former one is forgotten.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.notes.clear();
        self
    }

    /// The key ids of the secrets with which a receiver refused it.
    fn with_refusal(mut self, key_ids: Vec<String>) -> Self {
        self.refused_with = Some(key_ids);
        self
    }

    /// Adds when the request arrived.
    #[must_use]
    pub fn with_received_at(mut self, time: SystemTime) -> Self {
        self.received_at = Some(time);
        self
    }

    fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Returns the method, if it is known.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        self.method.as_deref()
    }

    /// Returns the path and query, if they are known.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// Returns the header lines, in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// Returns the values of a header, whose name is compared without regard to case.
    pub fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Returns the body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns when the request arrived, if the capture says so.
    #[must_use]
    pub fn received_at(&self) -> Option<SystemTime> {
        self.received_at
    }

    /// Returns the key ids of the secrets that a receiver tried before it refused the delivery, if the capture is of
    /// its log.
    #[must_use]
    pub fn refused_with(&self) -> Option<&[String]> {
        self.refused_with.as_deref()
    }

    /// Returns the time that the delivery's own timestamp names, if it is one.
    #[must_use]
    pub fn sent_at(&self) -> Option<SystemTime> {
        moment(self.header(WEBHOOK_TIMESTAMP).next()?)
    }

    /// Returns what was noticed when the capture was read, such as bytes that are missing.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// Reads the deliveries in a text: HTTP requests, a HAR file, a `curl` command, a log, or what
/// `gemini-webhooks listen --json` printed, whichever it is.
///
/// ```
/// let found = gemini_webhooks_cli::capture::read(
///     br#"curl -H 'webhook-id: msg_1' --data-binary '{}' http://127.0.0.1:8000/gemini-callback"#,
/// )?;
/// assert_eq!(found[0].body(), "{}");
/// # Ok::<(), gemini_webhooks_cli::CaptureError>(())
/// ```
///
/// # Errors
///
/// [`CaptureError`] if it is none of them, or holds no delivery.
pub fn read(text: &[u8]) -> Result<Vec<Capture>, CaptureError> {
    if text.len() > MAX_BYTES {
        return Err(CaptureError::new("it is longer than 16 MiB"));
    }
    let decoded = http::in_utf8(text)?;
    let text = &*decoded;
    let start = text.trim_ascii_start();
    if start.is_empty() {
        return Err(CaptureError::new("it is empty"));
    }
    if listened::is_listened(start) {
        return from_listened(text);
    }
    if start.starts_with(b"{") && memchr_str(start, b"\"log\"") {
        return from_har(text);
    }
    if curl::is_curl(start) {
        return from_curl(text).map(|capture| vec![capture]);
    }
    let request = from_http(text);
    // A body may have the mark of a kept delivery in it.
    let is_delivery = |capture: &Capture| {
        HEADERS
            .iter()
            .any(|name| capture.header(name).next().is_some())
    };
    if !request.as_ref().is_ok_and(is_delivery) && log::is_kept(text) {
        return from_log(text);
    }
    match request {
        Err(_) if memchr_str(start, b"gemini_webhooks") => Err(CaptureError::new(
            "this looks like a log, but no line of it has a kept delivery (`capture=\"gwh1.…\"`): build the receiver with \
             `log_refused_deliveries()` (the examples: LOG_REFUSED_DELIVERIES=1), and let the delivery come again",
        )),
        read => read.map(|capture| vec![capture]),
    }
}

/// The moment that a timestamp names, in seconds since 1970.
pub(crate) fn moment(timestamp: &[u8]) -> Option<SystemTime> {
    let seconds = str::from_utf8(timestamp).ok()?.parse().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Whether `part` occurs in the first kilobyte.
fn memchr_str(text: &[u8], part: &[u8]) -> bool {
    let text = text.get(..1024).unwrap_or(text);
    text.windows(part.len()).any(|window| window == part)
}

/// The error when a text holds no delivery that could be read. It says what the text looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureError(String);

impl CaptureError {
    fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CaptureError {}
