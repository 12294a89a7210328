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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::headers::DeliveryHeaders;
    use crate::testing::{self, ManualClock};
    use crate::{Clock as _, Keyring, Verifier};

    /// Of the right form, and made by nobody.
    const SIGNATURE: &str = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

    fn checked() -> Checked {
        let lines = [
            ("webhook-id", "msg_1"),
            ("webhook-timestamp", "1700000000"),
            ("webhook-signature", SIGNATURE),
        ];
        let now = ManualClock::new(std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let verifier = Verifier::new(Keyring::new(testing::SECRET.parse().unwrap()));
        let headers = DeliveryHeaders::from_lines(lines);
        verifier.check(&headers, now.now()).unwrap()
    }

    fn decoded(kept: &str) -> String {
        let encoded = kept.strip_prefix(MARK).unwrap();
        String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).unwrap()).unwrap()
    }

    #[test]
    fn what_is_about_the_signature_is_kept_as_it_came() {
        use VerifyErrorKind::*;

        let (checked, now) = (checked(), SystemClock.monotonic());
        let keep = |kind, declared| Captures::default().keep(kind, &checked, declared, b"{}", now);
        for kind in [
            SignatureMismatch,
            InvalidToken,
            WrongAudience,
            UnknownKey,
            BodyMismatch,
        ] {
            assert!(keep(kind, None).is_some(), "{kind:?}");
        }
        for kind in [NotAccepted, KeysUnavailable, InFlight] {
            assert_eq!(keep(kind, None), None, "{kind:?}");
        }
        let lines = format!(
            "webhook-id: msg_1\r\nwebhook-timestamp: 1700000000\r\nwebhook-signature: {SIGNATURE}\r\n"
        );
        for (declared, line) in [(None, ""), (Some(3), "content-length: 3\r\n")] {
            let kept = keep(SignatureMismatch, declared).unwrap();
            assert_eq!(decoded(&kept), format!("{lines}{line}\r\n{{}}"));
        }
    }

    #[test]
    fn nine_kib_are_kept_and_one_a_second() {
        let (checked, start) = (checked(), SystemClock.monotonic());
        let captures = Captures::default();
        let keep = |length: usize, milliseconds| {
            let now = start + Duration::from_millis(milliseconds);
            let body = vec![b' '; length];
            let kind = VerifyErrorKind::SignatureMismatch;
            let kept = captures.keep(kind, &checked, None, &body, now)?;
            Some(decoded(&kept).len())
        };
        let headers = keep(0, 0).unwrap();
        let most = 9 * 1024 - headers;
        for (length, milliseconds, kept) in [
            (0, 999, None),
            (most, 1000, Some(9 * 1024)),
            // One that is too long takes nobody's turn.
            (most + 1, 2000, None),
            (20_000, 2000, None),
            (1, 2000, Some(headers + 1)),
            (1, 2999, None),
        ] {
            assert_eq!(
                keep(length, milliseconds),
                kept,
                "{length}, {milliseconds} ms"
            );
        }
        assert_eq!(format!("{captures:?}"), "at most one a second");
    }
}
