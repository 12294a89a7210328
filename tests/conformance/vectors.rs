//! Deliveries that others signed, good and bad. `tests/vectors/README.md` says where they come from.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gemini_webhooks::jwks::KeySet;
use gemini_webhooks::testing::ManualClock;
use gemini_webhooks::{
    DeliveryHeaders, Keyring, Scheme, Verified, Verifier, VerifyError, WebhookReceiver,
};
use serde::Deserialize;

use crate::cases::{Case, Expected};
use crate::rig::{Call, Does, Script, Sent};

#[derive(Deserialize)]
struct File {
    vectors: Vec<Vector>,
    /// The public keys of all of them.
    jwks: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    signer: String,
    now: u64,
    secrets: Vec<String>,
    /// The public keys of the receiver, in dynamic vectors.
    jwks: Option<serde_json::Value>,
    /// Whom tokens are for; none: the form is off.
    #[serde(default)]
    audiences: Vec<String>,
    /// What the handler gets instead of the body.
    payload_base64: Option<String>,
    /// A character of a value stands for a byte.
    headers: Vec<(String, String)>,
    body_base64: String,
    expect: String,
    status: u16,
}

impl Vector {
    fn headers(&self) -> Vec<(&str, Vec<u8>)> {
        let byte = |character| u8::try_from(u32::from(character)).unwrap();
        self.headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.chars().map(byte).collect()))
            .collect()
    }

    fn body(&self) -> Bytes {
        STANDARD.decode(&self.body_base64).unwrap().into()
    }

    /// The bytes that the handler gets.
    fn event(&self) -> Bytes {
        match &self.payload_base64 {
            Some(payload) => STANDARD.decode(payload).unwrap().into(),
            None => self.body(),
        }
    }

    fn id(&self) -> &str {
        let is_id = |name: &str| name.eq_ignore_ascii_case("webhook-id");
        let line = self.headers.iter().find(|(name, _)| is_id(name));
        line.map_or("", |(_, id)| id)
    }

    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.now)
    }

    fn keys(&self) -> Option<KeySet> {
        let json = self.jwks.as_ref()?.to_string();
        Some(KeySet::from_json(json.as_bytes()).unwrap())
    }

    fn verifier(&self) -> Verifier {
        let mut secrets = self.secrets.iter().map(|secret| secret.parse().unwrap());
        let keyring = secrets
            .next()
            .map(|first| secrets.fold(Keyring::new(first), Keyring::add));
        let verifier = match (keyring, self.keys()) {
            (Some(keyring), None) => Verifier::new(keyring),
            (None, Some(keys)) => Verifier::for_keys(keys),
            (Some(keyring), Some(keys)) => Verifier::new(keyring).with_keys(keys),
            (None, None) => panic!("no keys"),
        };
        self.audiences.iter().fold(verifier, Verifier::accept_jwt)
    }

    fn receiver(&self) -> WebhookReceiver {
        let clock = ManualClock::new(self.now());
        let mut builder = WebhookReceiver::builder()
            .clock(clock)
            .allow_any_google_project();
        for secret in &self.secrets {
            builder = builder.signing_secret(secret);
        }
        if let Some(keys) = self.keys() {
            builder = builder.jwks(keys);
        }
        for audience in &self.audiences {
            builder = builder.accept_jwt(audience);
        }
        builder.build().unwrap()
    }

    /// Through an adapter.
    fn case(&self) -> Case {
        let headers = self.headers().into_iter();
        let sent = Sent {
            method: "POST",
            target: "/hook".to_owned(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            body: Script::whole(self.body()),
        };
        let expected = match self.expect.as_str() {
            "ok" => Expected::Handled(200, self.call()),
            code => Expected::Refused(self.status, code.to_owned()),
        };
        Case {
            name: self.name.clone(),
            receiver: self.receiver(),
            exchanges: vec![(sent, Does::Answers(200), expected)],
        }
    }

    /// What the handler is to see: all of it follows from what was sent.
    fn call(&self) -> Option<Call> {
        let body = self.event();
        let json: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        let text = |name: &str| Some(json.as_ref()?.get(name)?.as_str()?.to_owned());
        let scheme = match (&self.payload_base64, &self.jwks) {
            (Some(_), _) => Scheme::Jwt,
            // Which of both signed is in the name.
            (None, Some(_)) if !self.name.contains("a good v1 ") => Scheme::V1a,
            _ => Scheme::V1,
        };
        // Without `jti` it is a digest, which the tests of tokens look at.
        let claim_id = match scheme {
            Scheme::Jwt => format!("jti:{}", text("jti")?),
            _ => self.id().to_owned(),
        };
        Some(Call {
            id: self.id().to_owned(),
            claim_id,
            scheme,
            type_name: text("type"),
            body,
        })
    }
}

fn read(json: &str) -> Vec<Vector> {
    let mut file: File = serde_json::from_str(json).unwrap();
    for vector in &mut file.vectors {
        vector.jwks = vector.jwks.take().or_else(|| file.jwks.clone());
    }
    file.vectors
}

fn static_vectors() -> Vec<Vector> {
    read(include_str!("../vectors/v1.json"))
}

fn dynamic_vectors() -> Vec<Vector> {
    read(include_str!("../vectors/v1a.json"))
}

fn token_vectors() -> Vec<Vector> {
    read(include_str!("../vectors/jwt.json"))
}

pub(crate) fn cases() -> impl Iterator<Item = Case> {
    all().map(|vector| vector.case())
}

fn all() -> impl Iterator<Item = Vector> {
    let dynamic = dynamic_vectors().into_iter().chain(token_vectors());
    static_vectors().into_iter().chain(dynamic)
}

/// The plain function, and its two halves.
#[test]
fn through_the_verifier() {
    for vector in all() {
        let verifier = vector.verifier();
        let (lines, body, now) = (vector.headers(), vector.body(), vector.now());
        let headers = DeliveryHeaders::from_lines(lines.iter().map(|(name, value)| (name, value)));
        let seen = |verified: Verified<'_>| {
            let event = verified.payload().unwrap_or(&body);
            (verified.id().to_owned(), Bytes::copy_from_slice(event))
        };
        let code = |error: VerifyError| (error.status(), error.kind().code());
        let whole = verifier
            .verify(&headers, &body, now)
            .map(seen)
            .map_err(code);
        let halves = verifier
            .check(&headers, now)
            .and_then(|checked| checked.verify(&body).map(seen))
            .map_err(code);
        assert_eq!(whole, halves, "{}", vector.name);
        let expected = match vector.expect.as_str() {
            "ok" => Ok((vector.id().to_owned(), vector.event())),
            code => Err((vector.status, code)),
        };
        assert_eq!(whole, expected, "{}", vector.name);
    }
}

#[test]
fn the_set_is_what_it_should_be() {
    let vectors = static_vectors();
    let official: BTreeSet<&str> = vectors
        .iter()
        .filter(|vector| vector.expect == "ok")
        .map(|vector| vector.signer.as_str())
        .collect();
    for signer in [
        "PyPI standardwebhooks",
        "PyPI svix",
        "npm standardwebhooks",
        "npm svix",
    ] {
        assert!(official.contains(signer), "{signer}");
    }
    let codes: BTreeSet<&str> = vectors
        .iter()
        .map(|vector| vector.expect.as_str())
        .collect();
    let expected = [
        "conflicting_header",
        "invalid_id",
        "invalid_signature_header",
        "invalid_timestamp",
        "missing_header",
        "ok",
        "signature_mismatch",
        "timestamp_too_new",
        "timestamp_too_old",
        "unsupported_scheme",
    ];
    assert_eq!(codes, BTreeSet::from(expected));
    assert!(dynamic_vectors().iter().any(|vector| vector.expect == "ok"));
    let codes: BTreeSet<String> = token_vectors()
        .into_iter()
        .map(|vector| vector.expect)
        .collect();
    let expected = [
        "body_mismatch",
        "invalid_signature_header",
        "invalid_token",
        "ok",
        "signature_mismatch",
        "timestamp_too_new",
        "timestamp_too_old",
        "unknown_key",
        "unsupported_scheme",
        "wrong_audience",
    ];
    assert_eq!(codes, expected.map(str::to_owned).into());
}

/// The official Rust crate, with this machine's clock, both ways.
#[test]
fn with_the_official_crate() {
    use gemini_webhooks::{Clock as _, SigningSecret, SystemClock, testing};

    let now = SystemClock.now();
    let seconds = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let official = standardwebhooks::Webhook::new(testing::SECRET).unwrap();
    let secret: SigningSecret = testing::SECRET.parse().unwrap();
    let verifier = Verifier::new(Keyring::new(secret.clone()));
    for body in testing::SAMPLE_EVENTS {
        let timestamp = seconds.to_string();
        let signature = official
            .sign("msg_1", i64::try_from(seconds).unwrap(), body.as_bytes())
            .unwrap();
        let headers = DeliveryHeaders::from_lines([
            ("webhook-id", "msg_1"),
            ("webhook-timestamp", &timestamp),
            ("webhook-signature", &signature),
        ]);
        assert!(verifier.verify(&headers, body.as_bytes(), now).is_ok());

        let mut headers = http::HeaderMap::new();
        for (name, value) in testing::sign_v1(&secret, "msg_1", seconds, body) {
            headers.insert(name, value.parse().unwrap());
        }
        official.verify(body.as_bytes(), &headers).unwrap();
    }
}
