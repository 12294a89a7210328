//! URLs that may have an endpoint token in them.

use reqwest::Url;

use super::percent;
use crate::endpoint::{EndpointToken, last_segment};

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

/// Whether a receiver finds `token` in the last path segment. A token in the query counts instead, and a
/// host is no path.
pub(super) fn is_in_path(uri: &str, token: &EndpointToken) -> bool {
    let (before, query) = cut(cut(uri, '#').0, '?');
    let path = match before.split_once("://") {
        Some((_, authority)) => cut(authority, '/').1,
        None => before,
    };
    let in_query = |pair: &str| pair.starts_with("token=");
    let mut pairs = query.trim_start_matches('?').split('&');
    last_segment(path) == token.text() && !pairs.any(in_query)
}

/// What the URLs of one endpoint have in common: all but an endpoint token in the query. `None` if it
/// is no URL of HTTP.
pub(super) fn endpoint(uri: &str) -> Option<String> {
    let mut url = parse(uri)?;
    let query: Vec<&str> = without_token(url.query().unwrap_or_default()).collect();
    let query = (!query.is_empty()).then(|| query.join("&"));
    url.set_query(query.as_deref());
    Some(url.into())
}

/// Whether two URLs are one, whichever way they are written.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    one == other || parse(one).is_some_and(|one| Some(one) == parse(other))
}

/// The endpoint without its last path segment, and that segment, if it could be an endpoint token.
pub(super) fn around_token(uri: &str) -> Option<(String, String)> {
    let endpoint = endpoint(uri)?;
    let mut url = Url::parse(&endpoint).ok()?;
    let path = url.path().strip_suffix('/').unwrap_or(url.path());
    let (before, segment) = path.rsplit_once('/')?;
    let token = EndpointToken::new(segment)
        .is_ok()
        .then(|| segment.to_owned())?;
    let before = before.to_owned();
    url.set_path(&before);
    Some((url.into(), token))
}

/// A URL of HTTP without its fragment, which is not sent, and with only those characters
/// percent-encoded that have to be.
fn parse(uri: &str) -> Option<Url> {
    let url = Url::parse(uri).ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    // RFC 3986, sections 6.2.2.1 and 6.2.2.2.
    let least_encoded = percent::with_each(url.as_str(), percent::push_encoded);
    let mut url = Url::parse(&least_encoded).ok()?;
    url.set_fragment(None);
    Some(url)
}

fn without_token(query: &str) -> impl Iterator<Item = &str> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("token="))
}

/// Before `at`, and from it on.
pub(super) fn cut(text: &str, at: char) -> (&str, &str) {
    text.split_at(text.find(at).unwrap_or(text.len()))
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
            // A receiver that finds a token in the query does not look at the path.
            (
                &format!("https://a.example/x/{NEW}?token={OLD}&y=1"),
                format!("https://a.example/x/{NEW}?y=1&token={NEW}"),
            ),
            // A host is no path.
            (
                &format!("https://{NEW}/"),
                format!("https://{NEW}/?token={NEW}"),
            ),
        ] {
            let uri = with_token(uri, &token);
            assert_eq!(uri, expected);
            assert_eq!(with_token(&uri, &token), uri, "once more");
        }
    }

    #[test]
    fn which_urls_are_of_one_endpoint() {
        for (one, other, expected) in [
            ("https://a.example/x", "https://a.example/x", true),
            ("https://a.example/x", "HTTPS://A.example:443/x#f", true),
            ("https://a.example/~x-", "https://a.example/%7Ex%2d", true),
            (
                "https://a.example/%c3%A9?%71=1",
                "https://a.example/é?q=1",
                true,
            ),
            ("https://a.example/%2F", "https://a.example/%2f", true),
            ("https://a.example/%2F", "https://a.example//", false),
            ("https://a.example/100%", "https://a.example/100%", true),
            (
                "https://a.example/x?token=OLD",
                "https://a.example/x?token=NEW",
                true,
            ),
            (
                "https://a.example/x?%74oken=OLD",
                "https://a.example/x",
                true,
            ),
            ("https://a.example/x", "https://a.example/x?token=NEW", true),
            (
                "https://a.example/x?a=1",
                "https://a.example/x?token=NEW&a=1",
                true,
            ),
            ("https://a.example/x/OLD", "https://a.example/x/NEW", false),
            ("https://a.example/x", "https://a.example/x/NEW", false),
            ("https://a.example/x?a=1", "https://a.example/x?a=2", false),
            ("https://a.example/x", "https://a.example/y", false),
            ("https://a.example/x", "http://a.example/x", false),
            ("https://a.example/x", "https://b.example/x", false),
            ("https://a.example/x", "https://a.example:8443/x", false),
            (
                "https://a.example/x",
                "https://a.example/x?mytoken=NEW",
                false,
            ),
        ] {
            let of = |uri: &str| endpoint(&uri.replace("OLD", OLD).replace("NEW", NEW)).unwrap();
            assert_eq!(of(one) == of(other), expected, "{one} {other}");
        }
        for uri in ["", "a.example/x", "/x", "ftp://a.example/", "mailto:a@b"] {
            assert_eq!(endpoint(uri), None, "{uri}");
        }
        assert!(is_same("https://a.example/%7Ex", "https://A.example/~x"));
        assert!(!is_same(
            "https://a.example/x?token=a",
            "https://a.example/x"
        ));
        assert!(is_same("?", "?") && !is_same("?", "!"));
    }

    #[test]
    fn what_is_around_a_token() {
        for (uri, around) in [
            ("https://a.example/x/OLD", Some("https://a.example/x")),
            (
                "https://a.example/x/OLD/?a=1",
                Some("https://a.example/x?a=1"),
            ),
            ("https://a.example/OLD", Some("https://a.example/")),
            ("https://a.example/x", None),
            ("https://a.example/OLD/x", None),
            ("https://a.example", None),
            ("OLD", None),
        ] {
            let found = around_token(&uri.replace("OLD", OLD));
            let expected = around.map(|around| (around.to_owned(), OLD.to_owned()));
            assert_eq!(found, expected, "{uri}");
        }
    }
}
