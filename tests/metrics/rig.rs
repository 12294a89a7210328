//! Receivers, and deliveries of every sort.

use std::future::ready;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use gemini_webhooks::jwks::{FetchedKeys, KeyFuture, KeySource};
use gemini_webhooks::replay::{
    ClaimKey, ClaimToken, Claimed, GuardError, GuardFuture, MemoryGuard, ReplayGuard, Settled,
};
use gemini_webhooks::testing::{self, Ed25519Signer, ManualClock, Rs256Signer};
use gemini_webhooks::{Delivery, GeminiEvent, SigningSecret, VerifyLayer, WebhookReceiver};
use http::{Request, Response};
use http_body_util::Full;
use metrics_util::debugging::DebuggingRecorder;
use tower::{BoxError, Layer as _, ServiceExt as _};

use crate::emitted::Emitted;

type Body = Full<Bytes>;

const EVENT: &str = testing::SAMPLE_EVENTS[0];

/// What a guard or a key source does instead of its work.
type Fault = Arc<Mutex<&'static str>>;

#[derive(Debug)]
struct Faulty {
    inner: MemoryGuard,
    fault: Fault,
}

impl Faulty {
    fn or<T: Send + 'static>(&self, operation: &str, answer: GuardFuture<T>) -> GuardFuture<T> {
        let fault = *self.fault.lock().unwrap();
        match fault {
            "silent" => GuardFuture::boxed(std::future::pending()),
            "panic" if operation == "claim" => panic!("the guard's own"),
            fault if fault == operation => {
                GuardFuture::ready(Err(GuardError::unavailable("the store is down")))
            }
            _ => answer,
        }
    }
}

impl ReplayGuard for Faulty {
    fn claim(&self, key: &ClaimKey, token: ClaimToken, lease: Duration) -> GuardFuture<Claimed> {
        self.or("claim", self.inner.claim(key, token, lease))
    }

    fn settle(&self, key: &ClaimKey, token: ClaimToken, time: Duration) -> GuardFuture<Settled> {
        self.or("settle", self.inner.settle(key, token, time))
    }

    fn release(&self, key: &ClaimKey, token: ClaimToken) -> GuardFuture<()> {
        self.or("release", self.inner.release(key, token))
    }

    fn ready(&self) -> GuardFuture<Vec<String>> {
        self.inner.ready()
    }
}

#[derive(Debug)]
struct Source {
    keys: String,
    fault: Fault,
}

impl KeySource for Source {
    fn fetch(&self) -> KeyFuture<'_> {
        Box::pin(async {
            match *self.fault.lock().unwrap() {
                "keys" => Err("the key server is down".into()),
                _ => Ok(FetchedKeys::new(self.keys.clone())),
            }
        })
    }
}

pub(crate) struct Rig {
    clock: ManualClock,
    fault: Fault,
    statics: WebhookReceiver,
    dynamic: WebhookReceiver,
    public: Ed25519Signer,
    tokens: Rs256Signer,
    sent: AtomicU32,
}

impl Rig {
    fn new() -> Self {
        let (clock, fault) = (ManualClock::default(), Fault::default());
        let guard = || Faulty {
            inner: MemoryGuard::new(),
            fault: Arc::clone(&fault),
        };
        let statics = WebhookReceiver::builder()
            .signing_secret(testing::SECRET)
            .clock(clock.clone())
            .guard("test", guard())
            .build()
            .unwrap();
        let public = Ed25519Signer::new("key-1", [7; 32]);
        let tokens = Rs256Signer::generate("key-2").unwrap();
        let source = Source {
            keys: testing::key_set([public.jwk(), tokens.jwk()]),
            fault: Arc::clone(&fault),
        };
        let dynamic = WebhookReceiver::builder()
            .key_source(source)
            .allow_any_google_project()
            .accept_jwt("my-app")
            .clock(clock.clone())
            .build()
            .unwrap();
        Self {
            clock,
            fault,
            statics,
            dynamic,
            public,
            tokens,
            sent: AtomicU32::new(0),
        }
    }

    /// How many requests have come to an end.
    pub(crate) fn sent(&self) -> u32 {
        self.sent.load(SeqCst)
    }

    fn fail(&self, what: &'static str) {
        *self.fault.lock().unwrap() = what;
    }

    /// Sends it in a task of its own, as a server does. None: there was no answer.
    async fn deliver(&self, receiver: &WebhookReceiver, request: Request<Body>) -> Option<u16> {
        self.sent.fetch_add(1, SeqCst);
        let service = VerifyLayer::new(receiver.clone()).layer(tower::service_fn(handle));
        let answer = tokio::spawn(service.oneshot(request)).await.ok()?.ok()?;
        Some(answer.status().as_u16())
    }

    fn signed(&self, id: &str, body: &'static str, behaviour: &str) -> Request<Body> {
        let secret: SigningSecret = testing::SECRET.parse().unwrap();
        let lines = testing::sign_v1(&secret, id, self.clock.unix_seconds(), body);
        request(lines, body, behaviour)
    }

    pub(crate) async fn send(&self, id: &str, behaviour: &str) -> Option<u16> {
        let request = self.signed(id, EVENT, behaviour);
        self.deliver(&self.statics, request).await
    }

    pub(crate) async fn unsigned(&self) -> Option<u16> {
        let request = Request::post("/").body(Body::default()).unwrap();
        self.deliver(&self.statics, request).await
    }

    pub(crate) async fn every_outcome(&self) {
        for (id, behaviour, status) in [
            ("msg_1", "ok", Some(200)),
            ("msg_1", "ok", Some(200)),
            ("msg_2", "fail", Some(500)),
            ("msg_2", "error", None),
            ("msg_2", "panic", None),
            ("msg_2", "hang", Some(503)),
            ("msg_2", "keep the claim", Some(503)),
        ] {
            assert_eq!(self.send(id, behaviour).await, status, "{behaviour}");
        }
        let left = tokio::time::timeout(Duration::from_secs(1), async {
            self.sent.fetch_add(1, SeqCst);
            let service = VerifyLayer::new(self.statics.clone());
            let service = service.layer(tower::service_fn(handle));
            let running = service.oneshot(self.signed("msg_3", EVENT, "hang"));
            let mut running = Box::pin(running);
            // A copy that comes meanwhile.
            let copy = async {
                tokio::task::yield_now().await;
                assert_eq!(self.send("msg_3", "ok").await, Some(409));
                std::future::pending::<()>().await;
            };
            tokio::select! {
                _ = &mut running => panic!("it has answered"),
                () = copy => {}
            }
        });
        assert!(left.await.is_err());
        assert_eq!(self.unsigned().await, Some(400));
        let mut get = self.signed("msg_4", EVENT, "ok");
        *get.method_mut() = http::Method::GET;
        assert_eq!(self.deliver(&self.statics, get).await, Some(405));
        let altered = self.signed("msg_4", EVENT, "ok").map(|_| Body::from("{}"));
        assert_eq!(self.deliver(&self.statics, altered).await, Some(400));
        let long = "x".repeat(64 * 1024 + 1);
        let long = self.signed("msg_4", EVENT, "ok").map(|_| Body::from(long));
        assert_eq!(self.deliver(&self.statics, long).await, Some(413));
    }

    pub(crate) async fn every_fault_of_the_guard(&self) {
        for (fault, id, behaviour, status) in [
            ("claim", "msg_5", "ok", 503),
            ("panic", "msg_5", "ok", 503),
            ("silent", "msg_5", "ok", 503),
            ("settle", "msg_6", "ok", 200),
            ("release", "msg_7", "fail", 500),
        ] {
            self.fail(fault);
            assert_eq!(self.send(id, behaviour).await, Some(status), "{fault}");
        }
        self.fail("");
    }

    async fn send_public(&self, id: &str) {
        let lines = self.public.sign(id, self.clock.unix_seconds(), EVENT);
        let request = request(lines, EVENT, "ok");
        let status = self.deliver(&self.dynamic, request).await;
        assert_eq!(status, Some(200));
    }

    pub(crate) async fn every_type_and_scheme(&self) {
        let others = [r#"{"type":"model.tuned"}"#, "[]"];
        for (number, body) in testing::SAMPLE_EVENTS.into_iter().chain(others).enumerate() {
            let request = self.signed(&format!("msg_type_{number}"), body, "ok");
            assert_eq!(self.deliver(&self.statics, request).await, Some(200));
        }
        self.send_public("msg_v1a").await;
        let now = self.clock.unix_seconds();
        let claims = testing::claims(EVENT, "my-app", now).unwrap();
        let request = request(self.tokens.sign("msg_jwt", now, &claims), "", "ok");
        assert_eq!(self.deliver(&self.dynamic, request).await, Some(200));
        self.fail("keys");
        self.dynamic.refresh_keys().await.unwrap_err();
        self.fail("");
    }

    /// A check of the app and the handler take so long.
    pub(crate) async fn advancing(&self, check: Duration, handler: Duration) {
        let (clock, by) = (self.clock.clone(), self.clock.clone());
        let receiver = WebhookReceiver::builder()
            .signing_secret(testing::SECRET)
            .clock(self.clock.clone())
            .accept_if(move |_: GeminiEvent, _: Delivery| {
                by.advance(check);
                ready(Ok(true))
            })
            .build()
            .unwrap();
        let handle = tower::service_fn(|_: Request<Body>| {
            clock.advance(handler);
            ready(Ok::<_, BoxError>(Response::new(Body::default())))
        });
        let service = VerifyLayer::new(receiver).layer(handle);
        let answer = service.oneshot(self.signed("msg_1", EVENT, "ok")).await;
        assert_eq!(answer.unwrap().status(), 200);
    }

    pub(crate) async fn keys_of_an_age(&self, seconds: u64) {
        self.send_public("msg_1").await;
        self.clock.advance(Duration::from_secs(seconds));
        self.send_public("msg_2").await;
    }

    pub(crate) async fn leave_one_running(&self) {
        let service = VerifyLayer::new(self.statics.clone()).layer(tower::service_fn(handle));
        drop(tokio::spawn(
            service.oneshot(self.signed("msg_1", EVENT, "hang")),
        ));
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }
}

fn request(
    lines: [(&'static str, String); 3],
    body: &'static str,
    behaviour: &str,
) -> Request<Body> {
    let mut request = Request::post("/").header("behave", behaviour);
    for (name, value) in lines {
        request = request.header(name, value);
    }
    request.body(Body::from(body)).unwrap()
}

/// Does what the header says.
async fn handle(request: Request<Body>) -> Result<Response<Body>, BoxError> {
    let behaviour = request.headers()["behave"].to_str().unwrap().to_owned();
    let mut response = Response::new(Body::default());
    match behaviour.as_str() {
        "ok" => {}
        "fail" => *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR,
        "error" => return Err("the handler's own".into()),
        "panic" => panic!("the handler's own"),
        "hang" => std::future::pending().await,
        "keep the claim" => {
            let delivery = request.extensions().get::<Delivery>().unwrap();
            assert!(delivery.hand_over_claim().is_some());
        }
        other => panic!("{other}"),
    }
    Ok(response)
}

/// Does the work on one thread, so that its recorder is that of all tasks. The time of timers passes by itself.
pub(crate) fn with_recorder(recorder: &dyn metrics::Recorder, work: impl AsyncFnOnce(&Rig)) -> Rig {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    metrics::with_local_recorder(recorder, || {
        runtime.block_on(async {
            let rig = Rig::new();
            work(&rig).await;
            rig
        })
    })
}

pub(crate) fn emitting(work: impl AsyncFnOnce(&Rig)) -> (Rig, Emitted) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let rig = with_recorder(&recorder, work);
    (rig, Emitted::of(&snapshotter))
}
