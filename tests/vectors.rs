//! Deliveries that others signed, good and bad, through every way into a handler. All ways must
//! give the same verdict. `tests/vectors/README.md` says where they come from.
#![cfg(all(feature = "axum", feature = "jwt", feature = "testing"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderName, HeaderValue, Request, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gemini_webhooks::jwks::KeySet;
use gemini_webhooks::testing::ManualClock;
use gemini_webhooks::{
    Delivery, DeliveryHeaders, GeminiEvent, Keyring, Verified, Verifier, VerifyError, VerifyLayer,
    WebhookReceiver,
};
use http_body_util::{BodyExt as _, Full};
use serde::Deserialize;
use tower::{Layer as _, ServiceExt as _, service_fn};

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

    fn request(&self) -> Request<Body> {
        let mut request = Request::post("/hook")
            .body(Body::from(self.body()))
            .unwrap();
        for (name, value) in self.headers() {
            let name: HeaderName = name.parse().unwrap();
            request
                .headers_mut()
                .append(name, HeaderValue::from_bytes(&value).unwrap());
        }
        request
    }

    fn expected(&self) -> Verdict {
        match self.expect.as_str() {
            "ok" => Verdict::Handled {
                id: self.id().to_owned(),
                body: self.event(),
            },
            code => Verdict::Refused {
                status: self.status,
                code: code.to_owned(),
            },
        }
    }
}

#[derive(Debug, PartialEq)]
enum Verdict {
    /// It reached the handler, once, with this body.
    Handled { id: String, body: Bytes },
    /// It did not.
    Refused { status: u16, code: String },
}

/// One way into a handler.
trait Rig {
    async fn deliver(&self, vector: &Vector) -> Verdict;
}

/// The plain function, and its two halves.
struct Core;

impl Rig for Core {
    async fn deliver(&self, vector: &Vector) -> Verdict {
        let verifier = vector.verifier();
        let (lines, body, now) = (vector.headers(), vector.body(), vector.now());
        let headers = DeliveryHeaders::from_lines(lines.iter().map(|(name, value)| (name, value)));

        let seen = |verified: Verified<'_>| {
            let event = verified.payload().unwrap_or(&body);
            (verified.id().to_owned(), Bytes::copy_from_slice(event))
        };
        let whole = verifier.verify(&headers, &body, now).map(seen);
        let halves = verifier
            .check(&headers, now)
            .and_then(|checked| checked.verify(&body).map(seen));
        let verdict = |result: Result<_, VerifyError>| match result {
            Ok((id, body)) => Verdict::Handled { id, body },
            Err(error) => Verdict::Refused {
                status: error.status(),
                code: error.kind().code().to_owned(),
            },
        };
        let (whole, halves) = (verdict(whole), verdict(halves));
        assert_eq!(whole, halves, "{}", vector.name);
        whole
    }
}

/// What handlers were called with.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<(String, Bytes)>>>);

impl Calls {
    fn add(&self, delivery: &Delivery, event: &GeminiEvent, body: Bytes) {
        assert_eq!(event.raw(), &body);
        self.0
            .lock()
            .unwrap()
            .push((delivery.id().to_owned(), body));
    }

    /// The response and the calls must tell the same story.
    fn verdict(self, status: u16, body: &[u8]) -> Verdict {
        let calls = std::mem::take(&mut *self.0.lock().unwrap());
        match (status, calls.as_slice()) {
            (200, [(id, body)]) => Verdict::Handled {
                id: id.clone(),
                body: body.clone(),
            },
            (400.., []) => {
                let body: serde_json::Value = serde_json::from_slice(body).unwrap();
                assert_eq!(
                    body.as_object().unwrap().len(),
                    1,
                    "tells the code and no more: {body}"
                );
                let code = body["error"].as_str().unwrap().to_owned();
                Verdict::Refused { status, code }
            }
            _ => panic!("status {status} after {} calls", calls.len()),
        }
    }
}

/// `VerifyLayer` around a plain service.
struct Tower;

impl Rig for Tower {
    async fn deliver(&self, vector: &Vector) -> Verdict {
        let calls = Calls::default();
        let sink = calls.clone();
        let inner = service_fn(move |request: Request<Full<Bytes>>| {
            let sink = sink.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let extensions = &head.extensions;
                sink.add(extensions.get().unwrap(), extensions.get().unwrap(), body);
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }
        });
        let service = VerifyLayer::new(vector.receiver()).layer(inner);
        let response = service.oneshot(vector.request()).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        calls.verdict(status, &body)
    }
}

/// A route of an axum app.
struct Axum;

impl Rig for Axum {
    async fn deliver(&self, vector: &Vector) -> Verdict {
        let calls = Calls::default();
        let sink = calls.clone();
        let on_event = async move |event: GeminiEvent, delivery: Delivery, body: Bytes| {
            sink.add(&delivery, &event, body);
        };
        let layer = VerifyLayer::new(vector.receiver());
        let app: Router = Router::new().route("/hook", post(on_event).route_layer(layer));
        let response = app.oneshot(vector.request()).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 4096).await.unwrap();
        calls.verdict(status, &body)
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
    read(include_str!("vectors/v1.json"))
}

fn dynamic_vectors() -> Vec<Vector> {
    read(include_str!("vectors/v1a.json"))
}

fn token_vectors() -> Vec<Vector> {
    read(include_str!("vectors/jwt.json"))
}

async fn all_through(rig: impl Rig) {
    let dynamic = dynamic_vectors().into_iter().chain(token_vectors());
    for vector in static_vectors().into_iter().chain(dynamic) {
        assert_eq!(
            rig.deliver(&vector).await,
            vector.expected(),
            "{}",
            vector.name
        );
    }
}

#[tokio::test]
async fn through_the_verifier() {
    all_through(Core).await;
}

#[tokio::test]
async fn through_a_tower_service() {
    all_through(Tower).await;
}

#[tokio::test]
async fn through_an_axum_router() {
    all_through(Axum).await;
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

        let mut headers = axum::http::HeaderMap::new();
        for (name, value) in testing::sign_v1(&secret, "msg_1", seconds, body) {
            headers.insert(name, value.parse().unwrap());
        }
        official.verify(body.as_bytes(), &headers).unwrap();
    }
}
