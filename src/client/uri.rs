//! URLs that may have an endpoint token in them.

use std::fmt;

use reqwest::Url;

use crate::endpoint::EndpointToken;

/// `uri` with `token` in its query, in the place of any other; as it is if the token is its last
/// path segment.
pub(super) fn with_token(uri: &str, token: &EndpointToken) -> String {
    if is_in_path(uri, token) {
        return uri.to_owned();
    }
    let (rest, fragment) = cut(uri, '#');
    let (path, query) = cut(rest, '?');
    let others: Vec<&str> = without_token(query.trim_start_matches('?')).collect();
    let separator = if others.is_empty() { "" } else { "?" };
    token.url(&format!("{path}{separator}{}{fragment}", others.join("&")))
}

/// Whether the last path segment is `token`.
pub(super) fn is_in_path(uri: &str, token: &EndpointToken) -> bool {
    last_segment(uri) == token.text()
}

/// What the URLs of one endpoint have in common: all but an endpoint token. One in the query is known
/// by its name; in the path anything that could be one is taken for one if `in_path` is set. `None`
/// if it is no URL of HTTP.
pub(super) fn endpoint(uri: &str, in_path: bool) -> Option<String> {
    let mut url = Url::parse(uri).ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    url.set_fragment(None);
    let query: Vec<&str> = without_token(url.query().unwrap_or_default()).collect();
    let query = (!query.is_empty()).then(|| query.join("&"));
    url.set_query(query.as_deref());
    if in_path {
        let mut path = url.path().trim_end_matches('/');
        if EndpointToken::new(last_segment(path)).is_ok() {
            path = path.rsplit_once('/').map_or(path, |(before, _)| before);
        }
        let path = path.to_owned();
        url.set_path(&path);
    }
    Some(url.into())
}

fn without_token(query: &str) -> impl Iterator<Item = &str> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("token="))
}

fn last_segment(uri: &str) -> &str {
    let path = cut(cut(uri, '#').0, '?').0;
    let path = path.strip_suffix('/').unwrap_or(path);
    path.rsplit('/').next().unwrap_or_default()
}

/// Before `at`, and from it on.
fn cut(text: &str, at: char) -> (&str, &str) {
    text.split_at(text.find(at).unwrap_or(text.len()))
}

/// A URL for a line of the log: without its query, and without a last path segment that could be an
/// endpoint token.
pub(super) struct Shown<'a>(pub(super) &'a str);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, query) = cut(cut(self.0, '#').0, '?');
        let segment = last_segment(path);
        let path = match path.rsplit_once(segment) {
            Some((before, _)) if EndpointToken::new(segment).is_ok() => format!("{before}…"),
            _ => path.to_owned(),
        };
        write!(f, "{:?}", path + if query.is_empty() { "" } else { "?…" })
    }
}

/// A text in which every URL has lost its query.
pub(super) fn without_queries(text: &str) -> String {
    let ends = |char: char| {
        char.is_whitespace() || matches!(char, '"' | '\'' | '`' | '<' | '>' | ')' | ',')
    };
    let mut parts = text.split("://");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (url, rest) = part.split_at(part.find(ends).unwrap_or(part.len()));
        let (path, query) = cut(url, '?');
        shown.extend(["://", path, if query.is_empty() { "" } else { "?…" }, rest]);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "0123456789abcdefghijkl";
    const NEW: &str = "ABCDEFGHIJKLMNOPQRSTUV-_";

    #[test]
    fn a_url_gets_one_token() {
        let token = EndpointToken::new(NEW).unwrap();
        for (uri, expected) in [
            (
                "https://a.example/x",
                format!("https://a.example/x?token={NEW}"),
            ),
            (
                "https://a.example/x?",
                format!("https://a.example/x?token={NEW}"),
            ),
            (
                "https://a.example/x?y=1#z",
                format!("https://a.example/x?y=1&token={NEW}#z"),
            ),
            (
                &format!("https://a.example/x?token={OLD}"),
                format!("https://a.example/x?token={NEW}"),
            ),
            (
                &format!("https://a.example/x?y=1&token={OLD}&z=2"),
                format!("https://a.example/x?y=1&z=2&token={NEW}"),
            ),
            (
                &format!("https://a.example/x?token={NEW}"),
                format!("https://a.example/x?token={NEW}"),
            ),
            (
                &format!("https://a.example/x/{NEW}"),
                format!("https://a.example/x/{NEW}"),
            ),
            (
                &format!("https://a.example/x/{NEW}/?y=1"),
                format!("https://a.example/x/{NEW}/?y=1"),
            ),
            (
                &format!("https://a.example/x/{OLD}"),
                format!("https://a.example/x/{OLD}?token={NEW}"),
            ),
        ] {
            assert_eq!(with_token(uri, &token), expected, "{uri}");
        }
    }

    #[test]
    fn which_urls_are_of_one_endpoint() {
        let same =
            |one: &str, other: &str, in_path| endpoint(one, in_path) == endpoint(other, in_path);
        for (one, other, in_query, in_path) in [
            ("https://a.example/x", "https://a.example/x", true, true),
            (
                "https://a.example/x",
                "HTTPS://A.example:443/x#f",
                true,
                true,
            ),
            (
                "https://a.example/x?token=OLD",
                "https://a.example/x?token=NEW",
                true,
                true,
            ),
            (
                "https://a.example/x",
                "https://a.example/x?token=NEW",
                true,
                true,
            ),
            (
                "https://a.example/x?a=1",
                "https://a.example/x?token=NEW&a=1",
                true,
                true,
            ),
            (
                "https://a.example/x/OLD",
                "https://a.example/x/NEW",
                false,
                true,
            ),
            (
                "https://a.example/x",
                "https://a.example/x/NEW/",
                false,
                true,
            ),
            (
                "https://a.example/x?a=1",
                "https://a.example/x?a=2",
                false,
                false,
            ),
            ("https://a.example/x", "https://a.example/y", false, false),
            (
                "https://a.example/x/short",
                "https://a.example/x/words",
                false,
                false,
            ),
            ("https://a.example/x", "http://a.example/x", false, false),
            ("https://a.example/x", "https://b.example/x", false, false),
            (
                "https://a.example/x",
                "https://a.example:8443/x",
                false,
                false,
            ),
            (
                "https://a.example/x",
                "https://a.example/x?mytoken=NEW",
                false,
                false,
            ),
        ] {
            let fill = |uri: &str| uri.replace("OLD", OLD).replace("NEW", NEW);
            let (one, other) = (fill(one), fill(other));
            assert_eq!(same(&one, &other, false), in_query, "{one} {other}");
            assert_eq!(same(&one, &other, true), in_path, "{one} {other}");
        }
        for uri in ["", "a.example/x", "/x", "ftp://a.example/", "mailto:a@b"] {
            assert_eq!(endpoint(uri, false), None, "{uri}");
        }
    }

    #[test]
    fn no_token_is_shown() {
        for (uri, shown) in [
            ("https://a.example/x", "\"https://a.example/x\""),
            (
                "https://a.example/x?token=OLD&a=1#f",
                "\"https://a.example/x?…\"",
            ),
            ("https://a.example/x/OLD", "\"https://a.example/x/…\""),
            (
                "https://a.example/x/OLD/?a=1",
                "\"https://a.example/x/…?…\"",
            ),
            ("https://a.example", "\"https://a.example\""),
            ("", "\"\""),
            ("a\nb", "\"a\\nb\""),
        ] {
            assert_eq!(
                format!("{:?}", Shown(&uri.replace("OLD", OLD))),
                shown,
                "{uri}"
            );
        }
        for (text, shown) in [
            ("", ""),
            ("is it? no", "is it? no"),
            ("bad https://a/x?t=1 here?", "bad https://a/x?… here?"),
            (
                "'https://a/?t=1', \"http://b?t=2\"",
                "'https://a/?…', \"http://b?…\"",
            ),
            ("https://a/x?u=https://b/y?t=3 z", "https://a/x?…://b/y?… z"),
        ] {
            assert_eq!(without_queries(text), shown);
        }
    }
}
