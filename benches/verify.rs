//! What verification and parsing cost, beside the bare cryptography and beside peers.
//!
//! `cargo bench --bench verify`

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
use gemini_webhooks::jwks::KeySet;
use gemini_webhooks::{
    Clock as _, DeliveryHeaders, GeminiEvent, Keyring, SystemClock, Verifier, testing,
};
use gemini_webhooks_benches::{Contender, compare, event_of};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    for size in [256, 1024, 16 * 1024, 64 * 1024] {
        verification(size)?;
    }
    for size in [256, 1024, 16 * 1024] {
        public_key(size)?;
    }
    parsing();
    Ok(())
}

fn verification(size: usize) -> Result<(), Error> {
    let body = event_of(size);
    let now = SystemClock.now();
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let id = "msg_0a8f2c4e-7b1d-4c3e-9f60-1d2e3f405162";
    let secret = testing::SECRET.parse()?;
    let lines = testing::sign_v1(&secret, id, seconds, &body);
    let [.., (_, signature)] = &lines;

    // The floor: one message in one piece, the key set up before.
    let key = STANDARD.decode(testing::SECRET.trim_start_matches("whsec_"))?;
    let keyed = Hmac::<Sha256>::new_from_slice(&key)?;
    let message = [format!("{id}.{seconds}.").as_bytes(), body.as_bytes()].concat();
    let claimed = signature.trim_start_matches("v1,");
    let floor = || {
        let mut mac = keyed.clone();
        mac.update(&message);
        let digest: [u8; 32] = mac.finalize().into_bytes().into();
        let mut decoded = [0; 32];
        let length = STANDARD.decode_slice(claimed, &mut decoded);
        length.is_ok_and(|length| length == 32) && bool::from(digest.ct_eq(&decoded))
    };

    // Shared with whoever may change it.
    let keyring = Keyring::new(testing::SECRET.parse()?);
    let shared = Verifier::new(keyring.clone());
    let verifier = Verifier::new(Keyring::new(secret));
    let headers = DeliveryHeaders::from_lines(lines.iter().map(|(name, value)| (*name, value)));
    let ours = || verifier.verify(&headers, body.as_bytes(), now).is_ok();
    let shared = || shared.verify(&headers, body.as_bytes(), now).is_ok();

    let mut map = HeaderMap::new();
    for (name, value) in &lines {
        map.insert(*name, value.parse()?);
    }
    let official = standardwebhooks::Webhook::new(testing::SECRET)?;
    let official = || official.verify(body.as_bytes(), &map).is_ok();
    let svix = svix::webhooks::Webhook::new(testing::SECRET)?;
    let svix = || svix.verify(body.as_bytes(), &map).is_ok();

    // Nobody is fast by refusing.
    assert!(floor() && ours() && shared() && official() && svix());
    compare(
        format_args!("v1, a body of {size} bytes"),
        vec![
            Contender::new("hmac, sha2, base64, subtle", floor),
            Contender::new("gemini-webhooks", ours),
            Contender::new("gemini-webhooks, a shared keyring", shared),
            Contender::new("standardwebhooks", official),
            Contender::new("svix", svix),
        ],
    );
    Ok(())
}

fn public_key(size: usize) -> Result<(), Error> {
    let body = event_of(size);
    let now = SystemClock.now();
    let seconds = now
        .duration_since(SystemTime::UNIX_EPOCH)?
        .as_secs()
        .to_string();
    let key = SigningKey::from_bytes(&[1; 32]);
    let message = format!("msg_1.{seconds}.{body}");
    let signed = key.sign(message.as_bytes());

    let public = key.verifying_key();
    let strict = || public.verify_strict(message.as_bytes(), &signed).is_ok();

    let x = URL_SAFE_NO_PAD.encode(public);
    let keys = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}]}}"#);
    let verifier = Verifier::for_keys(KeySet::from_json(keys.as_bytes())?);
    let signature = format!("v1a,{}", STANDARD.encode(signed.to_bytes()));
    let headers = DeliveryHeaders::from_lines([
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", &seconds),
        ("webhook-signature", &signature),
    ]);
    let ours = || verifier.verify(&headers, body.as_bytes(), now).is_ok();

    assert!(strict() && ours());
    compare(
        format_args!("v1a, a body of {size} bytes"),
        vec![
            Contender::new("ed25519-dalek, verify_strict", strict),
            Contender::new("gemini-webhooks", ours),
        ],
    );
    Ok(())
}

fn parsing() {
    for (title, body) in [
        (
            "an event of 150 bytes",
            testing::SAMPLE_EVENTS[0].to_owned(),
        ),
        ("an event of 512 bytes", event_of(512)),
        ("an event of 16 KiB", event_of(16 * 1024)),
        ("no event, 512 bytes of brackets", "[".repeat(512)),
    ] {
        let body = bytes::Bytes::from(body);
        compare(
            format_args!("parsing {title}"),
            vec![
                Contender::new("serde_json::Value", || {
                    serde_json::from_slice::<serde_json::Value>(&body).ok()
                }),
                Contender::new("GeminiEvent", || GeminiEvent::parse(body.clone())),
            ],
        );
    }
}
