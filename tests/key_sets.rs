//! Key sets as others write them: `tests/vectors/jwks.json`, which shows the verdicts of PyJWT and
//! `jose` beside ours.
#![cfg(feature = "jwt")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gemini_webhooks::jwks::KeySet;
use gemini_webhooks::{DeliveryHeaders, Verifier};
use serde_json::Value;

/// Whether a delivery passes that the key of the set signed.
fn verifies(set: &[u8], vector: &Value, made: &Value) -> bool {
    let Ok(keys) = KeySet::from_json(set) else {
        return false;
    };
    let now = made["now"].as_u64().unwrap();
    let timestamp = now.to_string();
    let headers = DeliveryHeaders::from_lines([
        ("webhook-id", made["id"].as_str().unwrap()),
        ("webhook-timestamp", &timestamp),
        ("webhook-signature", vector["signature"].as_str().unwrap()),
    ]);
    let verifier = Verifier::for_keys(keys).accept_jwt(made["audience"].as_str().unwrap());
    let body = vector["body"].as_str().unwrap();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now);
    verifier.verify(&headers, body.as_bytes(), now).is_ok()
}

#[test]
fn key_sets_as_others_write_them() {
    let made: Value = serde_json::from_str(include_str!("vectors/jwks.json")).unwrap();
    let vectors = made["vectors"].as_array().unwrap();
    let mut taken = 0;
    for vector in vectors {
        let name = vector["name"].as_str().unwrap();
        let set = match vector["set"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => STANDARD
                .decode(vector["set_base64"].as_str().unwrap())
                .unwrap(),
        };
        let expected = vector["taken"].as_bool().unwrap();
        taken += usize::from(expected);
        assert_eq!(verifies(&set, vector, &made), expected, "{name}");
        // What is refused although another library takes it has a reason.
        let others = ["pyjwt", "jose"].map(|library| vector[library].as_bool().unwrap());
        if !expected && others.contains(&true) {
            assert_ne!(vector["why"], "", "{name}");
        }
    }
    assert!(
        taken > 30 && vectors.len() > taken + 20,
        "{taken} of {}",
        vectors.len()
    );
}
