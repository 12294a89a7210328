//! What is tower's own: what is read when, and which service is called. What comes of a delivery is the
//! same in every adapter, and tested by the conformance suite.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, poll_fn, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full};
use tower::limit::ConcurrencyLimitLayer;
use tower::{BoxError, Layer as _, Service, ServiceBuilder, ServiceExt, service_fn};

use super::*;
use crate::endpoint::EndpointToken;
use crate::error::{VerifyError, VerifyErrorKind};
use crate::event::{EventKind, GeminiEvent};
use crate::receiver::{Delivery, WebhookReceiver, WebhookReceiverBuilder};
use crate::testing::{self, ManualClock};

const EVENT: &str = r#"{"type":"batch.expired","data":{"id":"batches/1"}}"#;

fn builder() -> WebhookReceiverBuilder {
    WebhookReceiver::builder()
        .signing_secret(testing::SECRET)
        .clock(ManualClock::default())
}

fn receiver() -> WebhookReceiver {
    builder().build().unwrap()
}

/// A POST, signed now over `signed`, carrying `body`. Over HTTP/2, where a body that is refused can be
/// left alone.
fn request<B>(signed: &[u8], body: B) -> Request<B> {
    let mut request = Request::post("/").body(body).unwrap();
    *request.version_mut() = Version::HTTP_2;
    let secret = testing::SECRET.parse().unwrap();
    let now = ManualClock::default().unix_seconds();
    for (name, value) in testing::sign_v1(&secret, "msg_1", now, signed) {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request
}

fn event() -> Request<Full<Bytes>> {
    request(EVENT.as_bytes(), whole(EVENT))
}

fn whole(body: &'static str) -> Full<Bytes> {
    Full::from(body)
}

/// A service that is waited for, for requests with such a body.
async fn ready_one<S: Service<Request<Full<Bytes>>>>(service: &mut S) -> Result<&mut S, S::Error> {
    service.ready().await
}

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

/// A body that plays a script: a frame, or silence that nothing ever wakes from.
struct Script(VecDeque<Step>);

#[derive(Clone)]
enum Step {
    Data(&'static [u8]),
    Fails(fn() -> BoxError),
    /// Of them without end.
    Trailers,
    Silence,
    /// Not to be asked at all.
    Untouchable,
}

fn script(steps: impl IntoIterator<Item = Step>) -> Script {
    Script(steps.into_iter().collect())
}

impl Body for Script {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = |data| Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(data)))));
        match self.0.front().cloned() {
            None => Poll::Ready(None),
            Some(Step::Silence) => Poll::Pending,
            Some(Step::Fails(error)) => Poll::Ready(Some(Err(error()))),
            Some(Step::Trailers) => {
                let trailers = http::HeaderMap::new();
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Some(Step::Untouchable) => panic!("the body was read"),
            Some(Step::Data(data)) => {
                self.0.pop_front();
                frame(data)
            }
        }
    }
}

/// What came out: the status, the code of a refusal, how often the inner service was called.
async fn deliver<B>(receiver: WebhookReceiver, request: Request<B>) -> (u16, Option<String>, usize)
where
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    let calls = Arc::new(AtomicUsize::new(0));
    let inner = Arc::clone(&calls);
    let service = VerifyLayer::new(receiver).layer(service_fn(move |_: Request<Full<Bytes>>| {
        inner.fetch_add(1, SeqCst);
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    }));
    let response = service.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let (status, code) = (status, code(response).await);
    (status, code, calls.load(SeqCst))
}

async fn code<B>(response: Response<B>) -> Option<String>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).ok()?;
    Some(body["error"].as_str()?.to_owned())
}

fn refused(status: u16, code: &str) -> (u16, Option<String>, usize) {
    (status, Some(code.to_owned()), 0)
}

#[tokio::test]
async fn an_authentic_delivery_arrives_whole() {
    let body = Bytes::from_static(EVENT.as_bytes());
    let address = body.as_ptr();
    let service =
        VerifyLayer::new(receiver()).layer(service_fn(async |request: Request<Full<Bytes>>| {
            let (head, body) = request.into_parts();
            let event: &GeminiEvent = head.extensions.get().unwrap();
            assert!(matches!(event.kind(), EventKind::BatchExpired(_)));
            let delivery: &Delivery = head.extensions.get().unwrap();
            assert_eq!((delivery.id(), delivery.scheme().as_str()), ("msg_1", "v1"));
            let body = body.collect().await.unwrap().to_bytes();
            Ok::<_, Infallible>(
                Response::builder()
                    .status(202)
                    .body(Full::new(body))
                    .unwrap(),
            )
        }));
    let response = service
        .oneshot(request(&body, Full::new(body.clone())))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let echoed = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(echoed, EVENT);
    assert_eq!(
        echoed.as_ptr(),
        address,
        "a body of one frame is not copied"
    );
}

#[tokio::test]
async fn only_post_is_a_delivery() {
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::OPTIONS] {
        let mut request = request(b"", script([Step::Untouchable]));
        *request.method_mut() = method;
        assert_eq!(
            deliver(receiver(), request).await,
            refused(405, "method_not_allowed")
        );
    }
    let get = Request::get("/").body(Full::<Bytes>::default()).unwrap();
    let never = service_fn(async |_: Request<Full<Bytes>>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let response = VerifyLayer::new(receiver())
        .layer(never)
        .oneshot(get)
        .await
        .unwrap();
    assert_eq!(response.headers()[header::ALLOW], "POST");
}

#[tokio::test]
async fn what_the_headers_tell_is_said_before_the_body_is_read() {
    for (name, value, expected) in [
        (WEBHOOK_ID, None, "missing_header"),
        (WEBHOOK_ID, Some("msg.1700000000"), "invalid_id"),
        (WEBHOOK_TIMESTAMP, Some("+1700000000"), "invalid_timestamp"),
        (WEBHOOK_TIMESTAMP, Some("1700000000"), "timestamp_too_old"),
        (
            WEBHOOK_TIMESTAMP,
            Some("18446744073709551615"),
            "timestamp_too_new",
        ),
        (WEBHOOK_SIGNATURE, Some(" "), "invalid_signature_header"),
        (WEBHOOK_SIGNATURE, Some("v1a,AAAA"), "unsupported_scheme"),
        (WEBHOOK_SIGNATURE, Some("v1,"), "unsupported_scheme"),
    ] {
        let mut request = request(EVENT.as_bytes(), script([Step::Untouchable]));
        request.headers_mut().remove(name);
        if let Some(value) = value {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        assert_eq!(deliver(receiver(), request).await, refused(400, expected));
    }
}

#[tokio::test]
async fn an_endpoint_token_is_asked_for_before_anything_else() {
    let token = EndpointToken::generate().unwrap();
    let another = EndpointToken::generate().unwrap();
    let receiver = builder()
        .endpoint_token(token.clone())
        .endpoint_token(another.clone())
        .without_replay_protection()
        .build()
        .unwrap();
    let to = |uri: String, body| {
        let mut request = request(EVENT.as_bytes(), body);
        *request.uri_mut() = uri.parse().unwrap();
        request
    };
    for token in [&token, &another] {
        let good = to(
            token.url("http://localhost/hook?a=b"),
            script([Step::Data(EVENT.as_bytes())]),
        );
        assert_eq!(deliver(receiver.clone(), good).await, (200, None, 1));
    }
    let mut without = to("/hook".to_owned(), script([Step::Untouchable]));
    without.headers_mut().clear();
    assert_eq!(
        deliver(receiver.clone(), without).await,
        refused(400, "wrong_endpoint")
    );
    // It never replaces a signature.
    let mut unsigned = to(token.url("/hook"), script([Step::Untouchable]));
    unsigned.headers_mut().clear();
    assert_eq!(
        deliver(receiver, unsigned).await,
        refused(400, "missing_header")
    );
}

#[tokio::test]
async fn an_ended_secret_is_our_fault() {
    let receiver = WebhookReceiver::builder()
        .signing_secret_until(testing::SECRET, SystemTime::UNIX_EPOCH)
        .clock(ManualClock::default())
        .build()
        .unwrap();
    let request = request(EVENT.as_bytes(), script([Step::Untouchable]));
    assert_eq!(
        deliver(receiver, request).await,
        refused(503, "keys_unavailable")
    );
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_by_its_length_or_while_it_is_read() {
    let limit = |bytes| builder().max_body_bytes(bytes).build().unwrap();
    let mut declared = request(b"12345", script([Step::Untouchable]));
    declared
        .headers_mut()
        .insert(header::CONTENT_LENGTH, 5.into());
    assert_eq!(
        deliver(limit(4), declared).await,
        refused(413, "body_too_large")
    );

    let mut absurd = request(b"", script([Step::Untouchable]));
    absurd
        .headers_mut()
        .insert(header::CONTENT_LENGTH, u64::MAX.into());
    assert_eq!(
        deliver(receiver(), absurd).await,
        refused(413, "body_too_large")
    );

    // A body that knows its size, without the header.
    let sized = request(b"12345", whole("12345"));
    assert_eq!(
        deliver(limit(4), sized).await,
        refused(413, "body_too_large")
    );

    let chunked = || request(b"12345", script([Step::Data(b"123"), Step::Data(b"45")]));
    assert_eq!(
        deliver(limit(4), chunked()).await,
        refused(413, "body_too_large")
    );
    assert_eq!(deliver(limit(5), chunked()).await, (200, None, 1));

    // A length that lies does not decide: what arrives does.
    let mut short = chunked();
    short.headers_mut().insert(header::CONTENT_LENGTH, 1.into());
    assert_eq!(
        deliver(limit(4), short).await,
        refused(413, "body_too_large")
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_given_up() {
    // Silence from the start causes no second poll by itself.
    let outcome = deliver(receiver(), request(b"12345", script([Step::Silence]))).await;
    assert_eq!(outcome, refused(408, "body_timeout"));
}

/// Sends a request over HTTP/1: the status, the value of `connection`, and how much of the body was
/// left.
async fn over_http1(
    receiver: WebhookReceiver,
    mut request: Request<Script>,
) -> (u16, Option<String>, usize) {
    struct Counted(Script, Arc<AtomicUsize>);
    impl Body for Counted {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            let frame = Pin::new(&mut self.0).poll_frame(cx);
            self.1.store(self.0.0.len(), SeqCst);
            frame
        }
    }
    *request.version_mut() = Version::HTTP_11;
    let left = Arc::new(AtomicUsize::new(request.body().0.len()));
    let request = request.map(|body| Counted(body, Arc::clone(&left)));
    let inner = service_fn(async |_: Request<Full<Bytes>>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let layer = VerifyLayer::new(receiver);
    let response = layer.layer(inner).oneshot(request).await.unwrap();
    let connection = response.headers().get(header::CONNECTION);
    let connection = connection.map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), connection, left.load(SeqCst))
}

#[tokio::test(start_paused = true)]
async fn on_http1_a_refused_body_is_drained_before_the_answer() {
    const KIB_64: Step = Step::Data(&[b' '; 64 * 1024]);
    let close = || Some("close".to_owned());
    let forged = |steps: &[Step]| request(b"another", script(steps.iter().cloned()));
    let stale = |steps: &[Step]| {
        let mut request = forged(steps);
        let old = "1700000000".parse().unwrap();
        request.headers_mut().insert(WEBHOOK_TIMESTAMP, old);
        request
    };
    let expecting = |mut request: Request<Script>| {
        let expected = "100-Continue".parse().unwrap();
        request.headers_mut().insert(header::EXPECT, expected);
        request
    };
    let never = [Step::Untouchable];
    let many = |count| vec![KIB_64; count];
    for (what, request, expected) in [
        ("refused by its head", stale(&many(3)), (400, None, 0)),
        ("8 MiB", stale(&many(128)), (400, None, 0)),
        ("and more", stale(&many(130)), (400, close(), 1)),
        ("too long", forged(&many(3)), (413, None, 0)),
        (
            "silent after that",
            stale(&[KIB_64, Step::Silence]),
            (400, close(), 1),
        ),
        (
            "broken after that",
            stale(&[KIB_64, Step::Fails(|| "broken".into())]),
            (400, close(), 1),
        ),
        (
            "trailers without end",
            stale(&[KIB_64, Step::Trailers]),
            (400, None, 1),
        ),
        ("not asked for", expecting(stale(&never)), (400, close(), 1)),
        (
            "asked for, and too long",
            expecting(forged(&many(3))),
            (413, None, 0),
        ),
        ("too slow", forged(&[Step::Silence]), (408, close(), 1)),
        (
            "broken",
            forged(&[Step::Fails(|| "broken".into())]),
            (400, close(), 1),
        ),
        ("refused by its whole", forged(&[KIB_64]), (400, None, 0)),
    ] {
        assert_eq!(over_http1(receiver(), request).await, expected, "{what}");
    }
    // What is drained is not kept, so it does not count.
    let narrow = builder().max_buffered_bytes(10).build().unwrap();
    assert_eq!(over_http1(narrow, forged(&[KIB_64])).await, (503, None, 0));
}

#[tokio::test]
async fn while_a_body_is_drained_others_may_have_what_it_held() {
    let receiver = builder()
        .max_body_bytes(EVENT.len())
        .max_buffered_bytes(EVENT.len())
        .build()
        .unwrap();
    let mut service = ServiceBuilder::new()
        .layer(VerifyLayer::new(receiver))
        .layer(ConcurrencyLimitLayer::new(1))
        .service(service_fn(async |_: Request<Full<Bytes>>| {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }));
    let steps = [
        Step::Data(EVENT.as_bytes()),
        Step::Data(b"more than allowed"),
        Step::Silence,
    ];
    let mut long = request(EVENT.as_bytes(), script(steps));
    *long.version_mut() = Version::HTTP_11;
    let ready = ServiceExt::<Request<Script>>::ready(&mut service);
    let mut draining = Box::pin(ready.await.unwrap().call(long));
    assert!(poll_once(&mut draining).await.is_pending());

    let whole = request(EVENT.as_bytes(), script([Step::Data(EVENT.as_bytes())]));
    let ready = ServiceExt::<Request<Script>>::ready(&mut service);
    let answered = ready.await.unwrap().call(whole).await.unwrap();
    assert_eq!(answered.status(), StatusCode::OK);
}

#[tokio::test]
async fn trailers_end_a_body() {
    let steps = [Step::Data(EVENT.as_bytes()), Step::Trailers];
    let with_trailers = request(EVENT.as_bytes(), script(steps));
    assert_eq!(deliver(receiver(), with_trailers).await, (200, None, 1));
}

#[tokio::test]
async fn a_limit_of_an_outer_layer_is_a_413() {
    let limited = http_body_util::Limited::new(script([Step::Data(EVENT.as_bytes())]), 10);
    let too_long = request(EVENT.as_bytes(), limited);
    let outcome = deliver(receiver(), too_long).await;
    assert_eq!(outcome, refused(413, "body_too_large"));

    // As frameworks wrap it.
    let limited = http_body_util::Limited::new(script([Step::Data(EVENT.as_bytes())]), 10);
    let wrapped = limited.map_err(|error| std::io::Error::other(std::io::Error::other(error)));
    let too_long = request(EVENT.as_bytes(), wrapped);
    let outcome = deliver(receiver(), too_long).await;
    assert_eq!(outcome, refused(413, "body_too_large"));
}

#[tokio::test]
async fn on_two_levels_the_inner_one_passes_on_what_the_outer_one_verified() {
    let receiver = receiver();
    let calls = Arc::new(AtomicUsize::new(0));
    let inner = Arc::clone(&calls);
    let mut service = ServiceBuilder::new()
        .layer(VerifyLayer::new(receiver.clone()))
        .layer(VerifyLayer::new(receiver).finish_once_started())
        .service(service_fn(move |request: Request<Full<Bytes>>| {
            inner.fetch_add(1, SeqCst);
            async move {
                let body = request.into_body().collect().await?.to_bytes();
                assert_eq!(body, EVENT);
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }
        }));
    for _ in 0..2 {
        let response = ready_one(&mut service).await.unwrap().call(event()).await;
        assert_eq!(response.unwrap().status(), StatusCode::OK);
        assert_eq!(calls.load(SeqCst), 1, "a copy is a copy");
    }
    let forged = request(b"another", whole(EVENT));
    let response = ready_one(&mut service).await.unwrap().call(forged).await;
    assert_eq!(response.unwrap().status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn another_receiver_on_the_way_verifies_by_itself() {
    let other = WebhookReceiver::builder()
        .signing_secret("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
        .clock(ManualClock::default())
        .build()
        .unwrap();
    let mut service = ServiceBuilder::new()
        .layer(VerifyLayer::new(receiver()))
        .layer(VerifyLayer::new(other))
        .service(service_fn(async |_: Request<Full<Bytes>>| {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }));
    let response = ready_one(&mut service).await.unwrap().call(event()).await;
    assert_eq!(response.unwrap().status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_response_that_panics_is_replaced() {
    let layer = VerifyLayer::new(receiver())
        .with_response(|_: &VerifyError| -> Response<Bytes> { panic!("the app's own") });
    let inner = service_fn(async |_: Request<Full<Bytes>>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let forged = request(b"another", whole(EVENT));
    let response = layer.layer(inner).oneshot(forged).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(code(response).await.as_deref(), Some("signature_mismatch"));
}

#[tokio::test]
async fn deliveries_in_flight_hold_so_much_together_and_no_more() {
    let receiver = builder()
        .max_buffered_bytes(EVENT.len() + 10)
        .build()
        .unwrap();
    let (release, gate) = tokio::sync::watch::channel(false);
    let service = VerifyLayer::new(receiver).layer(service_fn(move |_: Request<Full<Bytes>>| {
        let mut gate = gate.clone();
        async move {
            gate.wait_for(|open| *open).await.unwrap();
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    }));
    let mut first = Box::pin(service.clone().oneshot(event()));
    assert!(
        poll_once(&mut first).await.is_pending(),
        "held by its handler"
    );

    let second = service.clone().oneshot(event()).await.unwrap();
    assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(second.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(code(second).await.as_deref(), Some("overloaded"));

    release.send_replace(true);
    assert_eq!(first.await.unwrap().status(), StatusCode::OK);
    assert_eq!(
        service.clone().oneshot(event()).await.unwrap().status(),
        StatusCode::OK
    );

    // What is given up half-way holds nothing either.
    let half = request(
        EVENT.as_bytes(),
        script([Step::Data(b"{\"type"), Step::Silence]),
    );
    let mut half = Box::pin(service.clone().oneshot(half));
    assert!(poll_once(&mut half).await.is_pending());
    drop(half);
    assert_eq!(
        service.oneshot(event()).await.unwrap().status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_refusal_can_be_replaced_and_carries_its_error() {
    let inner = service_fn(async |_: Request<Full<Bytes>>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let seen = Arc::new(Mutex::new(None));
    let sink = Arc::clone(&seen);
    let receiver = builder()
        .status(VerifyErrorKind::SignatureMismatch, 401)
        .build()
        .unwrap();
    let layer = VerifyLayer::new(receiver).with_response(move |error: &VerifyError| {
        *sink.lock().unwrap() = Some(error.status());
        Response::builder()
            .status(418)
            .body(Bytes::from_static(b"no"))
            .unwrap()
    });
    let tampered = request(EVENT.as_bytes(), whole("{}"));
    let response = layer.layer(inner).oneshot(tampered).await.unwrap();
    assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
    assert_eq!(*seen.lock().unwrap(), Some(401));
    let error: &VerifyError = response.extensions().get().unwrap();
    assert_eq!(error.kind(), VerifyErrorKind::SignatureMismatch);
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "no"
    );
}

/// Only the very instance that was polled ready may be called.
#[derive(Default)]
struct Picky {
    ready: bool,
}

impl Clone for Picky {
    fn clone(&self) -> Self {
        Self { ready: false }
    }
}

impl Service<Request<Full<Bytes>>> for Picky {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        assert!(
            std::mem::take(&mut self.ready),
            "called without being ready"
        );
        ready(Ok(Response::new(Full::default())))
    }
}

#[tokio::test]
async fn the_service_that_was_ready_is_the_one_called() {
    let mut service = VerifyLayer::new(receiver()).layer(Picky::default());
    for _ in 0..3 {
        let response = ready_one(&mut service)
            .await
            .unwrap()
            .call(event())
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_concurrency_limit_inside_is_kept() {
    let mut service = ServiceBuilder::new()
        .layer(VerifyLayer::new(receiver()))
        .layer(ConcurrencyLimitLayer::new(1))
        .service_fn(async |_: Request<Full<Bytes>>| {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        });
    let first = ready_one(&mut service).await.unwrap().call(event());
    assert!(
        poll_once(&mut Box::pin(ready_one(&mut service)))
            .await
            .is_pending()
    );
    assert_eq!(first.await.unwrap().status(), StatusCode::OK);
    assert!(
        poll_once(&mut Box::pin(ready_one(&mut service)))
            .await
            .is_ready()
    );
}

#[test]
fn what_is_shared_can_be_shared() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    fn sent<T: Send>(_: &T) {}
    shared::<VerifyLayer>();
    shared::<Verify<Picky>>();
    shared::<WebhookReceiver>();
    shared::<GeminiEvent>();
    shared::<Delivery>();
    shared::<VerifyError>();
    let mut service = VerifyLayer::new(receiver()).layer(Picky { ready: true });
    fn future<S: Service<Request<Full<Bytes>>>>(service: &mut S) -> S::Future {
        service.call(event())
    }
    let future = future(&mut service);
    sent(&future);
    fn is_future<F: Future>(_: F) {}
    is_future(future);
}
