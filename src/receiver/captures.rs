//! Refused deliveries that the log keeps, so that somebody can find out what changed them.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::VerifyErrorKind;
use crate::trace::MARK;
use crate::verifier::Checked;

/// Google's payloads take a few hundred bytes, and base64 adds a third.
const MAX_BYTES: usize = 9 * 1024;

/// Anyone can have a delivery refused, and must not fill the disk so.
const PAUSE: Duration = Duration::from_secs(1);

/// Keeps at most one refused delivery a second.
#[derive(Default)]
pub(crate) struct Captures {
    last: Mutex<Option<Instant>>,
}

impl Captures {
    /// The delivery as one word, which `gemini-webhooks verify` finds in a log of any form. `None` if it is not about
    /// the signature, is too long, or comes too soon after another.
    pub(crate) fn keep(
        &self,
        kind: VerifyErrorKind,
        checked: &Checked,
        declared: Option<u64>,
        body: &[u8],
        now: Instant,
    ) -> Option<String> {
        let is_about_the_signature = matches!(
            kind,
            VerifyErrorKind::SignatureMismatch
                | VerifyErrorKind::InvalidToken
                | VerifyErrorKind::WrongAudience
                | VerifyErrorKind::UnknownKey
                | VerifyErrorKind::BodyMismatch
        );
        if !is_about_the_signature || body.len() > MAX_BYTES {
            return None;
        }
        let mut request = Vec::with_capacity(body.len() + 512);
        for (name, value) in checked.lines() {
            request.extend_from_slice(name.as_bytes());
            request.extend_from_slice(b": ");
            request.extend_from_slice(value);
            request.extend_from_slice(b"\r\n");
        }
        if let Some(length) = declared {
            request.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(body);
        let fits = request.len() <= MAX_BYTES && self.is_time(now);
        fits.then(|| format!("{MARK}{}", URL_SAFE_NO_PAD.encode(request)))
    }

    fn is_time(&self, now: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = last.is_none_or(|last| now.saturating_duration_since(last) >= PAUSE);
        if is_time {
            *last = Some(now);
        }
        is_time
    }
}

impl fmt::Debug for Captures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("at most one a second")
    }
}
