//! Why a key set cannot be used, and what was found in its place.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use serde::de::IgnoredAny;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::read::{SkippedKey, bounded};

/// Skipped keys and members that are named; the others are counted.
const MAX_NAMED: usize = 4;

/// The error when a key set cannot be used. Its text says what was found instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySetError(pub(super) Box<str>);

impl KeySetError {
    pub(super) fn new(why: impl Into<Box<str>>) -> Self {
        Self(why.into())
    }

    /// There is no list of keys in it.
    pub(super) fn no_key_set(text: &[u8]) -> Self {
        Self::new(format!(
            "it is {}, not a JSON object with a list `keys`",
            seems(text)
        ))
    }

    pub(super) fn no_usable_key(skipped: &[SkippedKey]) -> Self {
        if skipped.is_empty() {
            return Self::new("its list `keys` is empty");
        }
        let named = listed(skipped.iter().map(ToString::to_string));
        Self::new(format!("none of its keys can be used: {named}"))
    }
}

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the set of public keys cannot be used: {}", self.0)
    }
}

impl Error for KeySetError {}

/// The first few of a list.
fn listed(items: impl ExactSizeIterator<Item = String>) -> String {
    let more = items.len().saturating_sub(MAX_NAMED);
    let named: Vec<String> = items.take(MAX_NAMED).collect();
    let named = named.join("; ");
    match more {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}

/// What `bytes` look like, in place of a key set. None of it is repeated but names of members,
/// escaped and bounded.
fn seems(bytes: &[u8]) -> String {
    let sort = match bytes {
        [] => "empty",
        // RFC 1952; RFC 8878; RFC 1950 in its usual forms.
        [0x1f, 0x8b, ..] => "compressed (gzip)",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "compressed (zstd)",
        [0x78, 0x01 | 0x9c | 0xda, ..] => "compressed (deflate)",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => "UTF-16 or binary",
        _ => match str::from_utf8(bytes) {
            Ok(text) => return seems_text(text.trim()),
            Err(_) => "not UTF-8 text, but binary or compressed (br)",
        },
    };
    sort.to_owned()
}

fn seems_text(text: &str) -> String {
    let begins = |prefix: &str| {
        text.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let sort = match text.bytes().next() {
        None => "white space",
        Some(b'<') if begins("<!doctype html") || begins("<html") => "an HTML page",
        Some(b'<') => "HTML or XML",
        Some(b'-') if begins("-----BEGIN ") => "a key or certificate in PEM",
        Some(_) => match serde_json::from_str::<&RawValue>(text) {
            Ok(json) => return seems_json(json.get()),
            // A message of the parser repeats nothing of the text.
            Err(error) if text.starts_with(['{', '[']) => match error.classify() {
                Category::Eof => "JSON that is cut short",
                _ => return format!("malformed JSON ({error})"),
            },
            Err(_) => "plain text",
        },
    };
    sort.to_owned()
}

fn seems_json(json: &str) -> String {
    let sort = match json.as_bytes().first() {
        Some(b'{') => match serde_json::from_str::<BTreeMap<String, IgnoredAny>>(json) {
            Ok(members) if members.is_empty() => "an empty JSON object",
            Ok(members) if members.contains_key("keys") => {
                "a JSON object whose `keys` is not a list"
            }
            Ok(members) if members.contains_key("kty") => "a single key (JWK)",
            Ok(members) => {
                let names = members.keys().map(|name| format!("{:?}", bounded(name)));
                return format!("a JSON object with other members ({})", listed(names));
            }
            Err(_) => "a JSON object that cannot be read",
        },
        Some(b'[') => "a JSON list",
        Some(b'"') => "a JSON string",
        Some(b'n') => "the JSON value null",
        Some(b't' | b'f') => "a JSON boolean",
        _ => "a JSON number",
    };
    sort.to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::KeySet;

    #[test]
    fn what_it_looked_like() {
        let deep = format!(r#"{{"keys":{}"#, "[".repeat(60_000));
        let deep_object = format!(r#"{{"a":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
        let utf_16: Vec<u8> = r#"{"keys":[]}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (bytes, sort) in [
            (&b""[..], "empty"),
            (b" \r\n\t", "white space"),
            (b"\xef\xbb\xbf", "empty"),
            // `{"keys":[]}`, compressed by Node's zlib.
            (b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\x56\xca\x4e\xad\x2c\x56\xb2\x8a\x8e\xad\x05\0\xef\x67\x88\x2a\x0b\0\0\0", "compressed (gzip)"),
            (b"\x78\x9c\xab\x56\xca\x4e\xad\x2c\x56\xb2\x8a\x8e\xad\x05\0\x17\x6e\x03\xeb", "compressed (deflate)"),
            (b"\x28\xb5\x2f\xfd\x20\x0b\x59\0\0{\"keys\":[]}", "compressed (zstd)"),
            (b"\x0b\x05\x80{\"keys\":[]}\x03", "binary or compressed (br)"),
            (b"\xff\xfe{\0", "UTF-16"),
            (&utf_16, "UTF-16"),
            (b"<!DOCTYPE html><title>Sign in</title>", "an HTML page"),
            (b"\n<HTML>", "an HTML page"),
            (b"<?xml version=\"1.0\"?>", "HTML or XML"),
            (b"-----BEGIN PUBLIC KEY-----", "PEM"),
            (b"upstream connect error", "plain text"),
            (b"null and void", "plain text"),
            (b"{\"keys\":[{\"kty\":", "JSON that is cut short"),
            (deep.as_bytes(), "JSON that is cut short"),
            (b"{'keys':[]}", "malformed JSON (key must be a string at line 1 column 2)"),
            (b"{\"keys\":[]}}", "malformed JSON"),
            (b"{\"keys\":[],}", "malformed JSON"),
            (b"null", "the JSON value null"),
            (b"true", "a JSON boolean"),
            (b"-1", "a JSON number"),
            (b"\"{}\"", "a JSON string"),
            (b"[]", "a JSON list"),
            (b"{}", "an empty JSON object"),
            (b"{\"keys\":{}}", "whose `keys` is not a list"),
            (b"{\"keys\":null}", "whose `keys` is not a list"),
            (b"{\"kty\":\"RSA\"}", "a single key (JWK)"),
            (b"{\"error\":{\"code\":403}}", "other members (\"error\")"),
            (deep_object.as_bytes(), "other members (\"a\")"),
            (
                b"{\"e\":1,\"d\":1,\"c\":1,\"b\":1,\"a\":1}",
                "(\"a\"; \"b\"; \"c\"; \"d\"; and 1 more)",
            ),
        ] {
            let error = KeySet::from_json(bytes).unwrap_err().to_string();
            assert!(error.contains(sort), "{sort}: {error}");
        }
    }

    /// Whoever answers in the key server's place does not write our log.
    #[test]
    fn nothing_of_it_is_repeated_raw_or_at_length() {
        let long = "x\\n\\u001b[2J".repeat(5000);
        for text in [
            format!(r#"{{"{long}":1,"b{long}":1}}"#),
            format!("plain {long}"),
            format!("<html>{long}"),
            format!(r#"{{"keys":[{{"kid":"{long}","kty":"{long}"}}]}}"#),
            format!(
                r#"{{"keys":[{{"kid":"{long}","kty":"OKP","crv":"Ed25519","use":["{long}"]}}]}}"#
            ),
            format!(
                r#"{{"keys":[{}]}}"#,
                vec![r#"{"kid":"a\nb"}"#; 32].join(",")
            ),
        ] {
            let error = KeySet::from_json(text.as_bytes()).unwrap_err();
            for shown in [error.to_string(), format!("{error:?}")] {
                assert!(!shown.contains(['\n', '\x1b']), "{shown:?}");
                assert!(shown.len() < 4096, "{} bytes", shown.len());
            }
        }
    }
}
