//! An HTTP request as text.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::{Capture, CaptureError, MAX_HEADERS};

/// Reads a whole HTTP request: request line, header lines, an empty line, the body.
///
/// The request line may be missing. Lines may end in LF or CRLF, and may begin with `> `, as `curl -v` writes them.
/// Of a body that is longer than `Content-Length` the rest is left out, since editors add a line break. A chunked
/// body is put together.
///
/// # Errors
///
/// [`CaptureError`] if there is no header line where one should be.
pub fn from_http(text: &[u8]) -> Result<Capture, CaptureError> {
    let stripped;
    let text = if text.trim_ascii_start().starts_with(b"> ") {
        stripped = without_marks(text);
        &stripped
    } else {
        text
    };
    let text = skip_empty_lines(text);
    let (first, rest) = line(text);
    let (request_line, head) = match request_line(first) {
        Some(found) => (Some(found), rest),
        None => (None, text),
    };
    let (headers, pseudo, body) = header_lines(head)?;
    let request_line = request_line.or(pseudo.0.zip(pseudo.1));
    let capture = Capture::new(headers, Bytes::new());
    let capture = match request_line {
        Some((method, target)) => capture.with_request_line(method, target),
        None => capture,
    };
    Ok(with_framed_body(capture, body))
}

/// Reads header lines alone, for a body that is kept apart: lines `name: value`, or a JSON object whose members are
/// texts or lists of texts.
///
/// # Errors
///
/// [`CaptureError`] if it is neither.
pub fn from_headers(text: &[u8], body: impl Into<Bytes>) -> Result<Capture, CaptureError> {
    let start = text.trim_ascii();
    if start.starts_with(b"{") {
        return Ok(Capture::new(json_headers(start)?, body));
    }
    let capture = from_http(text)?;
    if !capture.body().is_empty() {
        return Err(CaptureError::new(
            "there is text after the empty line that ends the headers: give the whole request as one file instead",
        ));
    }
    Ok(capture.with_body(body))
}

/// The members of an object, also those with the same name: a receiver sees both headers.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

fn json_headers(text: &[u8]) -> Result<Vec<(String, String)>, CaptureError> {
    let no_headers = |why: &str| CaptureError::new(format!("the headers are JSON, but {why}"));
    let Members(members) =
        serde_json::from_slice(text).map_err(|error| no_headers(&error.to_string()))?;
    let mut headers = Vec::new();
    for (name, value) in members {
        let values = match value {
            Value::Array(values) => values,
            value => vec![value],
        };
        for value in values {
            let value = match value {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                _ => return Err(no_headers("a value is neither a text nor a list of texts")),
            };
            headers.push((name.clone(), value));
        }
    }
    Ok(headers)
}

/// The lines without `> ` in front, and without those that `curl -v` adds.
fn without_marks(text: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut in_head = true;
    let mut rest = text;
    while !rest.is_empty() {
        let (content, after) = line(rest);
        let whole = rest.len() - after.len();
        let bytes = rest.get(..whole).unwrap_or(rest);
        rest = after;
        let marked = bytes.strip_prefix(b"> ").or(bytes.strip_prefix(b">"));
        match marked {
            Some(bytes) if in_head => {
                in_head = !content
                    .strip_prefix(b">")
                    .unwrap_or(content)
                    .trim_ascii()
                    .is_empty();
                kept.extend_from_slice(bytes);
            }
            _ if in_head => {}
            _ => kept.extend_from_slice(bytes),
        }
    }
    kept
}

fn skip_empty_lines(mut text: &[u8]) -> &[u8] {
    loop {
        let (first, rest) = line(text);
        if !first.is_empty() || rest.len() == text.len() {
            return text;
        }
        text = rest;
    }
}

/// The first line without its end, and what follows.
fn line(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|&byte| byte == b'\n');
    let (line, rest) = match end {
        Some(end) => (text.split_at(end).0, text.get(end + 1..).unwrap_or(b"")),
        None => (text, b"".as_slice()),
    };
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}

/// `POST /path HTTP/1.1`, as method and target.
fn request_line(line: &[u8]) -> Option<(String, String)> {
    let line = str::from_utf8(line).ok()?;
    let mut parts = line.split_ascii_whitespace();
    let (method, target, version) = (parts.next()?, parts.next()?, parts.next());
    let is_method = method.bytes().all(|byte| byte.is_ascii_uppercase());
    let is_version = version.is_none_or(|version| version.starts_with("HTTP/"));
    (is_method && is_version && parts.next().is_none())
        .then(|| (method.to_owned(), path_of(target).to_owned()))
}

/// The path and query of a target that may be a whole URL.
pub(super) fn path_of(target: &str) -> &str {
    let Some((_, rest)) = target.split_once("://") else {
        return target;
    };
    rest.find(['/', '?'])
        .map_or("/", |at| rest.get(at..).unwrap_or("/"))
}

type Lines = Vec<(String, Vec<u8>)>;

/// What pseudo-headers say of method and target.
type Pseudo = (Option<String>, Option<String>);

fn header_lines(head: &[u8]) -> Result<(Lines, Pseudo, &[u8]), CaptureError> {
    let mut headers: Lines = Vec::new();
    let mut request = (None, None);
    let mut number = 0;
    let mut rest = head;
    while !rest.is_empty() {
        let (content, after) = line(rest);
        rest = after;
        number += 1;
        if content.is_empty() {
            return Ok((headers, request, rest));
        }
        if headers.len() == MAX_HEADERS {
            return Err(CaptureError::new("it has more than 256 header lines"));
        }
        // A folded line goes on with white space (RFC 9112, section 5.2).
        if content.starts_with(b" ") || content.starts_with(b"\t") {
            let Some((_, value)) = headers.last_mut() else {
                return Err(no_header(content, number));
            };
            value.push(b' ');
            value.extend_from_slice(content.trim_ascii());
            continue;
        }
        // HTTP/2 has the request line in headers of its own.
        if let Some(pseudo) = content.strip_prefix(b":") {
            let text = String::from_utf8_lossy(pseudo);
            match text.split_once(':') {
                Some(("method", value)) => request.0 = Some(value.trim().to_owned()),
                Some(("path", value)) => request.1 = Some(value.trim().to_owned()),
                _ => {}
            }
            continue;
        }
        let colon = content.iter().position(|&byte| byte == b':');
        let name = colon.and_then(|colon| str::from_utf8(content.get(..colon)?).ok());
        let value = colon.and_then(|colon| content.get(colon + 1..));
        match (name, value) {
            (Some(name), Some(value)) if is_token(name) => {
                headers.push((name.to_owned(), value.trim_ascii().to_vec()));
            }
            _ => return Err(no_header(content, number)),
        }
    }
    Ok((headers, request, rest))
}

/// Nothing of the line is shown: it may be of a file with secrets.
fn no_header(line: &[u8], number: usize) -> CaptureError {
    let text = String::from_utf8_lossy(line);
    if text.contains("whsec_") {
        return CaptureError::new(
            "this is a signing secret, or a file with one, and no request: give the request as the capture, and the secret as the secret",
        );
    }
    CaptureError::new(format!(
        "this is no HTTP request, HAR file, `curl` command or log with kept deliveries: of the headers, line {number} is no `name: value`"
    ))
}

/// A text without a mark of byte order, and in UTF-8 if it is marked as UTF-16, as some shells of Windows write it.
pub(super) fn in_utf8(text: &[u8]) -> Result<Cow<'_, [u8]>, CaptureError> {
    let (rest, unit): (_, fn([u8; 2]) -> u16) = match text {
        [0xff, 0xfe, rest @ ..] => (rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => (rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => return Ok(Cow::Borrowed(rest)),
        _ => return Ok(Cow::Borrowed(text)),
    };
    let units = rest.chunks_exact(2).filter_map(|pair| pair.try_into().ok());
    let decoded: Result<String, _> = char::decode_utf16(units.map(unit)).collect();
    match decoded {
        Ok(decoded) => Ok(Cow::Owned(decoded.into_bytes())),
        Err(_) => Err(CaptureError::new("it is marked as UTF-16, but is none")),
    }
}

/// The name of a header (RFC 9110, section 5.6.2).
fn is_token(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}

/// The body as the headers frame it.
fn with_framed_body(capture: Capture, body: &[u8]) -> Capture {
    let is_chunked = capture
        .header("transfer-encoding")
        .any(|value| value.to_ascii_lowercase().ends_with(b"chunked"));
    if is_chunked && let Some(joined) = join_chunks(body) {
        return capture.with_body(joined);
    }
    let declared = capture
        .header("content-length")
        .next()
        .and_then(|value| str::from_utf8(value).ok()?.parse::<usize>().ok());
    match declared {
        Some(length) if length < body.len() => {
            let (kept, rest) = body.split_at(length);
            let capture = capture.with_body(kept.to_vec());
            if rest.iter().all(u8::is_ascii_whitespace) {
                capture
            } else {
                capture.with_note(format!(
                    "{} bytes after the {length} of Content-Length were left out",
                    rest.len()
                ))
            }
        }
        Some(length) if length > body.len() => {
            let note = format!(
                "Content-Length says {length} bytes, but the capture has {}",
                body.len()
            );
            capture.with_body(body.to_vec()).with_note(note)
        }
        _ => capture.with_body(body.to_vec()),
    }
}

/// The data of a chunked body (RFC 9112, section 7.1); `None` if it is not in that form.
fn join_chunks(body: &[u8]) -> Option<Vec<u8>> {
    let mut joined = Vec::new();
    let mut rest = body;
    loop {
        let (size, after) = line(rest);
        let size = str::from_utf8(size).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(joined);
        }
        joined.extend_from_slice(after.get(..size)?);
        let after = after.get(size..)?;
        rest = after.strip_prefix(b"\r\n").or(after.strip_prefix(b"\n"))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_may_look_like() {
        let body = r#"{"a":1}"#;
        for (name, text, target, expected) in [
            (
                "CRLF",
                "POST /a?b HTTP/1.1\r\nwebhook-id: 1\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
                Some("/a?b"),
                body,
            ),
            (
                "LF",
                "POST /a HTTP/1.1\nwebhook-id: 1\n\n{\"a\":1}",
                Some("/a"),
                body,
            ),
            (
                "HTTP/2",
                "POST /a HTTP/2\nwebhook-id:1\n\n{\"a\":1}",
                Some("/a"),
                body,
            ),
            ("no request line", "webhook-id: 1\n\n{\"a\":1}", None, body),
            (
                "empty lines in front",
                "\r\n\n POST\nPOST /a\nwebhook-id: 1\n\n",
                None,
                "!",
            ),
            (
                "a whole URL",
                "POST https://x.example/a?b HTTP/1.1\nwebhook-id: 1\n\n{\"a\":1}",
                Some("/a?b"),
                body,
            ),
            (
                "an editor's line break",
                "webhook-id: 1\ncontent-length: 7\n\n{\"a\":1}\n",
                None,
                body,
            ),
            (
                "a body that is cut",
                "webhook-id: 1\ncontent-length: 9\n\n{\"a\":1}",
                None,
                body,
            ),
            (
                "chunks",
                "webhook-id: 1\nTransfer-Encoding: chunked\n\n3\r\n{\"a\r\n4;x\r\n\":1}\r\n0\r\n\r\n",
                None,
                body,
            ),
            (
                "chunked, but joined",
                "webhook-id: 1\nTransfer-Encoding: chunked\n\n{\"a\":1}",
                None,
                body,
            ),
            (
                "curl -v",
                "> POST /a HTTP/1.1\r\n> webhook-id: 1\r\n> \r\n{\"a\":1}",
                Some("/a"),
                body,
            ),
            (
                "curl -v with its remarks",
                "* Connected\n> POST /a HTTP/1.1\n* more\n> webhook-id: 1\n>\n{\"a\":1}",
                None,
                "!",
            ),
            ("a folded line", "webhook-id:\n 1\n\n{\"a\":1}", None, body),
            (
                "pseudo-headers",
                ":method: POST\n:path: /a\n:authority: x\nwebhook-id: 1\n\n{\"a\":1}",
                Some("/a"),
                body,
            ),
            ("no body", "webhook-id: 1\n", None, ""),
            ("no header", "hello\nworld", None, "!"),
            (
                "a space before the colon",
                "webhook-id : 1\n\n{}",
                None,
                "!",
            ),
            ("JSON", "{\"a\":1}", None, "!"),
        ] {
            match from_http(text.as_bytes()) {
                Ok(capture) => {
                    assert_eq!(capture.body(), expected, "{name}");
                    assert_eq!(capture.target(), target, "{name}");
                    let id = capture.header("Webhook-Id").next().unwrap().trim_ascii();
                    assert_eq!(id, b"1", "{name}");
                }
                Err(_) => assert_eq!(expected, "!", "{name}"),
            }
        }
    }

    #[test]
    fn what_is_cut_or_left_out_is_noted() {
        for (text, note) in [
            (
                "a: 1\ncontent-length: 9\n\n{}",
                Some("Content-Length says 9 bytes, but the capture has 2"),
            ),
            ("a: 1\ncontent-length: 2\n\n{}\n", None),
            (
                "a: 1\ncontent-length: 2\n\n{} x",
                Some("2 bytes after the 2 of Content-Length were left out"),
            ),
        ] {
            let capture = from_http(text.as_bytes()).unwrap();
            assert_eq!(capture.notes().first().map(String::as_str), note, "{text}");
        }
    }

    #[test]
    fn headers_alone() {
        for text in [
            "webhook-id: 1\nwebhook-id: 2\n",
            r#"{"webhook-id": ["1", "2"]}"#,
            r#"{"webhook-id": "1", "Webhook-Id": "2"}"#,
            r#"{"webhook-id": "1", "webhook-id": "2"}"#,
            "POST / HTTP/1.1\r\nwebhook-id: 1\r\nwebhook-id: 2\r\n\r\n",
        ] {
            let capture = from_headers(text.as_bytes(), "{}").unwrap();
            let ids: Vec<_> = capture.header("webhook-id").collect();
            assert_eq!(ids, [b"1", b"2"], "{text}");
            assert_eq!(capture.body(), "{}");
        }
        for text in ["", "a: 1\n\nbody", r#"{"a": {"b": 1}}"#, r#"{"a":"#] {
            let read = from_headers(text.as_bytes(), "{}");
            assert!(read.is_err() || text.is_empty(), "{text}: {read:?}");
        }
    }
}
