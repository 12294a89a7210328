//! The libraries that could check public-key signatures, the one that does so first; and what whole
//! deliveries cost with it, genuine and forged.
//!
//! `cargo bench --bench libraries`

use std::time::SystemTime;

use aws_lc_rs::signature as aws_lc;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey, Verifier as _};
use gemini_webhooks::jwks::KeySet;
use gemini_webhooks::testing::{self, Ed25519Signer, Rs256Signer};
use gemini_webhooks::{Clock as _, DeliveryHeaders, SystemClock, Verifier};
use gemini_webhooks_benches::{Contender, compare, event_of};
use rsa::pkcs1v15;
use rsa::sha2::Sha256;

type Error = Box<dyn std::error::Error>;
type Headers = [(&'static str, String); 3];

fn main() -> Result<(), Error> {
    ed25519();
    rs256()?;
    deliveries()
}

fn ed25519() {
    let message = event_of(512);
    let message = message.as_bytes();
    let key = SigningKey::from_bytes(&[7; 32]);
    let signature = key.sign(message);
    let (bytes, key) = (signature.to_bytes(), key.verifying_key());
    let aws_lc = aws_lc::UnparsedPublicKey::new(&aws_lc::ED25519, key.as_bytes());
    let ring = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, key.as_bytes());
    assert!(key.verify_strict(message, &signature).is_ok());
    assert!(aws_lc.verify(message, &bytes).is_ok() && ring.verify(message, &bytes).is_ok());
    compare(
        "Ed25519, 512 B",
        vec![
            Contender::new("ed25519-dalek, verify_strict", || {
                key.verify_strict(message, &signature)
            }),
            Contender::new("ed25519-dalek, verify", || key.verify(message, &signature)),
            Contender::new("aws-lc-rs (takes small orders)", || {
                aws_lc.verify(message, &bytes)
            }),
            Contender::new("ring (takes small orders)", || ring.verify(message, &bytes)),
        ],
    );
}

fn rs256() -> Result<(), Error> {
    let token = Rs256Signer::generate("key")?;
    let jwk: serde_json::Value = serde_json::from_str(&token.jwk())?;
    let number = |name: &str| {
        URL_SAFE_NO_PAD.decode(jwk.get(name).and_then(|n| n.as_str()).unwrap_or_default())
    };
    let (n, e) = (number("n")?, number("e")?);
    let token = token.token(r#"{"alg":"RS256","kid":"key"}"#, &event_of(512));
    let (message, signature) = token.rsplit_once('.').ok_or("no token")?;
    let (message, signature) = (message.as_bytes(), URL_SAFE_NO_PAD.decode(signature)?);

    let components = aws_lc::RsaPublicKeyComponents { n: &n, e: &e };
    let parsed = components.to_parsed_public_key(&aws_lc::RSA_PKCS1_2048_8192_SHA256)?;
    let ring = ring::signature::RsaPublicKeyComponents { n: &n, e: &e };
    let key = rsa::RsaPublicKey::new(
        rsa::BigUint::from_bytes_be(&n),
        rsa::BigUint::from_bytes_be(&e),
    )?;
    let rust = pkcs1v15::VerifyingKey::<Sha256>::new(key);
    let rust_signature = pkcs1v15::Signature::try_from(signature.as_slice())?;
    let with_ring = || {
        ring.verify(
            &ring::signature::RSA_PKCS1_2048_8192_SHA256,
            message,
            &signature,
        )
    };
    assert!(parsed.verify_sig(message, &signature).is_ok() && with_ring().is_ok());
    assert!(rsa::signature::Verifier::verify(&rust, message, &rust_signature).is_ok());
    compare(
        "RS256, 2048 bits, a token of 512 B",
        vec![
            Contender::new("aws-lc-rs, parsed once", || {
                parsed.verify_sig(message, &signature)
            }),
            Contender::new("aws-lc-rs, parsed each time", || {
                components.verify(&aws_lc::RSA_PKCS1_2048_8192_SHA256, message, &signature)
            }),
            Contender::new("ring", with_ring),
            Contender::new("rsa (pure Rust)", || {
                rsa::signature::Verifier::verify(&rust, message, &rust_signature)
            }),
        ],
    );
    Ok(())
}

fn deliveries() -> Result<(), Error> {
    let now = SystemClock.now();
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let keys: Vec<Ed25519Signer> = (0..16)
        .map(|n| Ed25519Signer::new("key", [n; 32]))
        .collect();
    let stranger = Ed25519Signer::new("stranger", [99; 32]);
    let tokens = Rs256Signer::generate("token")?;
    let verifier = |count: usize| -> Result<Verifier, Error> {
        let ed25519 = keys.iter().take(count).map(Ed25519Signer::jwk);
        let keys = testing::key_set(ed25519.chain([tokens.jwk()]));
        Ok(Verifier::for_keys(KeySet::from_json(keys.as_bytes())?).accept_jwt("bench"))
    };
    let (three, sixteen) = (verifier(3)?, verifier(16)?);
    let (small, large) = (event_of(512), event_of(64 * 1024));
    let last = keys.get(2).ok_or("three keys")?;
    let genuine = |body: &str| last.sign("msg_1", seconds, body);
    // Each signature is well-formed, of another message, and no two are the same.
    let forged = |body: &str, count: u64| -> Headers {
        let of = |n| stranger.sign("msg_1", seconds - n, body)[2].1.clone();
        let [id, timestamp, (name, _)] = stranger.sign("msg_1", seconds, body);
        let list: Vec<String> = (1..=count).map(of).collect();
        [id, timestamp, (name, list.join(" "))]
    };
    let claims = testing::claims(&small, "bench", seconds)?;
    let token = tokens.sign("msg_1", seconds, &claims);
    let verify = |verifier: &Verifier, headers: &Headers, body: &str| {
        let headers =
            DeliveryHeaders::from_lines(headers.iter().map(|(name, value)| (*name, value)));
        verifier.verify(&headers, body.as_bytes(), now).is_ok()
    };
    let (small_genuine, large_genuine) = (genuine(&small), genuine(&large));
    assert!(verify(&three, &small_genuine, &small) && verify(&three, &large_genuine, &large));
    assert!(verify(&three, &token, ""));
    let contender = |name, verifier, headers: Headers, body, accepted| {
        assert_eq!(verify(verifier, &headers, body), accepted, "{name}");
        Contender::new(name, move || verify(verifier, &headers, body))
    };
    compare(
        "deliveries under three public keys, unless said otherwise",
        vec![
            contender("v1a of 512 B", &three, small_genuine, &small, true),
            contender("v1a of 64 KiB", &three, large_genuine, &large, true),
            contender("a token of 512 B", &three, token, "", true),
            contender(
                "forged v1a, 512 B",
                &three,
                forged(&small, 1),
                &small,
                false,
            ),
            contender(
                "forged v1a, 512 B, 4 entries",
                &three,
                forged(&small, 4),
                &small,
                false,
            ),
            contender(
                "forged v1a, 64 KiB",
                &three,
                forged(&large, 1),
                &large,
                false,
            ),
            contender(
                "forged v1a, 64 KiB, 4 entries",
                &three,
                forged(&large, 4),
                &large,
                false,
            ),
            contender(
                "the same, 16 keys",
                &sixteen,
                forged(&large, 4),
                &large,
                false,
            ),
        ],
    );
    Ok(())
}
