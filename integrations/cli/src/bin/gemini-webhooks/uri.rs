//! What is shown of a URI, which may have an endpoint token in it.

/// As many characters of its alphabet an endpoint token has at least.
const TOKEN_CHARS: usize = 22;

/// Whether a URI begins as one of HTTP does. Google wants `https`, and says so itself.
pub(crate) fn has_scheme(uri: &str) -> bool {
    uri.split_once("://").is_some_and(|(scheme, _)| {
        scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")
    })
}

/// Whether a URI has an endpoint token in its query.
pub(crate) fn has_token(uri: &str) -> bool {
    let (rest, _) = cut(uri, '#');
    let (_, query) = cut(rest, '?');
    let mut pairs = query.trim_start_matches('?').split('&');
    pairs.any(|pair| pair.strip_prefix("token=").is_some_and(|it| !it.is_empty()))
}

/// A URI, or its path and query, in which `…` stands for the user, the values of the query, the fragment, and each part of the path that
/// could be a token.
pub(crate) fn without_tokens(uri: &str) -> String {
    let (rest, fragment) = cut(uri, '#');
    let (path, query) = cut(rest, '?');
    let mut shown = String::with_capacity(uri.len());
    for part in path.split_inclusive('/') {
        let (segment, slash) = match part.strip_suffix('/') {
            Some(segment) => (segment, "/"),
            None => (part, ""),
        };
        let is_host = shown
            .strip_suffix("://")
            .is_some_and(|scheme| !scheme.contains('/'));
        match segment.rsplit_once('@') {
            Some((_, host)) if is_host => shown.extend(["…@", host]),
            _ if !is_host && could_be_token(segment) => shown.push('…'),
            _ => shown.push_str(segment),
        }
        shown.push_str(slash);
    }
    let mut separator = '?';
    for pair in query.trim_start_matches('?').split('&') {
        if pair.is_empty() {
            continue;
        }
        shown.push(separator);
        match pair.split_once('=') {
            Some((name, _)) if !could_be_token(name) => shown.extend([name, "="]),
            _ => {}
        }
        shown.push('…');
        separator = '&';
    }
    if !fragment.is_empty() {
        shown.push_str("#…");
    }
    shown
}

/// Whether there is a long run of a token's characters. Words have neither digits nor capitals; of random tokens one
/// in 70 million has none.
fn could_be_token(segment: &str) -> bool {
    let is_of_token = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '%');
    segment.split(|char| !is_of_token(char)).any(|run| {
        run.len() >= TOKEN_CHARS
            && run.contains(|char: char| char.is_ascii_digit() || char.is_ascii_uppercase())
    })
}

/// Before `at`, and from it on.
fn cut(text: &str, at: char) -> (&str, &str) {
    text.split_at(text.find(at).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "Zm9yLWRvY3VtZW50YXRpb24tb25seQ";

    #[test]
    fn what_could_be_a_token_is_not_shown() {
        for (uri, expected) in [
            (
                "https://a.example/gemini-callback",
                "https://a.example/gemini-callback",
            ),
            (
                "https://a.example/gemini-webhook-dynamic/",
                "https://a.example/gemini-webhook-dynamic/",
            ),
            ("https://a.example", "https://a.example"),
            (
                &format!("https://a.example/x?token={TOKEN}"),
                "https://a.example/x?token=…",
            ),
            (
                &format!("https://a.example/x?{TOKEN}"),
                "https://a.example/x?…",
            ),
            (
                "https://a.example/x?a=1&&b=2#c",
                "https://a.example/x?a=…&b=…#…",
            ),
            (
                &format!("https://a.example/x/{TOKEN}"),
                "https://a.example/x/…",
            ),
            (
                &format!("https://a.example/{TOKEN}/x"),
                "https://a.example/…/x",
            ),
            ("https://user:pass@a.example/x@y", "https://…@a.example/x@y"),
            (
                "https://0123456789abcdefghijklmn.a.example/x",
                "https://0123456789abcdefghijklmn.a.example/x",
            ),
            (
                &format!("https://a.example/x?{TOKEN}=&a=b"),
                "https://a.example/x?…&a=…",
            ),
            (&format!("/{TOKEN}"), "/…"),
            (&format!("/hook/{TOKEN}/"), "/hook/…/"),
            (&format!("/{TOKEN}/hook?x=1"), "/…/hook?x=…"),
            (&format!("//{TOKEN}"), "//…"),
            (&format!("/a://{TOKEN}"), "/a://…"),
            (&format!("/hook/v2.{TOKEN}"), "/hook/…"),
            ("/gemini-webhook-for-my-app", "/gemini-webhook-for-my-app"),
            ("/", "/"),
            ("", ""),
            ("no URI", "no URI"),
        ] {
            assert_eq!(without_tokens(uri), expected, "{uri}");
        }
    }

    #[test]
    fn what_begins_as_a_url_does() {
        for (uri, has) in [
            ("https://a.example/x", true),
            ("HTTPS://a.example", true),
            ("http://a.example", true),
            ("a.example/x", false),
            ("a.example/x?to=https://b.example", false),
            ("ftp://a.example", false),
            ("https:/a.example", false),
            ("", false),
        ] {
            assert_eq!(has_scheme(uri), has, "{uri}");
        }
    }

    #[test]
    fn a_token_in_the_query_is_seen() {
        for (uri, has) in [
            ("https://a.example/x?token=y", true),
            ("https://a.example/x?a=b&token=y", true),
            ("https://a.example/x?token=", false),
            ("https://a.example/x?tokens=y", false),
            ("https://a.example/x#?token=y", false),
            ("https://a.example/token=y", false),
        ] {
            assert_eq!(has_token(uri), has, "{uri}");
        }
    }
}
