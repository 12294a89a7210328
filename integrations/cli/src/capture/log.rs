//! Deliveries that a receiver kept in its log (`log_refused_deliveries`).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Capture, CaptureError, MAX_DELIVERIES, from_http};

/// What begins a kept delivery, in whatever form the log is written.
const MARK: &[u8] = b"gwh1.";

/// Whether a text has a kept delivery in it.
pub(super) fn is_kept(text: &[u8]) -> bool {
    kept(text).next().is_some()
}

/// Reads the deliveries that a receiver kept in its log.
///
/// A receiver keeps them if it was built with
/// [`log_refused_deliveries`](gemini_webhooks::WebhookReceiverBuilder::log_refused_deliveries). The log may be in any
/// form, such as plain lines or JSON. Of more than 1000 the last ones are read.
///
/// # Errors
///
/// [`CaptureError`] if there is none, or one is cut.
pub fn from_log(text: &[u8]) -> Result<Vec<Capture>, CaptureError> {
    let all: Vec<(&[u8], &[u8])> = kept(text).collect();
    if all.is_empty() {
        return Err(CaptureError::new(
            "the text has no kept delivery (`capture=gwh1.…`): build the receiver with `log_refused_deliveries()`",
        ));
    }
    // Strangers choose ids, which a log has as well: what cannot be read must not hide the others.
    let mut read: Vec<Capture> = all
        .into_iter()
        .filter_map(|(encoded, line)| {
            let request = URL_SAFE_NO_PAD.decode(encoded).ok()?;
            let capture = from_http(&request).ok()?.with_refusal(tried(line));
            // It had passed the check of its time.
            Some(match capture.sent_at() {
                Some(sent_at) => capture.with_received_at(sent_at),
                None => capture,
            })
        })
        .collect();
    if read.is_empty() {
        return Err(CaptureError::new(
            "the kept deliveries in the log are cut: raise the limit of whatever shortens its lines",
        ));
    }
    Ok(read.split_off(read.len().saturating_sub(MAX_DELIVERIES)))
}

/// The key ids of secrets in a line.
fn tried(line: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(line);
    let after = text.split("sha256:").skip(1);
    after
        .filter_map(|rest| rest.get(..8))
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .map(|digits| format!("sha256:{digits}"))
        .collect()
}

/// What follows each mark, as far as it is base64, and the line that it is in.
fn kept(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let lines = text.split(|&byte| byte == b'\n');
    lines.flat_map(move |line| {
        let starts = line
            .windows(MARK.len())
            .enumerate()
            .filter(|(_, window)| *window == MARK)
            .map(|(at, _)| at + MARK.len());
        starts.filter_map(move |start| {
            let rest = line.get(start..)?;
            let length = rest.iter().take_while(|byte| is_base64(byte)).count();
            let encoded = rest.get(..length).filter(|encoded| encoded.len() > 40)?;
            Some((encoded, line))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_deliveries_are_found_in_any_form_of_log() {
        let request = b"webhook-id: msg_1\r\nwebhook-timestamp: 1\r\nwebhook-signature: v1,x\r\n\r\n{\"a\":1}\n";
        let kept = format!("gwh1.{}", URL_SAFE_NO_PAD.encode(request));
        for log in [
            format!("WARN delivery refused code=\"x\" capture={kept}\n"),
            format!("WARN delivery refused code=\"x\" capture=\"{kept}\" b=c"),
            format!("{{\"fields\":{{\"capture\":\"{kept}\"}}}}"),
        ] {
            let found = from_log(log.as_bytes()).unwrap();
            assert_eq!(found[0].body(), "{\"a\":1}\n");
        }
        let forged = format!("id=gwh1.{}\n{kept}\n", "A".repeat(60));
        assert_eq!(from_log(forged.as_bytes()).unwrap().len(), 1);
        let cut = from_log(kept.get(..kept.len() - 3).unwrap().as_bytes());
        assert!(cut.is_err() || cut.unwrap()[0].body().len() < 8);
        assert!(from_log(b"gwh1.short, and nothing else").is_err());
    }
}
