use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};

use super::*;

const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

/// How many keys are taken, or why none is.
fn read(keys: &str) -> Result<usize, String> {
    let json = format!(r#"{{"keys":[{keys}]}}"#);
    match KeySet::from_json(json.as_bytes()) {
        Ok(set) => Ok(set.len()),
        Err(error) => Err(error.to_string()),
    }
}

const JWT: bool = cfg!(feature = "jwt");

fn rsa(modulus: &[u8], more: &str) -> String {
    let n = URL_SAFE_NO_PAD.encode(modulus);
    format!(r#"{{"kty":"RSA","kid":"r","n":"{n}","e":"AQAB"{more}}}"#)
}

fn signing_keys(count: u8) -> Vec<SigningKey> {
    (0..count)
        .map(|n| SigningKey::from_bytes(&[n; 32]))
        .collect()
}

fn set_of(keys: &[SigningKey]) -> KeySet {
    let jwk = |key: &SigningKey| {
        let x = URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
        format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#)
    };
    let listed: Vec<String> = keys.iter().map(jwk).collect();
    let json = format!(r#"{{"keys":[{}]}}"#, listed.join(","));
    KeySet::from_json(json.as_bytes()).unwrap()
}

/// Whether `set` has the key of one of the first signatures, which these keys made.
fn signed_by(set: &KeySet, keys: &[&SigningKey], body: &[u8]) -> bool {
    let sign = |key: &&SigningKey| {
        let signature = key.sign(b"msg_1.1700000000.{}").to_bytes();
        format!("v1a,{}", STANDARD.encode(signature))
    };
    let list: Vec<String> = keys.iter().map(sign).collect();
    let list = list.join(" ");
    let fields = Fields {
        id: "msg_1",
        timestamp: b"1700000000",
        sent_at: 1_700_000_000,
        signatures: crate::headers::Signatures::reread(list.as_bytes()),
    };
    set.signer(&fields, body).is_some()
}

/// Sixteen checks are enough for the first of two signatures, whichever keys made them.
#[test]
fn a_delivery_that_two_of_sixteen_keys_signed() {
    let keys = signing_keys(16);
    let set = set_of(&keys);
    assert!(signed_by(&set, &[&keys[14], &keys[15]], b"{}"));
    assert!(!signed_by(&set, &[&keys[14], &keys[15]], b"{ }"));
}

/// A check costs 30 µs and more, and a forger pays nothing: after the sixteenth nothing is found.
#[test]
fn a_delivery_costs_sixteen_checks_at_most() {
    let foreign = SigningKey::from_bytes(&[99; 32]);
    // Of all sixteen keys, the foreign signature takes every check.
    let keys = signing_keys(16);
    let set = set_of(&keys);
    for index in [0, 15] {
        set.keys.last.store(0, Ordering::Relaxed);
        assert!(signed_by(&set, &[&keys[index]], b"{}"), "{index}");
        set.keys.last.store(0, Ordering::Relaxed);
        assert!(
            !signed_by(&set, &[&foreign, &keys[index]], b"{}"),
            "{index}"
        );
    }
    // Of eight keys it takes eight, and the second signature the other eight.
    let keys = signing_keys(8);
    let set = set_of(&keys);
    set.keys.last.store(0, Ordering::Relaxed);
    assert!(signed_by(&set, &[&foreign, &keys[7]], b"{}"));
    set.keys.last.store(0, Ordering::Relaxed);
    assert!(!signed_by(&set, &[&foreign, &foreign, &keys[0]], b"{}"));
    // Of five keys three take fifteen: of the fourth signature, one check is left.
    let keys = signing_keys(5);
    let set = set_of(&keys);
    for (index, found) in [(0, true), (1, false)] {
        set.keys.last.store(0, Ordering::Relaxed);
        let list = [&foreign, &foreign, &foreign, &keys[index]];
        assert_eq!(signed_by(&set, &list, b"{}"), found);
    }
}

/// Most probably it signed the next delivery too.
#[test]
fn the_key_that_fitted_last_is_tried_first() {
    let keys = signing_keys(5);
    let set = set_of(&keys);
    let foreign = SigningKey::from_bytes(&[99; 32]);
    // As above, of the fourth signature only the key that is tried first is found.
    let fourth = |key| signed_by(&set, &[&foreign, &foreign, &foreign, key], b"{}");
    for last in [3, 0] {
        assert!(signed_by(&set, &[&keys[last]], b"{}"));
        for (index, key) in keys.iter().enumerate() {
            assert_eq!(fourth(key), index == last, "{last}, {index}");
        }
    }
}

#[test]
fn keys_that_an_older_set_has_not() {
    let set = |keys: &str| KeySet::from_json(format!(r#"{{"keys":[{keys}]}}"#).as_bytes()).unwrap();
    let one = format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"1","x":"{X}"}}"#);
    // RFC 8032, 7.1, test 2.
    let two = one.replace(X, "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw");
    assert!(
        set(&one)
            .without(&set(&one.replace("\"1\"", "\"9\"")))
            .is_none()
    );
    let new = set(&format!("{one},{two}")).without(&set(&one)).unwrap();
    assert_eq!(new.len(), 1);
    assert!(new.without(&set(&two)).is_none());
    if JWT {
        let (a, b) = (rsa(&[0xff; 256], ""), rsa(&[0xf1; 256], ""));
        let renamed = a.replace("\"r\"", "\"s\"");
        let new = set(&[&*a, &b, &renamed, &one].join(",")).without(&set(&[&*a, &one].join(",")));
        assert_eq!(new.unwrap().len(), 2);
    }
}

/// With what is asked of every verdict of `tests/vectors/jwks.json`, which shows those of others.
#[test]
fn which_keys_are_taken() {
    let good = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{X}"}}"#);
    let with = |more: &str| good.replace('}', &format!(",{more}}}"));
    let full = [0xff; 256];
    let rsa_with = |more: &str| rsa(&full, &format!(",{more}"));
    let jwt = |ok: Result<(), &'static str>| if JWT { ok } else { Err("feature `jwt`") };
    for (what, key, taken) in [
        ("the least", good.clone(), Ok(())),
        ("for signatures", with(r#""use":"sig""#), Ok(())),
        ("of EdDSA", with(r#""alg":"EdDSA""#), Ok(())),
        ("of Ed25519", with(r#""alg":"Ed25519""#), Ok(())),
        (
            "more members",
            with(r#""kid":"a","x5c":[1],"ext":1"#),
            Ok(()),
        ),
        ("an odd kid", with(r#""kid":7"#), Ok(())),
        (
            "nulls",
            with(r#""use":null,"alg":null,"kid":null,"key_ops":null,"d":null"#),
            Ok(()),
        ),
        ("empty texts", with(r#""use":"","alg":"","kid":"""#), Ok(())),
        ("padding", good.replace("URo", "URo="), Ok(())),
        ("the standard alphabet", good.replace('_', "/"), Ok(())),
        ("unused bits", good.replace("URo", "URp"), Ok(())),
        ("to verify", with(r#""key_ops":["verify"]"#), Ok(())),
        ("to sign", with(r#""key_ops":["sign"]"#), Ok(())),
        ("for nothing", with(r#""key_ops":[]"#), Ok(())),
        ("odd operations", with(r#""key_ops":"verify""#), Ok(())),
        (
            "to encrypt",
            with(r#""key_ops":["encrypt","wrapKey"]"#),
            Err(r#"its `key_ops` is [\"encrypt"#),
        ),
        (
            "for encryption",
            with(r#""use":"enc""#),
            Err(r#"its `use` is "enc""#),
        ),
        (
            "an odd use",
            with(r#""use":["sig"]"#),
            Err("its `use` is ["),
        ),
        (
            "a use in capitals",
            with(r#""use":"SIG""#),
            Err("its `use`"),
        ),
        (
            "another algorithm",
            with(r#""alg":"RS256""#),
            Err(r#"its `alg` is "RS256""#),
        ),
        (
            "another curve",
            good.replace("Ed25519", "Ed448"),
            Err(r#"its `crv` is "Ed448""#),
        ),
        (
            "for agreement",
            good.replace("Ed25519", "X25519"),
            Err("its `crv`"),
        ),
        (
            "no curve",
            good.replace("crv", "curve"),
            Err("it has no `crv`"),
        ),
        (
            "another type",
            good.replace("OKP", "EC"),
            Err(r#"its `kty` is "EC""#),
        ),
        (
            "no type",
            good.replace(r#""kty":"OKP","#, ""),
            Err("it has no `kty`"),
        ),
        (
            "a null type",
            good.replace("\"OKP\"", "null"),
            Err("it has no `kty`"),
        ),
        (
            "no x",
            good.replace(r#""x""#, r#""y""#),
            Err("it has no `x`"),
        ),
        (
            "x a number",
            good.replace(&format!("\"{X}\""), "7"),
            Err("it has no `x`"),
        ),
        (
            "a short x",
            good.replace("11qY", ""),
            Err("does not have 32 bytes"),
        ),
        (
            "a zero before it",
            good.replace(X, &format!("AAAA{X}")),
            Err("does not have 32 bytes"),
        ),
        (
            "a space in it",
            good.replace("11qY", "11 qY"),
            Err("is not base64url"),
        ),
        (
            "too much padding",
            good.replace("URo", "URo=="),
            Err("is not base64url"),
        ),
        (
            "of small order",
            good.replace(X, &"A".repeat(43)),
            Err("not a point of the curve"),
        ),
        ("a private key", with(r#""d":"AAAA""#), Err("private half")),
        (
            "RSA of 24 bits",
            rsa(&[1, 0, 1], ""),
            jwt(Err("fewer than 2048 bits")),
        ),
        (
            "RSA of 1024 bits",
            rsa(&[0xff; 128], ""),
            jwt(Err("fewer than 2048 bits")),
        ),
        ("RSA of 2048 bits", rsa(&full, ""), jwt(Ok(()))),
        (
            "RSA of 8200 bits",
            rsa(&[0xff; 1025], ""),
            jwt(Err("more than 8192 bits")),
        ),
        ("RSA of RS256", rsa_with(r#""alg":"RS256""#), jwt(Ok(()))),
        (
            "RSA of null",
            rsa_with(r#""alg":null,"use":null"#),
            jwt(Ok(())),
        ),
        (
            "RSA of RS512",
            rsa_with(r#""alg":"RS512""#),
            jwt(Err("its `alg`")),
        ),
        (
            "RSA of PS256",
            rsa_with(r#""alg":"PS256""#),
            jwt(Err("its `alg`")),
        ),
        (
            "RSA to encrypt",
            rsa_with(r#""use":"enc""#),
            jwt(Err("its `use`")),
        ),
        (
            "RSA, private",
            rsa_with(r#""d":"AAAA""#),
            jwt(Err("private half")),
        ),
        (
            "RSA without a name",
            rsa(&full, "").replace("kid", "kind"),
            jwt(Err("it has no `kid`")),
        ),
        (
            "RSA named null",
            rsa(&full, "").replace("\"r\"", "null"),
            jwt(Err("it has no `kid`")),
        ),
        (
            "RSA named 7",
            rsa(&full, "").replace("\"r\"", "7"),
            jwt(Err("its `kid` is not a string")),
        ),
        (
            "RSA without n",
            rsa(&full, "").replace("\"n\"", "\"m\""),
            jwt(Err("it has no `n`")),
        ),
        (
            "RSA without e",
            rsa(&full, "").replace("\"e\"", "\"f\""),
            jwt(Err("it has no `e`")),
        ),
        (
            "RSA, e a number",
            rsa(&full, "").replace("\"AQAB\"", "65537"),
            jwt(Err("it has no `e`")),
        ),
        (
            "RSA, e odd text",
            rsa(&full, "").replace("AQAB", "A*AB"),
            jwt(Err("its `e` is not base64url")),
        ),
        (
            "RSA with a zero in front",
            rsa(&[&[0][..], &full].concat(), ""),
            jwt(Ok(())),
        ),
        (
            "RSA with zeros before e",
            rsa(&full, "").replace("AQAB", "AAAAAQAB"),
            jwt(Ok(())),
        ),
        (
            "RSA of zeros",
            rsa(&[0; 256], ""),
            jwt(Err("fewer than 2048 bits")),
        ),
        (
            "elliptic curve",
            r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA","kid":"a"}"#.to_owned(),
            Err(r#""a": its `kty` is"#),
        ),
        (
            "symmetric",
            r#"{"kty":"oct","k":"AAAA","kid":"a"}"#.to_owned(),
            Err("its `kty`"),
        ),
        (
            "of tomorrow",
            r#"{"kty":"AKP","pub":"AAAA","kid":"a"}"#.to_owned(),
            Err("its `kty`"),
        ),
        ("no object", "7".to_owned(), Err("it is not a JSON object")),
    ] {
        match (read(&key), taken) {
            (Ok(1), Ok(())) => {}
            (Err(error), Err(why)) => assert!(error.contains(why), "{what}: {error}"),
            (read, _) => panic!("{what}: {read:?}"),
        }
        // and it does not spoil a good one
        let both = read(&format!("{key},{good}"));
        assert_eq!(both, Ok(1 + usize::from(taken.is_ok())), "{what}");
    }
}

#[test]
fn what_is_skipped_is_told() {
    let good = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{X}"}}"#);
    let keys = [
        good.clone(),
        r#"{"kty":"EC","kid":"a\nb"}"#.to_owned(),
        good.replace(X, "AAAA"),
        r#"{"kty":"EC","kid":7}"#.to_owned(),
    ];
    let json = format!(r#"{{"keys":[{}]}}"#, keys.join(","));
    let set = KeySet::from_json(json.as_bytes()).unwrap();
    let told: Vec<_> = set
        .skipped()
        .iter()
        .map(|key| (key.kid(), key.is_faulty(), key.to_string()))
        .collect();
    let expected = [
        (Some("a\nb"), false, r#""a\nb": its `kty` is "EC""#),
        (None, true, "without a kid: its `x` does not have 32 bytes"),
        (None, false, r#"without a kid: its `kty` is "EC""#),
    ];
    assert_eq!(
        told,
        expected.map(|(kid, faulty, text)| (kid, faulty, text.to_owned()))
    );
}

/// It goes into every line of the log about a delivery.
#[test]
fn the_name_of_a_key_is_bounded() {
    let kid = "k".repeat(1000);
    let key = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{X}","kid":"{kid}"}}"#);
    let set = KeySet::from_json(format!(r#"{{"keys":[{key}]}}"#).as_bytes()).unwrap();
    assert_eq!(&*set.keys.ed25519[0].0, format!("{}…", "k".repeat(64)));
}

#[test]
fn how_many_keys_are_taken() {
    let good = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{X}"}}"#);
    let of = |count: usize, key: &str| vec![key; count].join(",");
    assert_eq!(read(&format!("{},{}", of(16, "7"), of(16, &good))), Ok(16));
    for (keys, why) in [
        (of(17, &good), "more than 16 Ed25519 keys"),
        (
            format!("{},{}", of(17, "7"), of(16, &good)),
            "more than 32 keys",
        ),
        (of(33, &good), "more than 32 keys"),
        (of(32, "7"), "none of its keys can be used"),
        (String::new(), "its list `keys` is empty"),
    ] {
        let error = read(&keys).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let json =
        format!("\u{feff}{{\"keys\":[{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"{X}\"}}]}}");
    assert_eq!(KeySet::from_json(json.as_bytes()).unwrap().len(), 1);
    // One is enough.
    let error = KeySet::from_json(format!("\u{feff}{json}").as_bytes()).unwrap_err();
    assert!(error.to_string().contains("plain text"), "{error}");
}

#[test]
fn a_key_set_has_64_kib_at_most() {
    let json = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{X}"}}]}}"#);
    let padded = |length: usize| format!("{json}{}", " ".repeat(length - json.len()));
    assert!(KeySet::from_json(padded(64 * 1024).as_bytes()).is_ok());
    let error = KeySet::from_json(padded(64 * 1024 + 1).as_bytes()).unwrap_err();
    assert!(error.to_string().contains("longer than 64 KiB"), "{error}");
}
