//! HAR files: what browsers and proxies record.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::http::path_of;
use super::{Capture, CaptureError, HEADERS, MAX_DELIVERIES, MAX_HEADERS};

#[derive(Deserialize)]
struct Har {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    started_date_time: Option<String>,
    request: Request,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    method: String,
    url: String,
    headers: Vec<Header>,
    #[serde(default)]
    post_data: Option<PostData>,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct PostData {
    #[serde(default)]
    text: String,
    /// No part of HAR 1.2 for requests, but some proxies write it.
    #[serde(default, alias = "_encoding")]
    encoding: Option<String>,
}

/// Reads the deliveries in a HAR file: its requests that have a header of a delivery.
///
/// HAR keeps a body as text. A body that was no text is not what arrived any more, unless the file marks it as
/// base64. Of more than 1000 the last ones are read.
///
/// # Errors
///
/// [`CaptureError`] if the text is no HAR file, or has no such request.
pub fn from_har(text: &[u8]) -> Result<Vec<Capture>, CaptureError> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let har: Har = serde_json::from_slice(text)
        .map_err(|error| CaptureError::new(format!("this is no HAR file: {error}")))?;
    let requests = har.log.entries.len();
    let deliveries: Vec<_> = har
        .log
        .entries
        .into_iter()
        .filter(|entry| entry.request.headers.iter().any(Header::is_of_a_delivery))
        .collect();
    if deliveries.is_empty() {
        return Err(CaptureError::new(format!(
            "none of the {requests} requests in the HAR file has a header webhook-id, webhook-timestamp or webhook-signature"
        )));
    }
    let skipped = deliveries.len().saturating_sub(MAX_DELIVERIES);
    deliveries.into_iter().skip(skipped).map(capture).collect()
}

impl Header {
    fn is_of_a_delivery(&self) -> bool {
        HEADERS
            .iter()
            .any(|name| self.name.eq_ignore_ascii_case(name))
    }
}

fn capture(entry: Entry) -> Result<Capture, CaptureError> {
    let Request {
        method,
        url,
        headers,
        post_data,
    } = entry.request;
    if headers.len() > MAX_HEADERS {
        return Err(CaptureError::new(
            "a request in the HAR file has more than 256 headers",
        ));
    }
    let mut note = None;
    let body = match post_data {
        Some(data) if data.encoding.as_deref() == Some("base64") => {
            STANDARD.decode(data.text).map_err(|_| {
                CaptureError::new("a body in the HAR file is marked as base64, but is none")
            })?
        }
        Some(data) => data.text.into_bytes(),
        None => {
            note = Some("the HAR file has no body for this request: it may not have been recorded");
            Vec::new()
        }
    };
    let headers = headers
        .into_iter()
        .map(|header| (header.name, header.value));
    let mut capture = Capture::new(headers, body).with_request_line(method, path_of(&url));
    if let Some(note) = note {
        capture = capture.with_note(note);
    }
    let received = entry
        .started_date_time
        .and_then(|time| SystemTime::try_from(time.parse::<jiff::Timestamp>().ok()?).ok());
    Ok(match received {
        Some(time) => capture.with_received_at(time),
        None => capture,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_are_picked_out() {
        let har = br#"{"log":{"version":"1.2","entries":[
            {"startedDateTime":"2026-01-22T12:00:00.500Z","request":{"method":"GET","url":"https://x.example/","headers":[]}},
            {"startedDateTime":"2026-01-22T12:00:01.500Z","request":{"method":"POST","url":"https://x.example/cb?x=1",
             "headers":[{"name":"Webhook-Id","value":"msg_1"}],"postData":{"mimeType":"application/json","text":"{\"a\":1}"}}},
            {"request":{"method":"POST","url":"https://x.example/cb","headers":[{"name":"webhook-signature","value":"v1,x"}],
             "postData":{"text":"e30=","encoding":"base64"}}},
            {"request":{"method":"POST","url":"https://x.example","headers":[{"name":"webhook-signature","value":"v1,x"}]}}
        ]}}"#;
        let found = from_har(har).unwrap();
        let seen: Vec<_> = found
            .iter()
            .map(|capture| (capture.target().unwrap(), capture.body().as_ref()))
            .collect();
        assert_eq!(
            seen,
            [
                ("/cb?x=1", br#"{"a":1}"#.as_slice()),
                ("/cb", b"{}"),
                ("/", b"")
            ]
        );
        let at = found[0].received_at().unwrap();
        let since = at.duration_since(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(since.as_millis(), 1_769_083_201_500);
        assert!(found[2].notes()[0].contains("no body"));
    }

    #[test]
    fn what_is_no_use_is_said() {
        for (text, says) in [
            ("{}", "this is no HAR file"),
            (r#"{"log":{"entries":[]}}"#, "none of the 0 requests"),
            (
                r#"{"log":{"entries":[{"request":{"method":"POST","url":"/","headers":[{"name":"webhook-id","value":"1"}],"postData":{"text":"!","encoding":"base64"}}}]}}"#,
                "marked as base64",
            ),
        ] {
            let error = from_har(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
