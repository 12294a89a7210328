//! What `gemini-webhooks listen --json` printed.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Capture, CaptureError, MAX_HEADERS};

#[derive(Deserialize)]
struct Line {
    what: String,
    at: Option<String>,
    method: Option<String>,
    target: Option<String>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    body: Option<String>,
    body_base64: Option<String>,
}

/// Whether a text begins with such a line.
pub(super) fn is_listened(text: &[u8]) -> bool {
    let first = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    first.starts_with(b"{") && serde_json::from_slice::<Line>(first).is_ok()
}

/// Reads the deliveries that `gemini-webhooks listen --json` printed, one on each line.
///
/// # Errors
///
/// [`CaptureError`] if a line is not of that form, or there is no delivery.
pub fn from_listened(text: &[u8]) -> Result<Vec<Capture>, CaptureError> {
    let mut captures = Vec::new();
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_slice(line).map_err(|error| {
            CaptureError::new(format!(
                "line {} is not of `listen --json`: {error}",
                index + 1
            ))
        })?;
        if line.what == "delivery" {
            captures.push(line.capture()?);
        }
    }
    if captures.is_empty() {
        return Err(CaptureError::new(
            "there is no delivery in what `listen --json` printed",
        ));
    }
    Ok(captures)
}

impl Line {
    fn capture(self) -> Result<Capture, CaptureError> {
        if self.headers.len() > MAX_HEADERS {
            return Err(CaptureError::new("a delivery has more than 256 headers"));
        }
        let body = match (self.body, self.body_base64) {
            (Some(text), _) => text.into_bytes(),
            (None, Some(encoded)) => STANDARD
                .decode(encoded)
                .map_err(|_| CaptureError::new("a `body_base64` is no base64"))?,
            (None, None) => Vec::new(),
        };
        let mut capture = Capture::new(self.headers, body);
        if let (Some(method), Some(target)) = (self.method, self.target) {
            capture = capture.with_request_line(method, target);
        }
        let at = self.at.and_then(|at| at.parse::<jiff::Timestamp>().ok());
        Ok(match at.and_then(|at| SystemTime::try_from(at).ok()) {
            Some(at) => capture.with_received_at(at),
            None => capture,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_are_read_and_other_lines_skipped() {
        let text = br#"{"what":"delivery","at":"2026-01-22T12:00:00Z","method":"POST","target":"/hook","verified":true,"headers":[["webhook-id","1"]],"body":"{}"}
{"what":"sent_again","number":1}
{"what":"delivery","headers":[],"body_base64":"AA=="}
"#;
        assert!(is_listened(text));
        let found = from_listened(text).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].target(), &**found[0].body()),
            (Some("/hook"), b"{}".as_slice())
        );
        assert!(found[0].received_at().is_some());
        assert_eq!(&**found[1].body(), b"\0");
        for text in [
            "{}",
            r#"{"what":"sent_again"}"#,
            "{\"what\":\"delivery\"}\nx",
        ] {
            assert!(from_listened(text.as_bytes()).is_err(), "{text}");
        }
        assert!(!is_listened(br#"{"log":{"entries":[]}}"#));
    }
}
