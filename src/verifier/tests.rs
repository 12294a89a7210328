use std::error::Error as _;

use super::*;
use crate::error::VerifyErrorKind;
use crate::secret::SigningSecret;
use crate::testing;

const SENT: u64 = 1_700_000_000;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn secret(byte: u8) -> SigningSecret {
    SigningSecret::from_bytes(&[byte; 32]).unwrap()
}

fn signature(secret: &SigningSecret, body: &[u8]) -> String {
    let [.., (_, signature)] = testing::sign_v1(secret, "msg_1", SENT, body);
    signature
}

fn verify(
    verifier: &Verifier,
    signature: &str,
    body: &[u8],
    now: SystemTime,
) -> Result<String, VerifyError> {
    let timestamp = SENT.to_string();
    let headers = DeliveryHeaders::from_lines([
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", &timestamp),
        ("webhook-signature", signature),
    ]);
    verifier
        .verify(&headers, body, now)
        .map(|verified| verified.key_id().to_owned())
}

#[test]
fn the_window_has_two_sides_and_saturates() {
    use VerifyErrorKind::{TimestampTooNew, TimestampTooOld};
    let verifier = Verifier::new(Keyring::new(secret(1)));
    let signature = signature(&secret(1), b"{}");
    for (now, expected) in [
        (at(SENT), None),
        (at(SENT + 300), None),
        (at(SENT + 300) + Duration::from_millis(999), None),
        (at(SENT + 301), Some(TimestampTooOld)),
        (at(SENT - 300), None),
        (at(SENT - 301), Some(TimestampTooNew)),
        (at(0), Some(TimestampTooNew)),
        (
            SystemTime::UNIX_EPOCH - Duration::from_secs(9),
            Some(TimestampTooNew),
        ),
        (at(1 << 39), Some(TimestampTooOld)),
    ] {
        let error = verify(&verifier, &signature, b"{}", now).err();
        assert_eq!(error.map(|error| error.kind()), expected, "{now:?}");
    }
    let wide = Verifier::new(Keyring::new(secret(1)))
        .with_tolerance(Duration::MAX)
        .unwrap();
    assert!(verify(&wide, &signature, b"{}", at(0)).is_ok());
}

#[test]
fn any_secret_that_is_valid_now() {
    let verifier = Verifier::new(Keyring::new(secret(1)).add_until(secret(2), at(SENT + 10)));
    let (new, old, foreign) = (
        signature(&secret(1), b"{}"),
        signature(&secret(2), b"{}"),
        signature(&secret(3), b"{}"),
    );
    let signed_by = |list: &str, now| verify(&verifier, list, b"{}", at(now)).map_err(|e| e.kind());
    let key = |byte| Ok(secret(byte).key_id().to_owned());
    let mismatch = Err(VerifyErrorKind::SignatureMismatch);
    assert_eq!(signed_by(&new, SENT), key(1));
    assert_eq!(signed_by(&old, SENT + 9), key(2));
    assert_eq!(signed_by(&old, SENT + 10), mismatch);
    assert_eq!(signed_by(&foreign, SENT), mismatch);
    assert_eq!(signed_by(&format!("{foreign} {old}"), SENT), key(2));
    assert_eq!(
        signed_by(&format!("v1,%%% v1 v9,x {foreign} v1, {new}"), SENT),
        key(1)
    );
    assert_eq!(signed_by(&format!("{old} {new}"), SENT + 10), key(1));

    let ended = Verifier::new(Keyring::until(secret(1), at(SENT)));
    let error = verify(&ended, &new, b"{}", at(SENT)).unwrap_err();
    assert_eq!(error.kind(), VerifyErrorKind::KeysUnavailable);
}

#[test]
fn half_a_digest_is_none() {
    let verifier = Verifier::new(Keyring::new(secret(1)));
    let whole = signature(&secret(1), b"{}");
    for length in 0..whole.len() {
        assert!(
            verify(&verifier, &whole[..length], b"{}", at(SENT)).is_err(),
            "{length}"
        );
    }
}

#[test]
fn a_body_need_not_be_text() {
    let verifier = Verifier::new(Keyring::new(secret(1)));
    let body = b"\xff\x00\xfe";
    assert!(verify(&verifier, &signature(&secret(1), body), body, at(SENT)).is_ok());
}

#[test]
fn errors_tell_the_operator_what_he_needs_and_nobody_a_digest() {
    let verifier = Verifier::new(Keyring::new(secret(1)));
    let good = signature(&secret(1), b"{}");
    let foreign = signature(&secret(2), b"{}");
    for (signature, now, parts) in [
        (
            good.clone(),
            SENT + 1000,
            ["too old", "1000 s off, 300 s allowed"],
        ),
        (good, SENT - 301, ["in the future", "301 s off"]),
        (
            format!("v1a,AAAA {foreign}"),
            SENT,
            ["no key", "found v1a, v1"],
        ),
        (
            "v1a,AAAA v2,A".to_owned(),
            SENT,
            ["scheme", "found v1a, v2"],
        ),
        (
            "eyJhbGciOiJSUzI1NiJ9.e30.AAAA".to_owned(),
            SENT,
            ["found a token (JWT)", "`accept_jwt`"],
        ),
    ] {
        let error = verify(&verifier, &signature, b"{}", at(now)).unwrap_err();
        for shown in [error.to_string(), format!("{error:?}")] {
            for part in parts {
                assert!(shown.contains(part), "{part:?} is not in {shown:?}");
            }
            for entry in signature.split(' ') {
                assert!(!shown.contains(entry), "{entry:?} is in {shown:?}");
            }
        }
        assert!(error.source().is_none());
    }
}
