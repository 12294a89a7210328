//! What happens to a body that nobody reads as JSON: encodings, and line breaks.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::{GzDecoder, ZlibDecoder};

/// No delivery is longer, and a compressed body must not become a bomb.
const MAX_DECODED: u64 = 256 * 1024;

type Change = Option<String>;

/// The body as it is, and as it was if it was encoded as a whole.
pub(super) fn transports(body: &[u8]) -> Vec<(Vec<u8>, Change)> {
    let mut forms = vec![(body.to_vec(), None)];
    let mut add = |decoded: Option<Vec<u8>>, change: &str| {
        if let Some(decoded) = decoded
            && decoded != body
            && !decoded.is_empty()
        {
            forms.push((decoded, Some(change.to_owned())));
        }
    };
    if body.starts_with(b"\x1f\x8b") {
        add(
            decompressed(GzDecoder::new(body)),
            "compressed it with gzip",
        );
    }
    if body.first() == Some(&0x78) {
        add(
            decompressed(ZlibDecoder::new(body)),
            "compressed it with deflate",
        );
    }
    if let Ok(text) = str::from_utf8(body) {
        if !text.is_ascii() {
            add(
                text.chars().map(|char| u8::try_from(char).ok()).collect(),
                "read its UTF-8 as Latin-1 and wrote that as UTF-8, so that each character beyond ASCII became several",
            );
            add(
                text.chars().map(windows_1252).collect(),
                "read its UTF-8 as Windows-1252 and wrote that as UTF-8, so that each character beyond ASCII became several",
            );
        }
        if text.trim_start().starts_with('"') {
            add(
                serde_json::from_str::<String>(text)
                    .ok()
                    .map(String::into_bytes),
                "put it as text into a JSON string, as if it had to be encoded once more",
            );
        }
        add(
            STANDARD.decode(text.trim_end()).ok(),
            "encoded it in base64, as AWS Lambda and its gateways do",
        );
    } else {
        let text: String = body.iter().copied().map(char::from).collect();
        add(Some(text.into_bytes()), "turned its UTF-8 into Latin-1");
    }
    forms
}

fn decompressed(from: impl std::io::Read) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let read = from.take(MAX_DECODED + 1).read_to_end(&mut decoded);
    (read.is_ok() && decoded.len() as u64 <= MAX_DECODED).then_some(decoded)
}

/// The byte that Windows-1252 writes for a character. The five that it leaves open are those of Latin-1, as browsers
/// have it.
fn windows_1252(char: char) -> Option<u8> {
    const FROM_80: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž',
        '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}',
        'ž', 'Ÿ',
    ];
    match FROM_80.iter().position(|&other| other == char) {
        Some(at) => u8::try_from(0x80 + at).ok(),
        None => u8::try_from(char)
            .ok()
            .filter(|byte| !(0x80..0xa0).contains(byte)),
    }
}

/// A text as it is, and with other line breaks or none at its end.
pub(super) fn endings(text: &[u8]) -> Vec<(Vec<u8>, Change)> {
    let mut forms = vec![(text.to_vec(), None)];
    let mut add = |form: Vec<u8>, change: &str| forms.push((form, Some(change.to_owned())));
    if let Some(rest) = text.strip_suffix(b"\n") {
        match rest.strip_suffix(b"\r") {
            Some(rest) => add(rest.to_vec(), "added a line break (CRLF) at its end"),
            None => add(rest.to_vec(), "added a line break (LF) at its end"),
        }
    } else {
        add(
            [text, b"\n"].concat(),
            "left out the line break (LF) at its end",
        );
        add(
            [text, b"\r\n"].concat(),
            "left out the line break (CRLF) at its end",
        );
    }
    let trimmed = text.trim_ascii();
    let is_only_a_line = text
        .strip_suffix(b"\n")
        .is_some_and(|rest| rest.trim_ascii().len() == rest.len());
    if trimmed.len() < text.len() && !is_only_a_line {
        add(trimmed.to_vec(), "added white space around it");
    }
    let mark = b"\xef\xbb\xbf";
    match text.strip_prefix(mark) {
        Some(rest) => add(rest.to_vec(), "put a mark of byte order (U+FEFF) in front"),
        None if !text.is_ascii() => {
            add(
                [mark, text].concat(),
                "left out the mark of byte order (U+FEFF) in front",
            );
        }
        None => {}
    }
    let lf = without_cr(text);
    if lf != text {
        add(lf, "turned the line breaks LF into CRLF");
    } else if text.contains(&b'\n') {
        add(with_cr(text), "turned the line breaks CRLF into LF");
    }
    forms
}

fn without_cr(text: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\r' || bytes.peek() != Some(&b'\n') {
            kept.push(byte);
        }
    }
    kept
}

fn with_cr(text: &[u8]) -> Vec<u8> {
    let mut written = Vec::with_capacity(text.len() + 16);
    for &byte in text {
        if byte == b'\n' {
            written.push(b'\r');
        }
        written.push(byte);
    }
    written
}
