//! Key sets: what is taken of one is what a plain reader of JSON takes for a key, and it verifies what the
//! matching private key signed.
#![cfg_attr(fuzzing, no_main)]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use gemini_webhooks::jwks::KeySet;
use gemini_webhooks::{DeliveryHeaders, Verifier};
use gemini_webhooks_fuzz::{NOW, ed25519_key, ed25519_keys, fuzz_target};
use serde_json::Value;

/// A public key, and the three headers of an empty delivery that its private half signed.
struct Signed {
    key: [u8; 32],
    lines: [(&'static str, String); 3],
}

static SIGNED: LazyLock<Vec<Signed>> = LazyLock::new(|| {
    let signed = |seed| {
        let (signer, key) = ed25519_key(seed);
        let lines = signer.sign("msg_1", NOW, "");
        Signed { key, lines }
    };
    ed25519_keys().map(signed).collect()
});

fuzz_target!(|json: &[u8]| {
    let set = match KeySet::from_json(json) {
        Ok(set) => set,
        Err(error) => {
            assert!(error.to_string().len() < 4096);
            return;
        }
    };
    assert!(json.len() <= 64 * 1024);
    assert!(set.len() >= 1 && set.len() + set.skipped().len() <= 32);
    let _ = format!("{set:?}");
    for key in set.skipped() {
        assert!(key.kid().is_none_or(|kid| kid.chars().count() <= 65));
        assert!(!key.to_string().is_empty());
    }

    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
    // It refuses more than the reader of sets does, such as half a surrogate pair in another member.
    let plain: Option<Value> = serde_json::from_slice(json).ok();
    let listed = plain.as_ref().map(|plain| {
        let listed = plain["keys"].as_array().expect("it has a list of keys");
        assert_eq!(listed.len(), set.len() + set.skipped().len());
        listed
    });
    let verifier = Verifier::for_keys(set);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    for signed in &*SIGNED {
        let lines = signed.lines.iter().map(|(name, value)| (*name, value));
        let headers = DeliveryHeaders::from_lines(lines);
        let verifies = verifier.verify(&headers, b"", now).is_ok();
        if let Some(listed) = listed {
            let is_it = |jwk: &Value| ed25519(jwk).as_deref() == Some(&signed.key);
            assert_eq!(verifies, listed.iter().any(is_it));
        }
    }
});

/// The bytes of an Ed25519 key that is for verifying and has no private half (RFC 7517, RFC 8037).
fn ed25519(jwk: &Value) -> Option<Vec<u8>> {
    let member = |name| match &jwk[name] {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        value => Some(value),
    };
    let is = |name, texts: &[&str]| {
        let text = member(name).and_then(Value::as_str);
        text.is_some_and(|text| texts.contains(&text))
    };
    let may_be = |name, texts: &[&str]| member(name).is_none() || is(name, texts);
    // A list of anything but texts says nothing.
    let operations: Option<Vec<&str>> = jwk["key_ops"]
        .as_array()
        .and_then(|list| list.iter().map(Value::as_str).collect());
    let verifies = operations
        .is_none_or(|list| list.is_empty() || list.contains(&"verify") || list.contains(&"sign"));
    let for_us = is("kty", &["OKP"])
        && is("crv", &["Ed25519"])
        && may_be("use", &["sig"])
        && may_be("alg", &["EdDSA", "Ed25519"])
        && verifies
        && member("d").is_none();
    let bytes = bytes(member("x")?.as_str()?)?;
    for_us.then_some(bytes)
}

/// Base64 in either alphabet, with padding or without; bits that are left over say nothing.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    if digits.len() % 4 == 1 || padding > (4 - digits.len() % 4) % 4 {
        return None;
    }
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        (bits, count) = ((bits << 6 | u32::from(value)) & 0xffff, count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}
