//! The three headers as they may have been before something on the way changed them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::report::Plain;
use super::signers::{Lines, Signers, Who};
use crate::capture::{Capture, HEADERS};

/// So many values of each header are tried.
const MAX_VALUES: usize = 8;

/// A value that a header may have had, and what must have happened to it.
#[derive(Clone, Debug)]
struct Value {
    text: Vec<u8>,
    change: Option<String>,
}

/// The headers that a signer signed together with this body, if they are others than those that a receiver reads.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) who: Who,
    /// What happened to them, as what "it" did.
    pub(super) changes: Vec<String>,
}

/// Looks for values of the headers under which the body that arrived verifies.
pub(super) fn find(capture: &Capture, signers: &mut Signers) -> Option<Found> {
    let [ids, timestamps, signatures] = HEADERS.map(|name| values(capture, name));
    for id in &ids {
        for timestamp in &timestamps {
            for signature in &signatures {
                let changes: Vec<String> = [id, timestamp, signature]
                    .iter()
                    .filter_map(|value| value.change.clone())
                    .collect();
                let lines = Lines {
                    id: &id.text,
                    timestamp: &timestamp.text,
                    signature: &signature.text,
                };
                if !changes.is_empty()
                    && let Some(who) = signers.who_signed(&lines, capture.body())
                {
                    return Some(Found { who, changes });
                }
            }
        }
    }
    None
}

/// Those of the three that did not arrive under their name.
pub(super) fn missing(capture: &Capture) -> Vec<&'static str> {
    HEADERS
        .into_iter()
        .filter(|name| capture.header(name).next().is_none())
        .collect()
}

fn values(capture: &Capture, wanted: &str) -> Vec<Value> {
    let exact: Vec<&[u8]> = capture.header(wanted).collect();
    let repeats = exact.iter().any(|value| Some(value) != exact.first());
    let mut values: Vec<Value> = exact
        .iter()
        .enumerate()
        .map(|(index, text)| Value {
            text: text.to_vec(),
            change: repeats.then(|| {
                format!(
                    "added a second {wanted} (the one of the sender is number {} of {})",
                    index + 1,
                    exact.len()
                )
            }),
        })
        .collect();
    for text in exact {
        values.extend(undone(wanted, text));
    }
    for (name, text) in capture.headers() {
        if !name.eq_ignore_ascii_case(wanted) && is_renamed(name, wanted) {
            values.push(Value {
                text: text.to_vec(),
                change: Some(format!("renamed {wanted} to {}", Plain(name))),
            });
        }
    }
    values.truncate(MAX_VALUES);
    values
}

/// Whether a name is what CGI, a gateway or another product makes of one of ours.
fn is_renamed(name: &str, wanted: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let bare = [
        "http-x-",
        "http-",
        "x-original-",
        "x-forwarded-",
        "x-amzn-remapped-",
        "x-",
    ]
    .iter()
    .find_map(|prefix| name.strip_prefix(prefix))
    .unwrap_or(&name);
    bare == wanted || bare.strip_prefix("svix-") == wanted.strip_prefix("webhook-")
}

/// What a value may have been before it was joined, quoted or written in another way.
fn undone(wanted: &str, text: &[u8]) -> Vec<Value> {
    let Ok(text) = str::from_utf8(text) else {
        return Vec::new();
    };
    let mut values = Vec::new();
    let mut add = |value: String, change: &str| {
        if value != text {
            values.push(Value {
                text: value.into_bytes(),
                change: Some(format!("{change} {wanted}")),
            });
        }
    };
    add(
        text.trim().trim_matches(['"', '\'']).to_owned(),
        "put quotes around the value of",
    );
    if wanted != "webhook-signature" {
        for part in text.split(',').filter(|_| text.contains(',')) {
            add(part.trim().to_owned(), "joined several lines of");
        }
        return values;
    }
    add(
        text.replace("%2C", ",")
            .replace("%2B", "+")
            .replace("%2F", "/")
            .replace("%3D", "="),
        "percent-encoded",
    );
    // A `+` that is read as a form's is a space.
    if let Some((version, rest)) = text.split_once(',')
        && rest.contains(' ')
        && !rest.contains(',')
    {
        add(
            format!("{version},{}", rest.replace(' ', "+")),
            "turned each `+` into a space in",
        );
    }
    if text.contains(['-', '_']) {
        add(
            text.replace('-', "+").replace('_', "/"),
            "wrote in the URL-safe alphabet of base64",
        );
    }
    let bare = text.strip_prefix("v1,").unwrap_or(text);
    if let Some(digest) = from_hexadecimal(bare) {
        add(
            format!("v1,{}", STANDARD.encode(digest)),
            "wrote in hexadecimal instead of base64",
        );
    }
    if !text.contains(',') {
        add(format!("v1,{text}"), "left out the version `v1,` in");
    }
    if bare.len() == 43 {
        add(format!("v1,{bare}="), "cut off the `=` at the end of");
    }
    values
}

/// The 32 bytes that 64 hexadecimal digits write.
fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
