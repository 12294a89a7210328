//! What an error or a line of the log may show of URLs and of texts of the service.

use std::borrow::Cow;
use std::fmt;

use reqwest::Url;
use serde_json::Value;

use super::percent;
use super::uri::cut;
use crate::endpoint::{MIN_CHARS, is_of_token};

/// A URL without what could be a secret: user and password, the query, the fragment, and every segment
/// of the path with what could be an endpoint token in it.
pub(super) struct Shown<'a>(pub(super) &'a str);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", shown(self.0))
    }
}

fn shown(uri: &str) -> String {
    let (path, query) = cut(cut(uri, '#').0, '?');
    let mut shown = String::with_capacity(path.len());
    for part in path.split_inclusive(['/', '\\']) {
        let segment = part.trim_end_matches(['/', '\\']);
        let separator = part.get(segment.len()..).unwrap_or_default();
        let (user, host) = segment.rsplit_once('@').unwrap_or(("", segment));
        if !user.is_empty() {
            shown.push_str("…@");
        }
        // Labels of a host are short, but for those that are made by chance and known to all.
        let is_host = shown.ends_with("//") || shown.ends_with("//…@");
        if !is_host && runs(&decoded(host)).next().is_some() {
            shown.push('…');
        } else {
            shown.push_str(host);
        }
        shown.push_str(separator);
    }
    if !query.is_empty() {
        shown.push_str("?…");
    }
    shown
}

/// What is taken out of texts of the service, since the call itself sent it.
pub(super) struct Hidden<'a> {
    key: &'a str,
    uris: Vec<&'a str>,
}

impl<'a> Hidden<'a> {
    /// The API key, and all that stands in the body under `uri` and `uris`.
    pub(super) fn new(key: &'a str, body: Option<&'a Value>) -> Self {
        let mut uris = Vec::new();
        if let Some(body) = body {
            collect(body, false, &mut uris);
        }
        Self { key, uris }
    }

    /// The text without the API key, without what of the URIs that were sent could be a secret, in
    /// whatever form they are repeated, and without what looks like an endpoint token or a signing
    /// secret of others.
    pub(super) fn out_of(&self, text: &str) -> String {
        let mut text = text.replace(self.key, "(API key)");
        for uri in &self.uris {
            text = text.replace(uri, &shown(uri));
            if let Ok(url) = Url::parse(uri) {
                text = text.replace(url.as_str(), &shown(url.as_str()));
            }
            let decoded = decoded(uri);
            for token in runs(uri).chain(runs(&decoded)) {
                text = text.replace(token, "…");
            }
            if let Some((user, _)) = uri.rsplit_once('@') {
                let user = user.rsplit(['/', '\\']).next().unwrap_or_default();
                if !user.is_empty() {
                    text = text.replace(&format!("{user}@"), "…@");
                }
            }
        }
        without_secrets(&without_tokens(&without_queries(&text)))
    }
}

fn collect<'a>(value: &'a Value, is_uri: bool, uris: &mut Vec<&'a str>) {
    match value {
        Value::String(uri) if is_uri && !uri.is_empty() => uris.push(uri),
        Value::Array(values) => values.iter().for_each(|value| collect(value, is_uri, uris)),
        Value::Object(members) => {
            for (name, value) in members {
                collect(value, matches!(name.as_str(), "uri" | "uris"), uris);
            }
        }
        _ => {}
    }
}

/// A text in which every URL has lost its user, its password and its query.
fn without_queries(text: &str) -> String {
    let ends = |char: char| {
        char.is_whitespace() || matches!(char, '"' | '\'' | '`' | '<' | '>' | ')' | ',')
    };
    let mut parts = text.split("://");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (url, rest) = part.split_at(part.find(ends).unwrap_or(part.len()));
        let (path, query) = cut(url, '?');
        let (host, behind) = path.split_at(path.find(['/', '\\']).unwrap_or(path.len()));
        let (user, host) = host.rsplit_once('@').unwrap_or(("", host));
        let user = if user.is_empty() { "" } else { "…@" };
        let query = if query.is_empty() { "" } else { "?…" };
        shown.extend(["://", user, host, behind, query, rest]);
    }
    shown
}

/// A text without what follows `token=`, also where the `=` is percent-encoded.
fn without_tokens(text: &str) -> String {
    let value = |rest: &str| {
        let mut rest = rest;
        if let Some(behind) = rest.strip_prefix('=') {
            return Some(behind.len());
        }
        rest = rest.strip_prefix('%')?;
        // `%3D`, and `%253D` where it was encoded twice.
        while let Some(behind) = rest.strip_prefix("25") {
            rest = behind;
        }
        let encoded = rest.get(..2)?.eq_ignore_ascii_case("3d");
        encoded.then(|| rest.len() - 2)
    };
    without(text, "token", value, is_of_token)
}

/// A text without what follows `whsec_`.
pub(super) fn without_secrets(text: &str) -> String {
    let is_base64 = |char| is_of_token(char) || matches!(char, '+' | '/' | '=');
    without(text, "whsec_", |rest| Some(rest.len()), is_base64)
}

/// A text in which all that follows `mark` and is of a value is cut. `value` says how much of what
/// stands behind the mark begins the value, if one does.
fn without(
    text: &str,
    mark: &str,
    value: impl Fn(&str) -> Option<usize>,
    is_of_value: impl Fn(char) -> bool,
) -> String {
    // ASCII keeps its place and its length in lower case.
    let lower = text.to_ascii_lowercase();
    let mut shown = String::with_capacity(text.len());
    let mut from = 0;
    for (at, found) in lower.match_indices(mark) {
        let behind = at + found.len();
        let rest = text.get(behind..).unwrap_or_default();
        let Some(length) = value(rest).filter(|_| at >= from) else {
            continue;
        };
        let start = text.len() - length;
        let value = text.get(start..).unwrap_or_default();
        let end = value.find(|char| !is_of_value(char)).unwrap_or(value.len());
        if end > 0 {
            shown.push_str(text.get(from..start).unwrap_or_default());
            shown.push('…');
            from = start + end;
        }
    }
    shown.push_str(text.get(from..).unwrap_or_default());
    shown
}

/// What could be an endpoint token, wherever it stands.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char| !is_of_token(char))
        .filter(|run| run.len() >= MIN_CHARS)
}

/// Without percent-encoding of what could be of a token.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let decoded = percent::with_each(text, |text, byte| text.push(char::from(byte)));
    Cow::Owned(decoded)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TOKEN: &str = "0123456789abcdefghijkl";

    #[test]
    fn no_token_is_shown() {
        for (uri, expected) in [
            ("https://a.example/x", "https://a.example/x"),
            (
                "https://a.example/x?token=TOKEN&a=1#f",
                "https://a.example/x?…",
            ),
            ("https://a.example/x#TOKEN", "https://a.example/x"),
            ("https://a.example/x/TOKEN", "https://a.example/x/…"),
            ("https://a.example/x/TOKEN/?a=1", "https://a.example/x/…/?…"),
            (
                "https://a.example/TOKEN/hook//",
                "https://a.example/…/hook//",
            ),
            ("https://a.example/x/%54TOKEN", "https://a.example/x/…"),
            ("https://user:hunter2@a.example/x", "https://…@a.example/x"),
            ("https://user:hunter2@a.example:1", "https://…@a.example:1"),
            ("//user@a.example/TOKEN", "//…@a.example/…"),
            (r"https:\\a.example\TOKEN\x", r"https:\\a.example\…\x"),
            ("https%3A%2F%2Fa.example%2Fx%3Ftoken%3DTOKEN", "…"),
            (
                "https://a-service-with-a-long-name.run.app/x",
                "https://a-service-with-a-long-name.run.app/x",
            ),
            ("https://a.example", "https://a.example"),
            ("TOKEN", "…"),
            ("", ""),
            ("a\nb", "a\nb"),
        ] {
            let uri = uri.replace("TOKEN", TOKEN);
            assert_eq!(shown(&uri), expected);
        }
        assert_eq!(format!("{:?}", Shown("a\nb")), r#""a\nb""#);
    }

    #[test]
    fn what_was_sent_is_shown_in_no_form() {
        for sent in [
            "https://a.example/x?token=TOKEN",
            "https://a.example/x?a=1,2&token=TOKEN",
            "https://a.example/x?f=(b)&token=TOKEN",
            "https://a.example/x?f=it's&token=TOKEN",
            "https://a.example/x?key=hunter2",
            "https://a.example/x/TOKEN",
            "https://a.example/x/%30TOKEN/",
            "//a.example/x?token=TOKEN",
            "a.example/x?token=TOKEN",
            r"https:\\a.example\x?token=TOKEN",
            "https%3A%2F%2Fa.example%2Fx%3Ftoken%3DTOKEN",
            "https://a.example/x#TOKEN",
            "https://user:hunter2@A.example/x",
        ] {
            let sent = sent.replace("TOKEN", TOKEN);
            let url = Url::parse(&sent).map_or(sent.clone(), String::from);
            for body in [
                json!({ "uri": sent }),
                json!({"batch": {"webhookConfig": {"uris": ["", sent]}}}),
            ] {
                let hidden = Hidden::new("fake-key", Some(&body));
                for repeated in [&sent, &url, &sent.escape_debug().to_string()] {
                    let text = format!("Invalid webhook URI {repeated}: it must be reachable.");
                    let shown = hidden.out_of(&text);
                    assert!(
                        !shown.contains(TOKEN) && !shown.contains("hunter2"),
                        "{shown}"
                    );
                    let kept = shown.starts_with("Invalid webhook URI ")
                        && shown.ends_with(" it must be reachable.");
                    assert!(kept, "{shown}");
                }
            }
        }
    }

    #[test]
    fn a_text_loses_secrets_of_others() {
        let hidden = Hidden::new("fake-key", None);
        for (text, expected) in [
            ("", ""),
            ("is it? no", "is it? no"),
            ("bad fake-key", "bad (API key)"),
            ("bad https://a/x?t=1 here?", "bad https://a/x?… here?"),
            (
                "'https://a/?t=1', \"http://b?t=2\"",
                "'https://a/?…', \"http://b?…\"",
            ),
            ("https://a/x?u=https://b/y?t=3 z", "https://a/x?…://b/y?… z"),
            ("at https://u:p@a.example/b@c", "at https://…@a.example/b@c"),
            ("/x?token=a-b_1&c", "/x?token=…&c"),
            ("Token=a token=b", "Token=… token=…"),
            (
                "x%3Ftoken%3Dabc%26d token%253dabc",
                "x%3Ftoken%3D…%26d token%253d…",
            ),
            ("a token: %20, token%3", "a token: %20, token%3"),
            ("next_page_token=token=abc", "next_page_token=…=abc"),
            ("is whsec_MfKQ+9r8/GKY= known", "is whsec_… known"),
            ("WHSEC_a, whsec_...abcd", "WHSEC_…, whsec_...abcd"),
            ("é token=é whsec_é", "é token=é whsec_é"),
        ] {
            assert_eq!(hidden.out_of(text), expected);
        }
    }
}
