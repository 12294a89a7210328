use std::error::Error as _;

use super::*;
use crate::error::VerifyErrorKind;
use crate::scheme::Scheme;
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

/// Both ways to verify; they must agree.
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
    let told = |result: Result<Verified<'_>, VerifyError>| {
        result.map(|verified| verified.key_id().to_owned())
    };
    let whole = told(verifier.verify(&headers, body, now));
    let halves = match verifier.check(&headers, now) {
        Ok(checked) => told(checked.verify(body)),
        Err(error) => Err(error),
    };
    assert_eq!(format!("{whole:?}"), format!("{halves:?}"));
    whole
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
fn any_place_in_a_list_that_a_proxy_joined() {
    let verifier = Verifier::new(Keyring::new(secret(1)));
    let (ours, other) = (signature(&secret(1), b"{}"), signature(&secret(2), b"{}"));
    for between in [" ", ", ", ",", " , ", ",,"] {
        for list in [[&ours, &other], [&other, &ours]] {
            let list = list.map(String::as_str).join(between);
            assert!(verify(&verifier, &list, b"{}", at(SENT)).is_ok(), "{list}");
            let changed = verify(&verifier, &list, b"{ }", at(SENT)).unwrap_err();
            assert_eq!(changed.kind(), VerifyErrorKind::SignatureMismatch, "{list}");
        }
        let list = [other.as_str(), &other].join(between);
        assert!(verify(&verifier, &list, b"{}", at(SENT)).is_err(), "{list}");
    }
    // Lines that differ stay refused, and an id or a time that was joined is malformed.
    let time = SENT.to_string();
    let joined = (format!("{time}, {time}"), format!("{time},{time}"));
    for (id, timestamp, signatures, kind) in [
        (
            "msg_1",
            &time,
            &[&ours, &other][..],
            VerifyErrorKind::ConflictingHeader,
        ),
        ("msg_1, msg_1", &time, &[&ours], VerifyErrorKind::InvalidId),
        (
            "msg_1,msg_1",
            &time,
            &[&ours],
            VerifyErrorKind::SignatureMismatch,
        ),
        (
            "msg_1",
            &joined.0,
            &[&ours],
            VerifyErrorKind::InvalidTimestamp,
        ),
        (
            "msg_1",
            &joined.1,
            &[&ours],
            VerifyErrorKind::InvalidTimestamp,
        ),
    ] {
        let headers = DeliveryHeaders::from_values(
            [id.as_bytes()],
            [timestamp.as_bytes()],
            signatures.iter().map(|signature| signature.as_bytes()),
        );
        let error = verifier.verify(&headers, b"{}", at(SENT)).unwrap_err();
        assert_eq!(error.kind(), kind, "{id} {timestamp}");
    }
}

#[test]
fn what_can_not_be_verified_here_is_told_with_what_to_do() {
    let of_secret = Verifier::new(Keyring::new(secret(1)));
    let whole = format!("v1a,{}", "A".repeat(86) + "==");
    for (list, part) in [
        ("v1,AAA=", "no `v1` entry is a signature"),
        (&*whole, "call `google_keys`"),
        ("eyJh.e30.A", "call `accept_jwt`"),
    ] {
        let error = verify(&of_secret, list, b"{}", at(SENT)).unwrap_err();
        assert_eq!(error.kind(), VerifyErrorKind::UnsupportedScheme, "{list}");
        says(&error.to_string(), &[part], &["AAA"]);
    }
}

#[test]
fn half_a_digest_is_none() {
    let verifier = Verifier::new(Keyring::new(secret(1)));
    let whole = signature(&secret(1), b"{}");
    for length in 0..whole.len() {
        // What is no digest is not worth a hash, nor a body.
        let error = verify(&verifier, &whole[..length], b"{}", at(SENT)).unwrap_err();
        let kind = match length {
            0 => VerifyErrorKind::InvalidSignatureHeader,
            _ => VerifyErrorKind::UnsupportedScheme,
        };
        assert_eq!(error.kind(), kind, "{length}");
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
            ["in the past", "1000 s off, 300 s allowed"],
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

fn mismatch(verifier: &Verifier, signature: &str, body: &[u8], now: u64) -> String {
    let error = verify(verifier, signature, body, at(now)).unwrap_err();
    assert_eq!(error.kind(), VerifyErrorKind::SignatureMismatch);
    error.to_string()
}

fn says(shown: &str, parts: &[&str], others: &[&str]) {
    for part in parts {
        assert!(shown.contains(part), "{part:?} is not in {shown:?}");
    }
    for part in others {
        assert!(!shown.contains(part), "{part:?} is in {shown:?}");
    }
}

#[test]
fn a_mismatch_tells_the_body_and_the_secrets_that_were_tried() {
    let ids = [1, 2, 3].map(|byte| secret(byte).key_id().to_owned());
    let verifier = Verifier::new(
        Keyring::new(secret(1))
            .add(secret(2))
            .add_until(secret(3), at(SENT - 1)),
    );
    for (signature, body) in [
        (signature(&secret(9), b"{\"a\":1}"), "{\"a\":1}"),
        (signature(&secret(1), b"{\"a\":1}"), "{\"a\":2}"),
    ] {
        let shown = mismatch(&verifier, &signature, body.as_bytes(), SENT);
        let tried = format!("tried secrets {}, {};", ids[0], ids[1]);
        says(
            &shown,
            &["found v1;", &tried, "7 bytes", "can often tell which"],
            &[&ids[2]],
        );
    }
}

#[test]
fn a_mismatch_tells_of_the_secret_that_has_ended_and_would_have_fitted() {
    // Not in the order in which they ended.
    let verifier = Verifier::new(
        Keyring::new(secret(1))
            .add_until(secret(3), at(SENT - 2 * 3600))
            .add_until(secret(4), at(SENT - 3 * 3600))
            .add_until(secret(2), at(SENT - 200)),
    );
    let id = |byte| secret(byte).key_id().to_owned();
    let shown =
        |byte, body: &[u8]| mismatch(&verifier, &signature(&secret(byte), b"{}"), body, SENT);
    for (byte, ago) in [(2, "3 min ago"), (3, "2 h ago")] {
        let fits = format!("the secret {} did, but it ended {ago}", id(byte));
        says(&shown(byte, b"{}"), &[&fits], &["can often tell which"]);
        says(
            &shown(byte, b"{ }"),
            &["can often tell which"],
            &["ended", &id(byte)],
        );
    }
    // More are not tried: each is a hash of the body.
    says(
        &shown(4, b"{}"),
        &["can often tell which"],
        &["ended", &id(4)],
    );

    let ended = Verifier::new(Keyring::until(secret(1), at(SENT - 9)).add_until(secret(2), at(0)));
    let error = verify(&ended, &signature(&secret(1), b"{}"), b"{}", at(SENT)).unwrap_err();
    assert_eq!(error.kind(), VerifyErrorKind::KeysUnavailable);
    let last = format!("the last one ({}) 9 s ago", id(1));
    says(&error.to_string(), &[&last], &[&id(2)]);
}

#[cfg(feature = "jwks")]
#[test]
fn a_mismatch_tells_the_public_keys_that_were_tried() {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use ed25519_dalek::{Signer as _, SigningKey};

    let keys = |count: u8| {
        let jwk = |byte: u8| {
            let x = URL_SAFE_NO_PAD.encode(SigningKey::from_bytes(&[byte; 32]).verifying_key());
            format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"key\n{byte}","x":"{x}"}}"#)
        };
        let keys: Vec<String> = (1..=count).map(jwk).collect();
        KeySet::from_json(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes()).unwrap()
    };
    let signature = SigningKey::from_bytes(&[99; 32]).sign(b"msg_1.1700000000.{}");
    let signature = format!("v1a,{}", STANDARD.encode(signature.to_bytes()));
    let shown = mismatch(&Verifier::for_keys(keys(1)), &signature, b"{}", SENT);
    says(
        &shown,
        &["found v1a;", r"tried public key key\n1;", "2 bytes"],
        &[],
    );

    let both = Verifier::new(Keyring::new(secret(1))).with_keys(keys(9));
    let shown = mismatch(&both, &signature, b"{}", SENT);
    let four = r"tried public keys key\n1, key\n2, key\n3, key\n4 and 5 more;";
    says(&shown, &[four], &["secret sha256"]);

    let by_secret = super::tests::signature(&secret(2), b"{}");
    let shown = mismatch(&both, &format!("{signature} {by_secret}"), b"{}", SENT);
    let tried = format!("tried secret {} and public keys key", secret(1).key_id());
    says(&shown, &["found v1a, v1;", &tried], &[]);
    let shown = mismatch(&both, &by_secret, b"{}", SENT);
    says(&shown, &["tried secret sha256"], &["public key key"]);

    // What is no signature under any key is tried with none.
    let malformed = format!("v1a,{}", "%".repeat(88));
    let shown = mismatch(&Verifier::for_keys(keys(1)), &malformed, b"{}", SENT);
    says(&shown, &["tried no key;"], &[]);
}

#[test]
fn debug_shows_no_signature() {
    let verifier = Verifier::new(Keyring::new(secret(1)));
    let timestamp = SENT.to_string();
    let signature = signature(&secret(1), b"{}");
    let headers = DeliveryHeaders::from_lines([
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", &timestamp),
        ("webhook-signature", &signature),
    ]);
    let checked = verifier.check(&headers, at(SENT)).unwrap();
    let verified = checked.verify(b"{}").unwrap();
    let digest = signature.trim_start_matches("v1,");
    for shown in [
        format!("{checked:?}"),
        format!("{verified:?}"),
        format!("{verifier:?}"),
    ] {
        let bytes = format!("{:?}", digest.as_bytes()).replace(['[', ']'], "");
        says(&shown, &[], &[digest, &bytes]);
    }
    says(
        &format!("{verified:?}"),
        &["msg_1", secret(1).key_id()],
        &[],
    );
}

#[cfg(all(feature = "jwt", feature = "testing"))]
#[test]
fn debug_shows_no_payload_of_a_token() {
    let signer = testing::Rs256Signer::generate("key-1").unwrap();
    let keys = KeySet::from_json(testing::key_set([signer.jwk()]).as_bytes()).unwrap();
    let event = r#"{"type":"batch.succeeded","data":{"id":"of-somebody"}}"#;
    let claims = testing::claims(event, "my-app", SENT).unwrap();
    let lines = signer.sign("msg_1", SENT, &claims);
    let headers = DeliveryHeaders::from_lines(lines.iter().map(|(name, value)| (*name, value)));
    let verifier = Verifier::for_keys(keys).accept_jwt("my-app");
    let checked = verifier.check(&headers, at(SENT)).unwrap();
    let verified = checked.verify(b"").unwrap();
    assert_eq!(verified.payload(), Some(claims.as_bytes()));
    let [.., (_, token)] = &lines;
    let parts: Vec<&str> = token.split('.').collect();
    for shown in [format!("{checked:?}"), format!("{verified:?}")] {
        says(
            &shown,
            &["msg_1"],
            &["of-somebody", "batch", parts[1], parts[2]],
        );
    }
    says(&format!("{verified:?}"), &["key-1"], &[]);
    assert!(verified.claim_id().starts_with("sha256:"));
}

#[cfg(all(feature = "jwt", feature = "testing"))]
#[test]
fn what_is_wrong_with_a_token_names_its_key_in_one_line() {
    let [signer, stranger] =
        ["key\n1", "key\n1"].map(|kid| testing::Rs256Signer::generate(kid).unwrap());
    let keys = KeySet::from_json(testing::key_set([signer.jwk()]).as_bytes()).unwrap();
    let unknown = testing::Rs256Signer::generate(&"\u{1b}".repeat(100)).unwrap();
    let verifier = Verifier::for_keys(keys).accept_jwt("my-app");
    let claims = testing::claims(testing::SAMPLE_EVENTS[0], "my-app", SENT).unwrap();
    for (signer, kind, part) in [
        (
            stranger,
            VerifyErrorKind::SignatureMismatch,
            r#"names the public key "key\n1", which did not sign it"#,
        ),
        (
            unknown,
            VerifyErrorKind::UnknownKey,
            r#"not among the public keys: "\u{1b}\u{1b}"#,
        ),
    ] {
        let [.., (_, token)] = signer.sign("msg_1", SENT, &claims);
        let error = verify(&verifier, &token, b"", at(SENT)).unwrap_err();
        assert_eq!(error.kind(), kind);
        let shown = error.to_string();
        says(&shown, &[part], &["\n", "\u{1b}"]);
        assert!(shown.len() < 300, "{shown}");
    }
}

#[cfg(all(feature = "jwt", feature = "testing"))]
struct Tokens {
    verifier: Verifier,
    keys: KeySet,
}

#[cfg(all(feature = "jwt", feature = "testing"))]
impl Tokens {
    fn by(signers: &[&testing::Rs256Signer]) -> Self {
        let jwks = testing::key_set(signers.iter().map(|signer| signer.jwk()));
        let keys = KeySet::from_json(jwks.as_bytes()).unwrap();
        let verifier = Verifier::for_keys(keys.clone()).accept_jwt("my-app");
        Self { verifier, keys }
    }

    fn sign(signer: &testing::Rs256Signer) -> String {
        let claims = testing::claims(testing::SAMPLE_EVENTS[0], "my-app", SENT).unwrap();
        let [.., (_, token)] = signer.sign("msg_1", SENT, &claims);
        token
    }

    fn verify(&self, list: &[&str]) -> Option<VerifyErrorKind> {
        let verified = verify(&self.verifier, &list.join(" "), b"", at(SENT));
        verified.err().map(|error| error.kind())
    }
}

#[cfg(all(feature = "jwt", feature = "testing"))]
#[test]
fn of_tokens_and_of_keys_of_one_name_two_are_tried() {
    let [one, two, three] = [(); 3].map(|()| testing::Rs256Signer::generate("same").unwrap());
    let [by_one, by_two, by_three] = [&one, &two, &three].map(Tokens::sign);
    let mismatch = Some(VerifyErrorKind::SignatureMismatch);

    let tokens = Tokens::by(&[&one]);
    assert_eq!(tokens.verify(&[&by_one]), None);
    assert_eq!(tokens.verify(&[&by_two, &by_one]), None);
    assert_eq!(tokens.verify(&[&by_two, &by_two, &by_one]), mismatch);

    let tokens = Tokens::by(&[&one, &two, &three]);
    assert_eq!(tokens.verify(&[&by_one]), None);
    assert_eq!(tokens.verify(&[&by_two]), None);
    assert_eq!(tokens.verify(&[&by_three]), mismatch);
}

/// A `jti` that reads like the digest of a token is not taken for one.
#[cfg(all(feature = "jwt", feature = "testing"))]
#[test]
fn a_jti_and_a_digest_are_told_apart() {
    let signer = testing::Rs256Signer::generate("key-1").unwrap();
    let tokens = Tokens::by(&[&signer]);
    let claims = testing::claims(testing::SAMPLE_EVENTS[0], "my-app", SENT).unwrap();
    let claims = claims.replacen('{', r#"{"jti":"sha256:x","#, 1);
    let lines = signer.sign("msg_1", SENT, &claims);
    let headers = DeliveryHeaders::from_lines(lines.iter().map(|(name, value)| (*name, value)));
    let verified = tokens.verifier.verify(&headers, b"", at(SENT)).unwrap();
    assert_eq!(verified.claim_id(), "jti:sha256:x");
}

#[test]
fn what_was_verified_is_told() {
    let secret = secret(1);
    let (key_id, body) = (secret.key_id().to_owned(), b"{}");
    let lines = testing::sign_v1(&secret, "msg_1", SENT, body);
    let headers = DeliveryHeaders::from_lines(lines.iter().map(|(name, value)| (*name, value)));
    let verifier = Verifier::new(Keyring::new(secret));
    let verified = verifier.verify(&headers, body, at(SENT + 1)).unwrap();
    assert_eq!((verified.id(), verified.claim_id()), ("msg_1", "msg_1"));
    assert_eq!((verified.timestamp(), verified.key_id()), (SENT, &*key_id));
    assert_eq!(verified.scheme(), Scheme::V1);
    #[cfg(feature = "jwt")]
    assert_eq!(
        (verified.payload(), verified.token_valid_until()),
        (None, None)
    );
}

/// A copy may come until then.
#[cfg(all(feature = "jwt", feature = "testing"))]
#[test]
fn how_long_a_token_is_accepted_is_told() {
    let signer = testing::Rs256Signer::generate("key-1").unwrap();
    let tokens = Tokens::by(&[&signer]);
    let claims = testing::claims(testing::SAMPLE_EVENTS[0], "my-app", SENT).unwrap();
    let lines = signer.sign("msg_1", SENT, &claims);
    let headers = DeliveryHeaders::from_lines(lines.iter().map(|(name, value)| (*name, value)));
    let verified = tokens.verifier.verify(&headers, b"", at(SENT)).unwrap();
    assert_eq!(
        (verified.scheme(), verified.key_id()),
        (Scheme::Jwt, "key-1")
    );
    assert_eq!(verified.payload(), Some(claims.as_bytes()));
    // Made at `SENT`, and five minutes of tolerance.
    let until = verified.token_valid_until();
    assert_eq!(until, Some(at(SENT + 300)));
    let accepts = |now| tokens.verifier.verify(&headers, b"", at(now)).is_ok();
    assert!(accepts(SENT + 300) && !accepts(SENT + 301));
}

/// Else all that have no `jti` would be copies of one event.
#[cfg(all(feature = "jwt", feature = "testing"))]
#[test]
fn a_token_without_a_jti_is_known_by_its_digest() {
    let signer = testing::Rs256Signer::generate("key-1").unwrap();
    let tokens = Tokens::by(&[&signer]);
    let claim_id = |event: &str| {
        let claims = testing::claims(event, "my-app", SENT).unwrap();
        let lines = signer.sign("msg_1", SENT, &claims);
        let headers = DeliveryHeaders::from_lines(lines.iter().map(|(name, value)| (*name, value)));
        let verified = tokens.verifier.verify(&headers, b"", at(SENT)).unwrap();
        verified.claim_id().to_owned()
    };
    let [one, other, ..] = testing::SAMPLE_EVENTS;
    assert!(claim_id(one).starts_with("sha256:"), "{}", claim_id(one));
    assert_eq!(claim_id(one), claim_id(one));
    assert_ne!(claim_id(one), claim_id(other));
}

/// Else anyone could make a receiver fetch keys.
#[cfg(all(feature = "jwt", feature = "testing"))]
#[test]
fn only_what_another_key_may_have_signed_asks_for_keys() {
    let [known, stranger, other] =
        ["known", "known", "other"].map(|kid| testing::Rs256Signer::generate(kid).unwrap());
    let tokens = Tokens::by(&[&known]);
    let [wrong, unknown] = [&stranger, &other].map(Tokens::sign);
    let signed = format!("v1a,{}==", "A".repeat(86));
    // It begins with a point of small order.
    let [weak, fresh] = [signed.clone(), signed.replace("v1a,AAAA", "v1a,AAAB")];
    let malformed = format!("v1a,{}", "%".repeat(88));
    let timestamp = SENT.to_string();
    for (list, asks) in [
        (vec![&fresh], true),
        (vec![&weak], false),
        (vec![&malformed], false),
        (vec![&wrong], false),
        (vec![&unknown], true),
        (vec![&unknown, &wrong], true),
        (vec![&wrong, &unknown], true),
        (vec![&wrong, &malformed], false),
        (vec![&wrong, &fresh], true),
    ] {
        let list = list
            .into_iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" ");
        let headers = DeliveryHeaders::from_lines([
            ("webhook-id", "msg_1"),
            ("webhook-timestamp", &timestamp),
            ("webhook-signature", &list),
        ]);
        let checked = tokens.verifier.check(&headers, at(SENT)).unwrap();
        let failure = checked.verify_under(Some(&tokens.keys), b"").err().unwrap();
        assert_eq!(matches!(failure, Failure::UnknownKey(_)), asks, "{list}");
    }
}

#[cfg(all(feature = "jwt", feature = "testing"))]
#[test]
fn a_list_may_be_longer_where_tokens_are_taken() {
    let signer = testing::Rs256Signer::generate("key-1").unwrap();
    let tokens = Tokens::by(&[&signer]);
    let without = Verifier::for_keys(tokens.keys.clone()).with_keyring(Keyring::new(secret(1)));
    let ours = signature(&secret(1), b"");
    let token = Tokens::sign(&signer);
    let error = verify(&without, &token, b"", at(SENT)).unwrap_err();
    assert_eq!(error.kind(), VerifyErrorKind::UnsupportedScheme);
    for (verifier, good, most) in [
        (&tokens.verifier, &token, 16 * 1024),
        (&without, &ours, 4 * 1024),
    ] {
        let list = |length: usize| format!("{good} {}", "x".repeat(length - good.len() - 1));
        assert!(verify(verifier, &list(most), b"", at(SENT)).is_ok());
        let error = verify(verifier, &list(most + 1), b"", at(SENT)).unwrap_err();
        assert_eq!(error.kind(), VerifyErrorKind::InvalidSignatureHeader);
    }
}
