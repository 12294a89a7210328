//! How often a delivery asks for memory.
#![cfg(all(feature = "tower", feature = "testing"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails loudly")]

use std::convert::Infallible;
use std::future::{Future, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use allocation_counter::measure;
use bytes::Bytes;
use gemini_webhooks::testing::{self, ManualClock};
use gemini_webhooks::{
    Clock as _, DeliveryHeaders, Keyring, SigningSecret, Verifier, VerifyLayer, WebhookReceiver,
};
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer as _, Service};

const PREVIOUS: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// The lines of a rotation: an entry by each of two secrets.
fn lines(clock: &ManualClock, body: &str) -> [(&'static str, String); 3] {
    let sign = |secret: &str| {
        let secret: SigningSecret = secret.parse().unwrap();
        testing::sign_v1(
            &secret,
            "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
            clock.unix_seconds(),
            body,
        )
    };
    let [id, timestamp, (name, current)] = sign(testing::SECRET);
    let [.., (_, previous)] = sign(PREVIOUS);
    [id, timestamp, (name, format!("{current} {previous}"))]
}

#[test]
fn verifying_v1_asks_for_none() {
    let clock = ManualClock::default();
    for body in ["", testing::SAMPLE_EVENTS[0], &"x".repeat(64 * 1024)] {
        let lines = lines(&clock, body);
        let headers = DeliveryHeaders::from_lines(lines.iter().map(|(name, value)| (*name, value)));
        let keyring = Keyring::new(testing::SECRET.parse().unwrap()).add(PREVIOUS.parse().unwrap());
        // Alone, and with a clone by which it may be changed.
        let shared = keyring.clone();
        let alone = Keyring::new(testing::SECRET.parse().unwrap()).add(PREVIOUS.parse().unwrap());
        for keyring in [shared, alone] {
            let verifier = Verifier::new(keyring);
            let verify = || {
                let verified = verifier.verify(black_box(&headers), body.as_bytes(), clock.now());
                assert!(verified.is_ok());
            };
            // A thread that reads a shared keyring for the first time gets a place for that.
            verify();
            assert_eq!(measure(verify).count_total, 0);
        }
    }
}

#[cfg(feature = "jwks")]
#[test]
fn verifying_v1a_asks_for_none_either() {
    use base64::Engine as _;
    use ed25519_dalek::{Signer as _, SigningKey};

    let clock = ManualClock::default();
    let (key, body) = (SigningKey::from_bytes(&[1; 32]), testing::SAMPLE_EVENTS[0]);
    let x = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(key.verifying_key());
    let keys = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}]}}"#);
    let keys = gemini_webhooks::jwks::KeySet::from_json(keys.as_bytes()).unwrap();
    let timestamp = clock.unix_seconds().to_string();
    let signature = key
        .sign(format!("msg_1.{timestamp}.{body}").as_bytes())
        .to_bytes();
    let signature = base64::engine::general_purpose::STANDARD.encode(signature);
    let signature = format!("v1a,{signature}");
    let headers = DeliveryHeaders::from_lines([
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", &timestamp),
        ("webhook-signature", &signature),
    ]);
    let verifier = Verifier::for_keys(keys);
    let counted = measure(|| {
        let verified = verifier.verify(black_box(&headers), body.as_bytes(), clock.now());
        assert!(verified.is_ok());
    });
    assert_eq!(counted.count_total, 0);
}

/// Sends a delivery through a service that is ready at once.
fn poll_once<S, F>(mut service: S, request: Request<Full<Bytes>>) -> F::Output
where
    S: Service<Request<Full<Bytes>>, Future = F>,
    F: Future,
{
    let future = pin!(service.call(request));
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn a_delivery_through_the_layer_asks_for_a_few() {
    let clock = ManualClock::default();
    let body = testing::SAMPLE_EVENTS[0];
    let secret = testing::SECRET.parse().unwrap();
    let request = |id: usize| {
        let mut request = Request::post("/").body(Full::from(body)).unwrap();
        let id = format!("msg_{id}");
        for (name, value) in testing::sign_v1(&secret, &id, clock.unix_seconds(), body) {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request
    };
    let receiver = WebhookReceiver::builder()
        .signing_secret(testing::SECRET)
        .clock(clock.clone())
        .build()
        .unwrap();
    let inner = tower::service_fn(|_: Request<Full<Bytes>>| {
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    });
    let count = |request, layered: bool| {
        let service = VerifyLayer::new(receiver.clone()).layer(inner);
        let counted = measure(|| {
            let status = if layered {
                poll_once(service, request).unwrap().status()
            } else {
                poll_once(inner, request).unwrap().status()
            };
            assert_eq!(status, 200);
        });
        counted.count_total
    };
    assert_eq!(count(request(0), false), 0);
    // Two for the wait: the id, and the timestamp with the signatures. The event. The delivery.
    // Four for the extensions: their table, its slots, two values.
    let known = 2 + 1 + 1 + 4;
    // Now and then a table of the guard grows.
    let most: Vec<u64> = (0..2000).map(|id| count(request(id), true)).collect();
    let grown = most.iter().filter(|counted| **counted > known).count();
    assert!(most.iter().all(|counted| *counted >= known - 1), "{most:?}");
    assert!(
        grown < 600,
        "{grown} of 2000 deliveries asked for more than {known}"
    );
    // A copy is answered before anything is made for the handler.
    assert!(count(request(7), true) <= known);
}
