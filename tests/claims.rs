//! Each event handled once and none lost, through `VerifyLayer`, whatever fails on the way.
#![cfg(all(feature = "testing", feature = "tower"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

use std::collections::VecDeque;
use std::future::{Future, Ready, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use gemini_webhooks::adapter::Finished;
use gemini_webhooks::replay::{
    ClaimKey, ClaimToken, Claimed, GuardError, GuardFuture, MemoryGuard, ReplayGuard, Settled,
};
use gemini_webhooks::testing::{self, ManualClock};
use gemini_webhooks::{
    Clock as _, ConfigError, Delivery, DeliveryHeaders, NotReady, VerifyError, VerifyErrorKind,
    VerifyLayer, WebhookReceiver, WebhookReceiverBuilder,
};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::Full;
use tokio::time::{Instant, sleep};
use tower::{BoxError, Layer as _, Service, ServiceExt as _, service_fn};

const EVENT: &str = testing::SAMPLE_EVENTS[0];
const SECOND: Duration = Duration::from_secs(1);

/// What a handler does when it is called.
#[derive(Clone, Copy, Debug)]
enum Step {
    Answer(u16),
    /// After so many seconds.
    Late(u64),
    Fail,
    Panic,
    Never,
}

/// A handler that goes through its steps, and says what happened to it.
#[derive(Clone, Default)]
struct Handler {
    steps: Arc<Mutex<VecDeque<Step>>>,
    started: Arc<AtomicUsize>,
    finished: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<Delivery>>>,
}

struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Handler {
    fn of(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: Arc::new(Mutex::new(steps.into_iter().collect())),
            ..Self::default()
        }
    }

    fn started(&self) -> usize {
        self.started.load(SeqCst)
    }

    fn finished(&self) -> usize {
        self.finished.load(SeqCst)
    }

    async fn run(self, request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, BoxError> {
        let delivery: &Delivery = request.extensions().get().unwrap();
        self.seen.lock().unwrap().push(delivery.clone());
        self.started.fetch_add(1, SeqCst);
        let step = self.steps.lock().unwrap().pop_front();
        let _dropped = Dropped(Arc::clone(&self.dropped));
        let status = match step.expect("one call too many") {
            Step::Answer(status) => status,
            Step::Late(seconds) => {
                sleep(SECOND * u32::try_from(seconds).unwrap()).await;
                200
            }
            Step::Fail => return Err("the handler fails".into()),
            Step::Panic => panic!("the handler panics"),
            Step::Never => pending().await,
        };
        self.finished.fetch_add(1, SeqCst);
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::from_u16(status)?;
        Ok(response)
    }
}

type Answered = Result<(u16, Option<VerifyErrorKind>), BoxError>;

/// An app: a layer around a handler.
#[derive(Clone)]
struct App {
    receiver: WebhookReceiver,
    clock: ManualClock,
    handler: Handler,
    finish: bool,
}

impl App {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::with(steps, |builder| builder)
    }

    fn with(
        steps: impl IntoIterator<Item = Step>,
        configure: impl FnOnce(WebhookReceiverBuilder) -> WebhookReceiverBuilder,
    ) -> Self {
        let clock = ManualClock::default();
        let builder = WebhookReceiver::builder()
            .signing_secret(testing::SECRET)
            .clock(clock.clone());
        Self {
            receiver: configure(builder).build().unwrap(),
            clock,
            handler: Handler::of(steps),
            finish: false,
        }
    }

    fn under(steps: impl IntoIterator<Item = Step>, guard: &Scripted) -> Self {
        Self::with(steps, |builder| builder.guard("test", guard.clone()))
    }

    fn request<B>(&self, id: &str, body: B) -> Request<B> {
        let mut request = Request::post("/").body(body).unwrap();
        let secret = testing::SECRET.parse().unwrap();
        for (name, value) in testing::sign_v1(&secret, id, self.clock.unix_seconds(), EVENT) {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request
    }

    fn send<B>(&self, request: Request<B>) -> Pin<Box<dyn Future<Output = Answered> + Send>>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let handler = self.handler.clone();
        let inner = service_fn(move |request| handler.clone().run(request));
        let layer = VerifyLayer::new(self.receiver.clone());
        if self.finish {
            let service = layer.finish_once_started().layer(inner);
            Box::pin(answer(service, request))
        } else {
            Box::pin(answer(layer.layer(inner), request))
        }
    }

    async fn deliver(&self, id: &str) -> (u16, Option<VerifyErrorKind>) {
        self.send(self.request(id, Full::<Bytes>::from(EVENT)))
            .await
            .unwrap()
    }

    /// In a task of its own, so that it can be dropped, and may panic.
    fn spawn(&self, id: &str) -> tokio::task::JoinHandle<Answered> {
        tokio::spawn(self.send(self.request(id, Full::<Bytes>::from(EVENT))))
    }
}

async fn answer<S, B, T>(service: S, request: Request<B>) -> Answered
where
    S: Service<Request<B>, Response = Response<T>, Error = BoxError>,
{
    let response = service.oneshot(request).await?;
    let kind = response.extensions().get::<VerifyError>();
    Ok((response.status().as_u16(), kind.map(VerifyError::kind)))
}

const HANDLED: (u16, Option<VerifyErrorKind>) = (200, None);

/// Lets tasks that are ready run.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_repeat_is_answered_and_not_run() {
    let app = App::new([Step::Answer(204)]);
    assert_eq!(app.deliver("msg_1").await, (204, None));
    app.clock.advance(Duration::from_secs(24 * 60 * 60));
    for _ in 0..3 {
        assert_eq!(app.deliver("msg_1").await, HANDLED);
    }
    assert_eq!(app.handler.started(), 1);
    // Another secret or scheme apart, an id is an id; another id is another event.
    app.handler
        .steps
        .lock()
        .unwrap()
        .push_back(Step::Answer(200));
    assert_eq!(app.deliver("msg_2").await, HANDLED);
    assert_eq!(app.handler.started(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_handled_runs_again() {
    for step in [
        Step::Answer(500),
        Step::Answer(404),
        Step::Answer(302),
        Step::Answer(300),
        Step::Fail,
        Step::Panic,
        Step::Never,
    ] {
        let app = App::new([step, Step::Answer(200)]);
        let first = app.spawn("msg_1").await;
        match step {
            Step::Answer(status) => assert_eq!(first.unwrap().unwrap(), (status, None)),
            Step::Fail => assert!(first.unwrap().is_err()),
            Step::Panic => assert!(first.unwrap_err().is_panic()),
            _ => assert_eq!(
                first.unwrap().unwrap(),
                (503, Some(VerifyErrorKind::HandlerTimeout))
            ),
        }
        assert_eq!(app.deliver("msg_1").await, HANDLED, "{step:?}");
        assert_eq!(app.deliver("msg_1").await, HANDLED, "{step:?}");
        assert_eq!((app.handler.started(), app.handler.finished()), {
            let answered = matches!(step, Step::Answer(_));
            (2, 1 + usize::from(answered))
        });
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_copies_at_once_one_runs() {
    let in_flight = (409, Some(VerifyErrorKind::InFlight));
    let app = App::new([Step::Late(2)]);
    let first = app.spawn("msg_1");
    settle().await;
    assert_eq!(app.deliver("msg_1").await, in_flight);
    assert_eq!(first.await.unwrap().unwrap(), HANDLED);
    assert_eq!(app.deliver("msg_1").await, HANDLED);
    assert_eq!(app.handler.started(), 1);

    // And where the first fails after that, the retry runs.
    let app = App::new([Step::Panic, Step::Late(1)]);
    assert!(app.spawn("msg_1").await.unwrap_err().is_panic());
    let second = app.spawn("msg_1");
    settle().await;
    assert_eq!(app.deliver("msg_1").await, in_flight);
    assert_eq!(second.await.unwrap().unwrap(), HANDLED);
    assert_eq!(app.handler.started(), 2);
}

#[tokio::test]
async fn a_conflict_says_when_to_come_again() {
    let app = App::new([Step::Never]);
    let _first = app.spawn("msg_1");
    settle().await;
    let handler = app.handler.clone();
    let inner = service_fn(move |request| handler.clone().run(request));
    let service = VerifyLayer::new(app.receiver.clone()).layer(inner);
    let request = app.request("msg_1", Full::<Bytes>::from(EVENT));
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 409);
    // What is left of the lease, and up to half as long again.
    let after: u64 = response.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((120..=180).contains(&after), "{after}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_too_slow_is_dropped_before_its_retry_may_run() {
    let guard = Scripted::new(|_| Reply::Works);
    let app = App::under([Step::Never], &guard);
    let dropped = Arc::clone(&app.handler.dropped);
    guard.at_release(move || assert_eq!(dropped.load(SeqCst), 1, "dropped first"));
    let answer = app.deliver("msg_1").await;
    assert_eq!(answer, (503, Some(VerifyErrorKind::HandlerTimeout)));
    assert_eq!(guard.calls(), ["claim", "release"]);
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_leaves_loses_nothing() {
    // While the body arrives: nothing was claimed.
    let guard = Scripted::new(|_| Reply::Works);
    let app = App::under([], &guard);
    let arriving = tokio::spawn(app.send(app.request("msg_1", Never)));
    settle().await;
    arriving.abort();
    assert!(arriving.await.unwrap_err().is_cancelled());
    assert_eq!(guard.calls(), [""; 0]);

    // While the guard is asked: once the claim is made, it is released.
    let guard = Scripted::new(|operation| match operation {
        "claim" => Reply::Late(SECOND * 10),
        _ => Reply::Works,
    });
    let app = App::under([], &guard);
    let asking = app.spawn("msg_1");
    settle().await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    assert_eq!(guard.calls(), ["claim"]);
    sleep(SECOND * 11).await;
    assert_eq!(guard.calls(), ["claim", "release"]);
    assert!(guard.inner.is_empty());

    // While the handler runs: its retry runs.
    let guard = Scripted::new(|_| Reply::Works);
    let app = App::under([Step::Never, Step::Answer(200)], &guard);
    let running = app.spawn("msg_1");
    settle().await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert_eq!(guard.calls(), ["claim", "release"]);
    assert_eq!(app.deliver("msg_1").await, HANDLED);

    // While the claim is settled: the handler has run, so that goes on by itself.
    let guard = Scripted::new(|operation| match operation {
        "settle" => Reply::Late(SECOND),
        _ => Reply::Works,
    });
    let app = App::under([Step::Answer(200)], &guard);
    let settling = app.spawn("msg_1");
    settle().await;
    assert_eq!(app.handler.finished(), 1);
    settling.abort();
    assert!(settling.await.unwrap_err().is_cancelled());
    sleep(SECOND * 2).await;
    assert_eq!(guard.settled(), 1);
    assert_eq!(app.deliver("msg_1").await, HANDLED);
    assert_eq!(app.handler.started(), 1);
}

#[tokio::test(start_paused = true)]
async fn finish_once_started() {
    // A sender that gives up after a second, a handler that takes three.
    async fn give_up(app: &App) {
        let sent = app.spawn("msg_1");
        sleep(SECOND).await;
        sent.abort();
        assert!(sent.await.unwrap_err().is_cancelled());
    }

    let dropped = App::new([Step::Late(3); 3]);
    for attempt in 1..=3 {
        give_up(&dropped).await;
        sleep(SECOND * 60).await;
        let handler = &dropped.handler;
        assert_eq!(
            (handler.started(), handler.finished()),
            (attempt, 0),
            "again and again"
        );
    }

    let mut app = App::new([Step::Late(3)]);
    app.finish = true;
    give_up(&app).await;
    let in_flight = (409, Some(VerifyErrorKind::InFlight));
    assert_eq!(app.deliver("msg_1").await, in_flight);
    sleep(SECOND * 3).await;
    assert_eq!((app.handler.started(), app.handler.finished()), (1, 1));
    assert_eq!(app.deliver("msg_1").await, HANDLED);
    assert_eq!(app.handler.started(), 1);

    // What else it does is as before.
    for (step, expected) in [
        (Step::Answer(201), Some((201, None))),
        (Step::Answer(500), Some((500, None))),
        (
            Step::Never,
            Some((503, Some(VerifyErrorKind::HandlerTimeout))),
        ),
        (Step::Fail, None),
    ] {
        let mut app = App::new([step]);
        app.finish = true;
        assert_eq!(app.spawn("msg_1").await.unwrap().ok(), expected, "{step:?}");
    }
    let mut app = App::new([Step::Panic, Step::Answer(200)]);
    app.finish = true;
    assert!(app.spawn("msg_1").await.unwrap_err().is_panic());
    assert_eq!(app.deliver("msg_1").await, HANDLED);
}

/// A server that stops with its runtime: what was running is handled when it comes again.
#[test]
fn shutdown_in_flight() {
    for finish in [false, true] {
        let runtime = || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
        };
        let mut app = App::new([Step::Never, Step::Answer(200)]);
        app.finish = finish;
        let stopped = runtime();
        stopped.block_on(async {
            let _running = app.spawn("msg_1");
            settle().await;
            assert_eq!(app.handler.started(), 1);
        });
        drop(stopped);
        assert_eq!(runtime().block_on(app.deliver("msg_1")), HANDLED);
        assert_eq!(app.handler.started(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_fails_is_no_pass() {
    let unavailable = (503, Some(VerifyErrorKind::GuardUnavailable));
    for (reply, waited, given_up) in [
        // It has not begun, so there is nothing to give up.
        (Reply::Fails, 0, 0),
        // It may have been made, and may be made yet.
        (Reply::FailsLate, 1, 4),
        // It is waited for.
        (Reply::Never, 2, 0),
    ] {
        // At the claim: the handler does not run.
        let guard = Scripted::new(move |operation| match operation {
            "claim" => reply,
            _ => Reply::Works,
        });
        let app = App::under([Step::Answer(200)], &guard);
        #[expect(
            clippy::disallowed_methods,
            reason = "the runtime's, which stands still"
        )]
        let begun = Instant::now();
        assert_eq!(app.deliver("msg_1").await, unavailable, "{reply:?}");
        assert_eq!(begun.elapsed().as_secs(), waited);
        sleep(SECOND * 10).await;
        let calls = guard.calls();
        assert_eq!(
            (calls[0], &calls[1..]),
            ("claim", &*vec!["release"; given_up])
        );
        assert_eq!(app.handler.started(), 0);

        // Unless the app says so, in those words.
        let app = App::with([Step::Answer(200)], |builder| {
            builder
                .guard("test", guard.clone())
                .handle_unclaimed_while_guard_fails()
        });
        assert_eq!(app.deliver("msg_2").await, HANDLED, "{reply:?}");
        assert_eq!(
            guard.settled(),
            1,
            "it is remembered, if the guard is there again"
        );

        // At the settle and the release: the handler's answer is sent, and the guard is asked again.
        let fails = Arc::new(AtomicBool::new(true));
        let failing = Arc::clone(&fails);
        let guard = Scripted::new(move |operation| match operation {
            "settle" | "release" if failing.load(SeqCst) => reply,
            _ => Reply::Works,
        });
        let app = App::under([Step::Answer(200), Step::Answer(500), Step::Fail], &guard);
        assert_eq!(app.deliver("msg_1").await, HANDLED, "{reply:?}");
        assert_eq!(app.deliver("msg_2").await, (500, None), "{reply:?}");
        assert!(app.spawn("msg_3").await.unwrap().is_err(), "{reply:?}");
        fails.store(false, SeqCst);
        sleep(SECOND * 30).await;
        assert_eq!(app.deliver("msg_1").await, HANDLED, "{reply:?}");
        assert_eq!(app.handler.started(), 3, "{reply:?}");
        assert_eq!(guard.inner.len(), 1, "the others are free, {reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_ends_while_the_handler_runs() {
    let app = App::new([Step::Late(3), Step::Late(10)]);
    let first = app.spawn("msg_1");
    settle().await;
    app.clock.advance(SECOND * 121);
    let second = app.spawn("msg_1");
    settle().await;
    assert_eq!(
        app.handler.started(),
        2,
        "its lease is over, so it counts as dead"
    );
    // The first is done: its answer goes out, and it changes nothing of its successor's.
    assert_eq!(first.await.unwrap().unwrap(), HANDLED);
    let in_flight = (409, Some(VerifyErrorKind::InFlight));
    assert_eq!(app.deliver("msg_1").await, in_flight);
    assert_eq!(second.await.unwrap().unwrap(), HANDLED);
    assert_eq!(app.deliver("msg_1").await, HANDLED);

    // Where nobody came meanwhile, it is settled late.
    let app = App::new([Step::Late(3)]);
    let first = app.spawn("msg_1");
    settle().await;
    app.clock.advance(SECOND * 121);
    assert_eq!(first.await.unwrap().unwrap(), HANDLED);
    assert_eq!(app.deliver("msg_1").await, HANDLED);
    assert_eq!(app.handler.started(), 1);
}

/// It never waits for anything, so that tokio says "not yet" to everything it asks for.
#[tokio::test]
async fn a_handler_that_uses_up_its_turns_is_too_slow_all_the_same() {
    let app = App::with([], |builder| {
        builder.handler_timeout(Duration::from_millis(20))
    });
    let inner = service_fn(async |_: Request<Full<Bytes>>| {
        loop {
            tokio::task::consume_budget().await;
        }
        #[expect(unreachable_code, reason = "it tells the type")]
        Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
    });
    let service = VerifyLayer::new(app.receiver.clone()).layer(inner);
    let request = app.request("msg_1", Full::<Bytes>::from(EVENT));
    let answered = tokio::time::timeout(SECOND * 20, answer(service, request));
    let too_slow = (503, Some(VerifyErrorKind::HandlerTimeout));
    assert_eq!(answered.await.unwrap().unwrap(), too_slow);
}

/// Headers are judged before the body comes, so a copy may be claimed some time after its window.
#[tokio::test]
async fn a_slow_copy_is_remembered_as_well() {
    let app = App::with([Step::Answer(200)], |builder| {
        builder.retention(SECOND * 600)
    });
    let sent_at = app.clock.unix_seconds() + 299;
    let headers = testing::sign_v1(&testing::SECRET.parse().unwrap(), "msg_1", sent_at, EVENT);
    let lines = headers.each_ref().map(|(name, value)| (*name, value));
    let lines = DeliveryHeaders::from_lines(lines);
    let mut request = Request::post("/").body(Full::<Bytes>::from(EVENT)).unwrap();
    for (name, value) in &headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    assert_eq!(app.send(request).await.unwrap(), HANDLED);
    app.clock.advance(SECOND * 599);
    let mut intake = app.receiver.admit("/", &lines, None).unwrap();
    app.clock.advance(SECOND * 10);
    intake.push(EVENT.as_bytes()).unwrap();
    assert!(matches!(intake.finish().await, Ok(Finished::Repeat)));
}

/// A guard sends nothing before someone waits for the answer.
#[tokio::test]
async fn a_claim_that_nobody_waits_for_costs_nothing() {
    let guard = Scripted::new(|_| Reply::Late(SECOND));
    let app = App::under([], &guard);
    let headers = testing::sign_v1(
        &testing::SECRET.parse().unwrap(),
        "msg_1",
        app.clock.unix_seconds(),
        EVENT,
    );
    let lines = headers.each_ref().map(|(name, value)| (*name, value));
    let lines = DeliveryHeaders::from_lines(lines);
    let mut intake = app.receiver.admit("/", &lines, None).unwrap();
    intake.push(EVENT.as_bytes()).unwrap();
    drop(intake.finish());
    settle().await;
    assert_eq!(guard.calls(), ["claim"]);
}

/// A second panic while the first unwinds would abort the process.
#[tokio::test]
async fn a_panic_of_the_guard_on_top_of_one_of_the_handler() {
    let guard = Scripted::new(|_| Reply::Works);
    guard.panic_at_release();
    let app = App::under([], &guard);
    let inner = service_fn(|_: Request<Full<Bytes>>| -> Ready<Result<_, BoxError>> {
        assert!(std::env::args().count() == 0, "when it is called");
        std::future::ready(Ok(Response::new(Full::<Bytes>::default())))
    });
    let service = VerifyLayer::new(app.receiver.clone()).layer(inner);
    let request = app.request("msg_1", Full::<Bytes>::from(EVENT));
    let ran = tokio::spawn(answer(service, request)).await;
    assert!(ran.unwrap_err().is_panic());
    settle().await;
    // And once more in the background.
    assert_eq!(guard.calls(), ["claim", "release", "release"]);
}

#[tokio::test]
async fn a_full_guard_refuses_what_is_new() {
    let clock = ManualClock::default();
    let guard = MemoryGuard::new()
        .with_capacity(2)
        .with_clock(clock.clone());
    let app = App::with([Step::Answer(200); 3], |builder| {
        builder.guard("test", guard)
    });
    for id in ["msg_1", "msg_2"] {
        assert_eq!(app.deliver(id).await, HANDLED);
    }
    let full = (503, Some(VerifyErrorKind::GuardUnavailable));
    assert_eq!(app.deliver("msg_3").await, full);
    assert_eq!(app.deliver("msg_1").await, HANDLED);
    assert_eq!(app.handler.started(), 2);
    clock.advance(Duration::from_secs(26 * 60 * 60));
    assert_eq!(app.deliver("msg_3").await, HANDLED);
    assert_eq!(app.handler.started(), 3);
}

#[tokio::test]
async fn namespaces_of_a_shared_guard_are_apart() {
    let guard = Scripted::new(|_| Reply::Works);
    let app = |namespace: &str| {
        App::with([Step::Answer(200)], |builder| {
            builder.guard(namespace, guard.clone())
        })
    };
    let (staging, production, replica) = (app("staging"), app("production"), app("production"));
    for app in [&staging, &production, &replica] {
        assert_eq!(app.deliver("msg_1").await, HANDLED);
    }
    let runs = [&staging, &production, &replica].map(|app| app.handler.started());
    assert_eq!(runs, [1, 1, 0]);
}

/// A handler that takes over the claim, settles it or not, as in a transaction of its own, and
/// answers.
async fn take_over(app: &App, guard: &Scripted, settles: bool, status: u16) -> Answered {
    let rows = Arc::clone(&guard.inner);
    let inner = service_fn(move |request: Request<Full<Bytes>>| {
        let delivery: &Delivery = request.extensions().get().unwrap();
        let claim = delivery.hand_over_claim().unwrap();
        assert_eq!(
            (claim.key().namespace(), claim.key().id()),
            ("test", "msg_1")
        );
        if settles {
            drop(rows.settle(claim.key(), claim.token(), claim.retention()));
        }
        let mut response = Response::new(Full::<Bytes>::default());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        std::future::ready(Ok::<_, BoxError>(response))
    });
    let service = VerifyLayer::new(app.receiver.clone()).layer(inner);
    answer(service, app.request("msg_1", Full::<Bytes>::from(EVENT))).await
}

#[tokio::test(start_paused = true)]
async fn an_app_may_settle_by_itself() {
    let not_settled = (503, Some(VerifyErrorKind::NotSettled));
    for (settles, status, answered, again) in [
        (true, 200, HANDLED, 0),
        (true, 204, (204, None), 0),
        // It was done, whatever the handler says afterwards.
        (true, 500, (500, None), 0),
        (false, 500, (500, None), 1),
        // Rolled back, or never committed.
        (false, 200, not_settled, 1),
    ] {
        let what = format!("settles: {settles}, answers {status}");
        let guard = Scripted::new(|_| Reply::Works);
        let app = App::under([Step::Answer(200)], &guard);
        let first = take_over(&app, &guard, settles, status).await;
        assert_eq!(first.unwrap(), answered, "{what}");
        assert_eq!(app.deliver("msg_1").await, HANDLED, "{what}");
        assert_eq!(app.handler.started(), again, "{what}");
        assert_eq!(guard.settled(), again, "by the receiver, {what}");
    }
}

/// Whether the app has settled is not known: its answer is not sent, and nothing is lost.
#[tokio::test(start_paused = true)]
async fn a_guard_that_does_not_say_whether_the_app_has_settled() {
    let unavailable = (503, Some(VerifyErrorKind::GuardUnavailable));
    for reply in [
        Reply::Fails,
        Reply::FailsLate,
        Reply::Never,
        Reply::Late(SECOND * 3),
    ] {
        for (settles, again) in [(true, 0), (false, 1)] {
            let claims = Arc::new(AtomicUsize::new(0));
            let guard = Scripted::new(move |operation| match operation {
                "claim" if claims.fetch_add(1, SeqCst) == 1 => reply,
                _ => Reply::Works,
            });
            let app = App::under([Step::Answer(200)], &guard);
            let first = take_over(&app, &guard, settles, 200).await.unwrap();
            assert_eq!(first, unavailable, "{reply:?}");
            sleep(SECOND * 5).await;
            assert_eq!(app.deliver("msg_1").await, HANDLED, "{reply:?}");
            assert_eq!(
                app.handler.started(),
                again,
                "{reply:?}, settles: {settles}"
            );
        }
    }
}

#[tokio::test]
async fn a_claim_says_how_long() {
    let guard = Scripted::new(|_| Reply::Works);
    let app = App::under([Step::Answer(200)], &guard);
    assert_eq!(app.deliver("msg_1").await, HANDLED);
    let seen = app.handler.seen.lock().unwrap()[0].clone();
    // The body may take 10 s, what follows 10 s, and the guard 2 s.
    let retention = SECOND * (25 * 60 * 60 + 22);
    assert_eq!(seen.copies_until(), app.clock.now() + retention);
    let claim = seen.hand_over_claim().unwrap();
    assert_eq!(
        (claim.lease(), claim.retention()),
        (SECOND * 120, retention)
    );
    let copies = App::with([Step::Answer(200)], |builder| {
        builder.without_replay_protection().retention(Duration::MAX)
    });
    assert_eq!(copies.deliver("msg_1").await, HANDLED);
    let seen = copies.handler.seen.lock().unwrap()[0].clone();
    assert!(seen.copies_until() > app.clock.now() + retention);
}

/// Claims that fail leave something to do for each; that is not in the way of what was handled.
#[tokio::test(start_paused = true)]
async fn claims_that_fail_do_not_crowd_out_a_settle() {
    let (fails, settles) = (Arc::new(AtomicBool::new(true)), AtomicUsize::new(0));
    let failing = Arc::clone(&fails);
    let guard = Scripted::new(move |operation| match operation {
        "claim" if failing.load(SeqCst) => Reply::FailsLate,
        "settle" if settles.fetch_add(1, SeqCst) == 0 => Reply::Fails,
        _ => Reply::Works,
    });
    let app = App::under([Step::Answer(200)], &guard);
    let failed: Vec<_> = (0..1100)
        .map(|number| app.spawn(&format!("fails_{number}")))
        .collect();
    for failed in failed {
        assert_eq!(failed.await.unwrap().unwrap().0, 503);
    }
    fails.store(false, SeqCst);
    assert_eq!(app.deliver("msg_1").await, HANDLED);
    sleep(SECOND * 5).await;
    assert_eq!(guard.settled(), 1, "in the background");
    let before = guard.calls().len();
    sleep(SECOND * 60).await;
    let after = guard.calls().len();
    assert!(after - before < 3500, "and they end soon");
    sleep(SECOND * 60).await;
    assert_eq!(guard.calls().len(), after);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_is_drained_when_nothing_is_left_to_do() {
    let drained = async |app: &App, within| {
        let drained = app.receiver.drained();
        tokio::time::timeout(within, drained).await.is_ok()
    };
    // A handler runs, also if its sender has left.
    let mut app = App::new([Step::Late(3)]);
    app.finish = true;
    let sent = app.spawn("msg_1");
    settle().await;
    sent.abort();
    assert!(!drained(&app, SECOND * 2).await);
    assert!(drained(&app, SECOND * 2).await);
    assert_eq!(app.handler.finished(), 1);

    // A handler is cut off, and its claim is released by a store that takes its time.
    let guard = Scripted::new(|operation| match operation {
        "release" => Reply::Late(SECOND * 3),
        _ => Reply::Works,
    });
    let app = App::under([Step::Never], &guard);
    let running = app.spawn("msg_1");
    settle().await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert!(!drained(&app, SECOND).await);
    assert!(drained(&app, SECOND * 4).await);
    assert!(guard.inner.is_empty(), "it is free for the retry");

    // A settle that was not answered.
    let guard = Scripted::new(|operation| match operation {
        "settle" => Reply::Late(SECOND * 5),
        _ => Reply::Works,
    });
    let app = App::under([Step::Answer(200)], &guard);
    assert_eq!(app.deliver("msg_1").await, HANDLED);
    assert!(drained(&app, SECOND * 10).await);
    assert_eq!(guard.settled(), 1);
    assert!(drained(&app, Duration::ZERO).await, "nothing is left");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_is_ready_when_its_guard_is() {
    let receiver = |ready: fn() -> GuardFuture<Vec<String>>| {
        let guard = Readiness(ready);
        let builder = WebhookReceiver::builder().signing_secret(testing::SECRET);
        builder.guard("test", guard).build().unwrap()
    };
    let concerns = || GuardFuture::ready(Ok(vec!["it may evict keys".to_owned()]));
    assert!(receiver(concerns).ready().await.is_ok());
    let fails = || GuardFuture::ready(Err(GuardError::broken("the table is missing")));
    let error = receiver(fails).ready().await.unwrap_err();
    assert!(matches!(error, NotReady::Guard(_)));
    assert!(
        error.to_string().contains("the table is missing"),
        "{error}"
    );
    let silent = || GuardFuture::boxed(pending());
    assert!(receiver(silent).ready().await.is_err());
    let panics = || panic!("the guard's own");
    assert!(receiver(panics).ready().await.is_err());
    let default = WebhookReceiver::builder().signing_secret(testing::SECRET);
    assert!(default.build().unwrap().ready().await.is_ok());
}

/// A guard that is only asked whether it is ready.
#[derive(Debug)]
struct Readiness(fn() -> GuardFuture<Vec<String>>);

impl ReplayGuard for Readiness {
    fn claim(&self, _: &ClaimKey, _: ClaimToken, _: Duration) -> GuardFuture<Claimed> {
        unreachable!("no delivery")
    }

    fn settle(&self, _: &ClaimKey, _: ClaimToken, _: Duration) -> GuardFuture<Settled> {
        unreachable!("no delivery")
    }

    fn release(&self, _: &ClaimKey, _: ClaimToken) -> GuardFuture<()> {
        unreachable!("no delivery")
    }

    fn ready(&self) -> GuardFuture<Vec<String>> {
        (self.0)()
    }
}

#[tokio::test]
async fn without_replay_protection_every_copy_runs() {
    let app = App::with(
        [Step::Answer(200); 2],
        WebhookReceiverBuilder::without_replay_protection,
    );
    for _ in 0..2 {
        assert_eq!(app.deliver("msg_1").await, HANDLED);
    }
    assert_eq!(app.handler.started(), 2);
    assert!(
        app.handler.seen.lock().unwrap()[0]
            .hand_over_claim()
            .is_none()
    );
}

#[test]
fn mistakes_of_configuration() {
    let good = || WebhookReceiver::builder().signing_secret(testing::SECRET);
    for (builder, mistake) in [
        (
            good().guard("", MemoryGuard::new()),
            ConfigError::NamespaceEmpty,
        ),
        (
            good().lease(SECOND * 34),
            ConfigError::LeaseTooShort {
                lease: SECOND * 34,
                longer_than: SECOND * 34,
            },
        ),
        (
            good().handler_timeout(SECOND * 116),
            ConfigError::LeaseTooShort {
                lease: SECOND * 120,
                longer_than: SECOND * 120,
            },
        ),
        (
            good().guard_timeout(SECOND * 45),
            ConfigError::LeaseTooShort {
                lease: SECOND * 120,
                longer_than: SECOND * 120,
            },
        ),
        (
            good().retention(SECOND * 599),
            ConfigError::RetentionTooShort {
                retention: SECOND * 599,
                at_least: SECOND * 600,
            },
        ),
        (
            good().guard_timeout(Duration::ZERO),
            ConfigError::Zero {
                setting: "guard_timeout",
            },
        ),
    ] {
        assert_eq!(builder.build().map(drop), Err(mistake));
    }
    for builder in [
        good().lease(SECOND * 35),
        good().retention(SECOND * 600),
        good()
            .handler_timeout(SECOND * 300)
            .without_replay_protection(),
    ] {
        assert!(builder.build().is_ok());
    }
}

/// A body that never comes.
struct Never;

impl Body for Never {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Pending
    }
}

/// How a guard answers.
#[derive(Clone, Copy, Debug)]
enum Reply {
    /// As a memory guard does.
    Works,
    /// So much later.
    Late(Duration),
    Fails,
    FailsLate,
    Never,
}

type Check = Box<dyn FnOnce() + Send>;

/// A memory guard that answers as it is told to, and remembers what it was asked.
#[derive(Clone)]
struct Scripted {
    inner: Arc<MemoryGuard>,
    reply: Arc<dyn Fn(&'static str) -> Reply + Send + Sync>,
    at_release: Arc<Mutex<Option<Check>>>,
    calls: Arc<Mutex<Vec<&'static str>>>,
    settled: Arc<AtomicUsize>,
    panics: Arc<AtomicBool>,
}

impl Scripted {
    fn new(reply: impl Fn(&'static str) -> Reply + Send + Sync + 'static) -> Self {
        Self {
            inner: Arc::default(),
            reply: Arc::new(reply),
            at_release: Arc::default(),
            calls: Arc::default(),
            settled: Arc::default(),
            panics: Arc::default(),
        }
    }

    fn at_release(&self, check: impl FnOnce() + Send + 'static) {
        *self.at_release.lock().unwrap() = Some(Box::new(check));
    }

    fn panic_at_release(&self) {
        self.panics.store(true, SeqCst);
    }

    fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().unwrap().clone()
    }

    fn settled(&self) -> usize {
        self.settled.load(SeqCst)
    }

    fn reply<T: Send + 'static>(
        &self,
        operation: &'static str,
        answer: impl FnOnce(&MemoryGuard) -> GuardFuture<T> + Send + 'static,
    ) -> GuardFuture<T> {
        self.calls.lock().unwrap().push(operation);
        let inner = Arc::clone(&self.inner);
        match (self.reply)(operation) {
            Reply::Works => answer(&inner),
            Reply::Late(time) => GuardFuture::boxed(async move {
                sleep(time).await;
                answer(&inner).await
            }),
            Reply::Fails => GuardFuture::ready(Err(GuardError::unavailable("it is down"))),
            Reply::FailsLate => GuardFuture::boxed(async move {
                sleep(SECOND).await;
                Err(GuardError::broken("it is not set up"))
            }),
            Reply::Never => GuardFuture::boxed(pending()),
        }
    }
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripted")
    }
}

impl ReplayGuard for Scripted {
    fn claim(&self, key: &ClaimKey, token: ClaimToken, lease: Duration) -> GuardFuture<Claimed> {
        let key = key.clone();
        self.reply("claim", move |inner| inner.claim(&key, token, lease))
    }

    fn settle(&self, key: &ClaimKey, token: ClaimToken, time: Duration) -> GuardFuture<Settled> {
        let (key, settled) = (key.clone(), Arc::clone(&self.settled));
        self.reply("settle", move |inner| {
            settled.fetch_add(1, SeqCst);
            inner.settle(&key, token, time)
        })
    }

    fn release(&self, key: &ClaimKey, token: ClaimToken) -> GuardFuture<()> {
        if let Some(check) = self.at_release.lock().unwrap().take() {
            check();
        }
        let key = key.clone();
        let answer = self.reply("release", move |inner| inner.release(&key, token));
        assert!(!self.panics.load(SeqCst), "the guard's own");
        answer
    }

    fn ready(&self) -> GuardFuture<Vec<String>> {
        GuardFuture::ready(Ok(Vec::new()))
    }
}
