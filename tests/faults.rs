//! Code of others inside ours: a guard, a check or a log of the app that panics, a handler that
//! blocks. Nothing is lost by it, and nobody else's delivery is.
#![cfg(all(feature = "testing", feature = "tower"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use gemini_webhooks::replay::{
    ClaimKey, ClaimToken, Claimed, GuardFuture, MemoryGuard, ReplayGuard, Settled,
};
use gemini_webhooks::testing::{self, ManualClock};
use gemini_webhooks::{VerifyError, VerifyErrorKind, VerifyLayer, WebhookReceiver};
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::timeout;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};

const EVENT: &str = testing::SAMPLE_EVENTS[0];
const SECOND: Duration = Duration::from_secs(1);

fn builder(clock: &ManualClock) -> gemini_webhooks::WebhookReceiverBuilder {
    WebhookReceiver::builder()
        .signing_secret(testing::SECRET)
        .clock(clock.clone())
}

fn request(headers: [(&'static str, String); 3], body: &'static str) -> Request<Full<Bytes>> {
    let mut request = Request::post("/").body(Full::from(body)).unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request
}

fn signed(id: &str, clock: &ManualClock) -> Request<Full<Bytes>> {
    let secret = testing::SECRET.parse().unwrap();
    request(
        testing::sign_v1(&secret, id, clock.unix_seconds(), EVENT),
        EVENT,
    )
}

type Answered = (u16, Option<VerifyErrorKind>);

/// Sends a request to a handler that does `work`.
async fn send<F>(
    receiver: &WebhookReceiver,
    request: Request<Full<Bytes>>,
    work: impl Fn() -> F + Clone,
) -> Answered
where
    F: Future<Output = ()>,
{
    let inner = service_fn(move |_: Request<Full<Bytes>>| {
        let work = work();
        async move {
            work.await;
            Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
        }
    });
    let service = VerifyLayer::new(receiver.clone()).layer(inner);
    let response = service.oneshot(request).await.unwrap();
    let kind = response.extensions().get::<VerifyError>();
    (response.status().as_u16(), kind.map(VerifyError::kind))
}

/// A guard that panics in one of its operations: when it is asked, or when it is waited for.
#[derive(Debug)]
struct Panics {
    at: (&'static str, bool),
    inner: MemoryGuard,
    released: AtomicUsize,
}

impl Panics {
    fn answer<T: Send + 'static>(
        &self,
        operation: &str,
        answer: impl FnOnce(&MemoryGuard) -> GuardFuture<T>,
    ) -> GuardFuture<T> {
        match self.at {
            (at, false) if at == operation => panic!("the guard's own"),
            (at, true) if at == operation => GuardFuture::boxed(PanicsWhenPolled(None)),
            _ => answer(&self.inner),
        }
    }
}

struct PanicsWhenPolled<T>(Option<T>);

impl<T> Unpin for PanicsWhenPolled<T> {}

impl<T> Future for PanicsWhenPolled<T> {
    type Output = Result<T, gemini_webhooks::replay::GuardError>;

    fn poll(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        panic!("the guard's own, later")
    }
}

/// As what a future holds may do.
impl<T> Drop for PanicsWhenPolled<T> {
    fn drop(&mut self) {
        assert!(self.0.is_some(), "and once more");
    }
}

#[derive(Debug, Clone)]
struct Shared(Arc<Panics>);

impl ReplayGuard for Shared {
    fn claim(&self, key: &ClaimKey, token: ClaimToken, lease: Duration) -> GuardFuture<Claimed> {
        self.0
            .answer("claim", |inner| inner.claim(key, token, lease))
    }

    fn settle(
        &self,
        key: &ClaimKey,
        token: ClaimToken,
        retention: Duration,
    ) -> GuardFuture<Settled> {
        self.0
            .answer("settle", |inner| inner.settle(key, token, retention))
    }

    fn release(&self, key: &ClaimKey, token: ClaimToken) -> GuardFuture<()> {
        self.0.released.fetch_add(1, SeqCst);
        self.0.answer("release", |inner| inner.release(key, token))
    }

    fn ready(&self) -> GuardFuture<Vec<String>> {
        self.0.inner.ready()
    }
}

#[tokio::test]
async fn a_guard_that_panics_has_not_answered() {
    for later in [false, true] {
        for (operation, first, runs, released) in [
            (
                "claim",
                (503, Some(VerifyErrorKind::GuardUnavailable)),
                0,
                3,
            ),
            // The work is done, so the claim is kept until its lease ends, and no copy runs.
            ("settle", (200, None), 1, 0),
        ] {
            let clock = ManualClock::default();
            let guard = Shared(Arc::new(Panics {
                at: (operation, later),
                inner: MemoryGuard::new().with_clock(clock.clone()),
                released: AtomicUsize::new(0),
            }));
            let receiver = builder(&clock)
                .guard("test", guard.clone())
                .build()
                .unwrap();
            let ran = Arc::new(AtomicUsize::new(0));
            let work = || {
                ran.fetch_add(1, SeqCst);
                ready(())
            };
            let what = format!("{operation}, later: {later}");
            let answered = send(&receiver, signed("msg_1", &clock), work).await;
            assert_eq!(answered, first, "{what}");
            for _ in 0..2 {
                send(&receiver, signed("msg_1", &clock), work).await;
            }
            assert_eq!(ran.load(SeqCst), runs, "{what}");
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            // Nobody knows how far it came.
            assert_eq!(guard.0.released.load(SeqCst), released, "{what}");
        }
    }
}

#[tokio::test]
async fn a_check_that_panics_gave_no_answer() {
    let clock = ManualClock::default();
    let failed = (503, Some(VerifyErrorKind::AcceptanceFailed));
    let at_once =
        builder(&clock).accept_if(|_, _| -> std::future::Ready<_> { panic!("the check's own") });
    let later = builder(&clock).accept_if(async |_, _| panic!("the check's own, later"));
    for receiver in [at_once, later] {
        let receiver = receiver.build().unwrap();
        let answered = send(&receiver, signed("msg_1", &clock), || ready(())).await;
        assert_eq!(answered, failed);
    }
}

#[tokio::test(start_paused = true)]
async fn all_checks_must_accept() {
    let clock = ManualClock::default();
    let refused = (400, Some(VerifyErrorKind::NotAccepted));
    let failed = (503, Some(VerifyErrorKind::AcceptanceFailed));
    for (first, second, expected, asked) in [
        (Ok(true), Ok(true), (200, None), 2),
        (Ok(false), Ok(true), refused, 1),
        (Ok(true), Ok(false), refused, 2),
        (Err("down"), Ok(true), failed, 1),
        (Ok(true), Err("down"), failed, 2),
    ] {
        let checks = Arc::new(AtomicUsize::new(0));
        let check = |answer: Result<bool, &'static str>| {
            let checks = Arc::clone(&checks);
            move |_, _| {
                checks.fetch_add(1, SeqCst);
                ready(answer.map_err(BoxError::from))
            }
        };
        let receiver = builder(&clock)
            .accept_if(check(first))
            .accept_if(check(second))
            .build()
            .unwrap();
        let answered = send(&receiver, signed("msg_1", &clock), || ready(())).await;
        assert_eq!(answered, expected, "{first:?}, {second:?}");
        assert_eq!(checks.load(SeqCst), asked, "{first:?}, {second:?}");
    }
    // They have their time together.
    let slow = async |_, _| {
        tokio::time::sleep(SECOND + SECOND / 2).await;
        Ok(true)
    };
    let receiver = builder(&clock)
        .accept_if(slow)
        .accept_if(slow)
        .build()
        .unwrap();
    let answered = send(&receiver, signed("msg_1", &clock), || ready(())).await;
    assert_eq!(answered, failed);
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_handler_counts_from_its_start() {
    let clock = ManualClock::default();
    let receiver = builder(&clock)
        .handler_timeout(SECOND * 30)
        .build()
        .unwrap();
    // It computes for 20 seconds, and then waits.
    let work = || {
        clock.advance(SECOND * 20);
        pending()
    };
    let too_slow = (503, Some(VerifyErrorKind::HandlerTimeout));
    for (id, patience, expected) in [("a", 9, None), ("b", 11, Some(too_slow))] {
        let answered = timeout(SECOND * patience, send(&receiver, signed(id, &clock), work));
        assert_eq!(answered.await.ok(), expected, "{patience} s");
    }
    // One that has used all of it is stopped where it first waits.
    let work = || {
        clock.advance(SECOND * 31);
        pending()
    };
    let answered = send(&receiver, signed("c", &clock), work);
    assert_eq!(timeout(SECOND / 100, answered).await, Ok(too_slow));
}

/// A token may be sent again for as long as it is accepted, under other ids and times.
#[cfg(feature = "jwt")]
#[tokio::test]
async fn a_token_is_remembered_for_as_long_as_it_is_accepted() {
    use gemini_webhooks::jwks::KeySet;
    use gemini_webhooks::testing::Rs256Signer;

    let clock = ManualClock::default();
    let signer = Rs256Signer::generate("key").unwrap();
    let keys = KeySet::from_json(testing::key_set([signer.jwk()]).as_bytes()).unwrap();
    let receiver = builder(&clock)
        .jwks(keys)
        .allow_any_google_project()
        .accept_jwt("us")
        .retention(SECOND * 600)
        .build()
        .unwrap();
    let hour = 60 * 60;
    let expires = clock.unix_seconds() + 20 * hour;
    let claims = format!(r#"{{"type":"batch.expired","aud":"us","exp":{expires}}}"#);
    let [.., (_, token)] = signer.sign("", 0, &claims);
    let ran = Arc::new(Mutex::new(Vec::new()));
    for (id, after) in [("a", 0), ("b", 1), ("c", 10), ("d", 9)] {
        clock.advance(SECOND * after * 60 * 60);
        let mut headers = testing::sign_v1(
            &testing::SECRET.parse().unwrap(),
            id,
            clock.unix_seconds(),
            "",
        );
        headers[2].1 = token.clone();
        let work = || {
            ran.lock().unwrap().push(id);
            ready(())
        };
        let answered = send(&receiver, request(headers, ""), work).await;
        assert_eq!(answered, (200, None), "{id}");
    }
    assert_eq!(*ran.lock().unwrap(), ["a"]);
}
