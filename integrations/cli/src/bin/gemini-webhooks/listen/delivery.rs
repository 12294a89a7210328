//! A request as it arrived, and what became of it.

use std::time::{Duration, SystemTime};

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gemini_webhooks::{VerifyError, VerifyErrorKind};
use gemini_webhooks_cli::Diagnosis;
use serde_json::{Map, Value, json};

use crate::shown;

/// A request as it arrived, and what became of it.
#[derive(Debug)]
pub(super) struct Delivery {
    /// Counts from 1.
    pub(super) number: u64,
    pub(super) at: SystemTime,
    pub(super) method: String,
    /// The path and query.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    /// Empty if it was not read.
    pub(super) body: Bytes,
    pub(super) verdict: Verdict,
    /// The number of the verified delivery that had the same id first.
    pub(super) repeat_of: Option<u64>,
    /// The status that the sender got.
    pub(super) answered: u16,
    /// What the app said, if it was asked.
    pub(super) app: Option<Answer>,
}

/// Whether a receiver accepts it.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It was read to its end, and compared with what the receiver trusts.
    Diagnosed(Diagnosis),
    /// It was refused before that.
    Unread(Unread),
}

/// Why a request was refused before its body was complete.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) kind: VerifyErrorKind,
    pub(super) reason: String,
}

impl Unread {
    pub(super) fn new(kind: VerifyErrorKind, reason: String) -> Self {
        Self { kind, reason }
    }

    pub(super) fn status(&self) -> u16 {
        VerifyError::from(self.kind).status()
    }
}

/// What the app answered, or why it did not.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) at: SystemTime,
    pub(super) took: Duration,
    pub(super) outcome: Result<Given, NoAnswer>,
}

/// An answer of the app.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The body was longer, and the rest was not read.
    pub(super) is_cut: bool,
}

/// Why there is no answer of the app.
#[derive(Clone, Debug)]
pub(super) struct NoAnswer {
    /// The status for the sender: 502 or 504.
    pub(super) status: u16,
    /// The code for the sender.
    pub(super) code: &'static str,
    pub(super) reason: String,
}

impl Delivery {
    pub(super) fn is_verified(&self) -> bool {
        matches!(&self.verdict, Verdict::Diagnosed(diagnosis) if diagnosis.is_verified())
    }

    /// Whether it was read to its end.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.verdict, Verdict::Diagnosed(_))
    }

    /// Whether it is no POST, and so no delivery.
    pub(super) fn is_stray(&self) -> bool {
        matches!(&self.verdict, Verdict::Unread(unread) if unread.kind == VerifyErrorKind::MethodNotAllowed)
    }

    /// The code and the reason of a refusal.
    pub(super) fn refusal(&self) -> Option<(&str, &str)> {
        match &self.verdict {
            Verdict::Diagnosed(diagnosis) => {
                let refusal = diagnosis.refusal()?;
                Some((refusal.code(), refusal.reason()))
            }
            Verdict::Unread(unread) => Some((unread.kind.code(), &unread.reason)),
        }
    }

    /// The `webhook-id`, as it came.
    pub(super) fn webhook_id(&self) -> Option<String> {
        let value = self.headers.get(gemini_webhooks::WEBHOOK_ID)?;
        Some(text(value.as_bytes()))
    }

    /// The type of the event. It is claimed only, unless the delivery is verified.
    pub(super) fn event_type(&self) -> Option<&str> {
        match &self.verdict {
            Verdict::Diagnosed(diagnosis) => diagnosis.accepted()?.event_type(),
            Verdict::Unread(_) => None,
        }
    }

    /// So many bytes it takes in memory, about.
    pub(super) fn size(&self) -> usize {
        let headers = size(&self.headers);
        let app = self.app.as_ref().map_or(0, Answer::size);
        // Some hundred for the rest.
        self.body.len() + self.target.len() + headers + app + 1024
    }

    /// The members that a list needs.
    pub(super) fn summary(&self) -> Value {
        json!({
            "number": self.number,
            "at": shown::time(self.at),
            "method": self.method,
            "target": self.target,
            "verified": self.is_verified(),
            "code": self.refusal().map(|(code, _)| code),
            "webhook_id": self.webhook_id(),
            "type": self.event_type(),
            "repeat_of": self.repeat_of,
            "answered": self.answered,
        })
    }

    /// All of it, without the body.
    pub(super) fn to_json(&self) -> Result<Map<String, Value>, serde_json::Error> {
        let mut map = Map::new();
        let verdict = match &self.verdict {
            Verdict::Diagnosed(diagnosis) => serde_json::to_value(diagnosis)?,
            Verdict::Unread(unread) => json!({
                "verified": false,
                "refusal": {
                    "code": unread.kind.code(),
                    "status": unread.status(),
                    "reason": unread.reason,
                },
                "findings": [],
            }),
        };
        for part in [self.summary(), verdict] {
            if let Value::Object(part) = part {
                map.extend(part);
            }
        }
        map.insert(
            "app".to_owned(),
            self.app.as_ref().map(Answer::to_json).into(),
        );
        map.insert("headers".to_owned(), lines(&self.headers));
        Ok(map)
    }
}

impl Answer {
    pub(super) fn size(&self) -> usize {
        match &self.outcome {
            Ok(given) => given.body.len() + size(&given.headers),
            Err(_) => 0,
        }
    }

    /// The answer without what is beyond so many bytes of the body.
    pub(super) fn cut(mut self, limit: usize) -> Self {
        if let Ok(given) = &mut self.outcome
            && let Some(first) = given.body.get(..limit)
        {
            given.is_cut |= given.body.len() > limit;
            // A slice would keep all of it in memory.
            given.body = Bytes::copy_from_slice(first);
        }
        self
    }

    pub(super) fn to_json(&self) -> Value {
        let mut value = json!({
            "at": shown::time(self.at),
            "milliseconds": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
        });
        let more = match &self.outcome {
            Ok(given) => json!({
                "status": given.status,
                "headers": lines(&given.headers),
                "body": text(&given.body),
                "body_is_cut": given.is_cut,
            }),
            Err(none) => json!({ "error": none.code, "reason": none.reason }),
        };
        if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
            value.extend(more);
        }
        value
    }
}

fn size(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

/// Header lines as pairs, repeated ones as well.
fn lines(headers: &HeaderMap) -> Value {
    headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), text(value.as_bytes())]))
        .collect()
}

/// Text in UTF-8 as it is, other bytes with what is no ASCII written out.
pub(super) fn text(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.escape_ascii().to_string(),
    }
}

/// Adds the body: as `body` if it is text, else as `body_base64`.
pub(super) fn add_body(map: &mut Map<String, Value>, body: &[u8]) {
    match str::from_utf8(body) {
        Ok(text) => map.insert("body".to_owned(), text.into()),
        Err(_) => map.insert("body_base64".to_owned(), STANDARD.encode(body).into()),
    };
}
