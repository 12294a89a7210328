//! Endpoint tokens: whatever the URL, a token that was put into it is found in it, and another is not.
#![cfg_attr(fuzzing, no_main)]

use arbitrary::Unstructured;
use gemini_webhooks::EndpointToken;
use gemini_webhooks::client::WebhookConfig;
use gemini_webhooks_fuzz::{fuzz_target, part};
use http::Uri;

const OTHER: &str = "an0ther-t0ken-of-somebody_";

fuzz_target!(|input: &[u8]| {
    let mut input = Unstructured::new(input);
    let Ok(text) = part(&mut input) else { return };
    let rest = input.take_rest();
    let (Ok(text), Ok(base)) = (str::from_utf8(text), str::from_utf8(rest)) else {
        return;
    };
    let Ok(token) = EndpointToken::new(text) else {
        return;
    };
    let text = token.url("").split_off("?token=".len());
    if text == OTHER {
        return;
    }
    // So that mutations easily put one there.
    let base = base.replace('@', &text).replace('$', OTHER);
    let other = EndpointToken::new(OTHER).expect("it is a token");

    let target = without_fragment(&base);
    assert_eq!(
        token.is_carried_by(target),
        carries(target, &text),
        "{target}"
    );

    let configured = WebhookConfig::new().uri(&base).with_endpoint_token(&token);
    arrives(&configured.uris()[0], &token, &other);
    // `url` adds a token and replaces none.
    if !query(target)
        .split('&')
        .any(|pair| pair.starts_with("token="))
    {
        arrives(&token.url(&base), &token, &other);
    }
});

/// The URL reaches a receiver of `token`, and none of `other`: as it is, and as a client of HTTP reads it.
fn arrives(url: &str, token: &EndpointToken, other: &EndpointToken) {
    let parsed = url.parse().ok();
    let parsed = parsed.as_ref().and_then(Uri::path_and_query);
    for target in [
        Some(without_fragment(url)),
        parsed.map(|target| target.as_str()),
    ] {
        let Some(target) = target else { continue };
        assert!(token.is_carried_by(target), "{target}");
        assert!(!other.is_carried_by(target), "{target}");
    }
}

/// The documented rule, written once more.
fn carries(target: &str, token: &str) -> bool {
    let mut in_query = query(target)
        .split('&')
        .filter(|pair| pair.starts_with("token="));
    match (in_query.next(), in_query.next()) {
        (Some(pair), None) => pair == format!("token={token}"),
        (Some(_), Some(_)) => false,
        (None, _) => {
            let path = target.find('?').map_or(target, |end| &target[..end]);
            let ends = |path: &str| path == token || path.ends_with(&format!("/{token}"));
            ends(path) || path.strip_suffix('/').is_some_and(ends)
        }
    }
}

fn query(target: &str) -> &str {
    target.find('?').map_or("", |start| &target[start + 1..])
}

fn without_fragment(url: &str) -> &str {
    url.find('#').map_or(url, |end| &url[..end])
}
