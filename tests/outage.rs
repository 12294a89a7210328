//! A store that fails for a while, and senders that go on: whether the receiver recovers.
#![cfg(all(feature = "testing", feature = "tower"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails loudly")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use gemini_webhooks::replay::{
    ClaimKey, ClaimToken, Claimed, GuardError, GuardFuture, MemoryGuard, ReplayGuard, Settled,
};
use gemini_webhooks::{
    Clock, Delivery, VerifyError, VerifyErrorKind, VerifyLayer, WebhookReceiver, testing,
};
use http::{Request, Response};
use http_body_util::Full;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};

const EVENT: &str = testing::SAMPLE_EVENTS[0];
const SECOND: Duration = Duration::from_secs(1);

/// The time of the runtime, which stands still while anything is to be done.
#[derive(Clone, Copy, Debug)]
struct RuntimeClock;

#[expect(
    clippy::disallowed_methods,
    reason = "the runtime's, which stands still"
)]
impl Clock for RuntimeClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
            + Duration::from_secs(1_800_000_000)
            + START.with(|start| self.monotonic() - *start)
    }

    fn monotonic(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

thread_local! {
    static START: Instant = RuntimeClock.monotonic();
}

/// A store behind a pool of connections. A request that was sent is carried out, whether or not
/// anyone waits for it: then its connection is free again.
#[derive(Clone, Debug)]
struct Store {
    connections: Arc<Semaphore>,
    up: watch::Receiver<bool>,
    rows: Arc<MemoryGuard>,
    asked: Arc<AtomicUsize>,
}

impl Store {
    fn new(connections: usize) -> (Self, watch::Sender<bool>) {
        let (up, is_up) = watch::channel(true);
        let store = Self {
            connections: Arc::new(Semaphore::new(connections)),
            up: is_up,
            rows: Arc::new(MemoryGuard::new().with_clock(RuntimeClock)),
            asked: Arc::default(),
        };
        (store, up)
    }

    fn carry_out<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&MemoryGuard) -> GuardFuture<T> + Send + 'static,
    ) -> GuardFuture<T> {
        let mut store = self.clone();
        GuardFuture::tracked(|reach| async move {
            let connections = Arc::clone(&store.connections);
            let connection = connections.acquire_owned().await.unwrap();
            reach.sent();
            store.asked.fetch_add(1, SeqCst);
            let request = tokio::spawn(async move {
                store.up.wait_for(|up| *up).await.unwrap();
                sleep(Duration::from_millis(20)).await;
                store.up.wait_for(|up| *up).await.unwrap();
                let answer = operation(&store.rows).await;
                drop(connection);
                answer
            });
            request.await.map_err(GuardError::unavailable)?
        })
    }
}

impl ReplayGuard for Store {
    fn claim(&self, key: &ClaimKey, token: ClaimToken, lease: Duration) -> GuardFuture<Claimed> {
        let key = key.clone();
        self.carry_out(move |rows| rows.claim(&key, token, lease))
    }

    fn settle(&self, key: &ClaimKey, token: ClaimToken, time: Duration) -> GuardFuture<Settled> {
        let key = key.clone();
        self.carry_out(move |rows| rows.settle(&key, token, time))
    }

    fn release(&self, key: &ClaimKey, token: ClaimToken) -> GuardFuture<()> {
        let key = key.clone();
        self.carry_out(move |rows| rows.release(&key, token))
    }

    fn ready(&self) -> GuardFuture<Vec<String>> {
        GuardFuture::ready(Ok(Vec::new()))
    }
}

/// An app, and what became of the events that were sent to it.
#[derive(Clone)]
struct App {
    receiver: WebhookReceiver,
    runs: Arc<Mutex<HashMap<String, usize>>>,
    /// When, after the start of the test, which answer came.
    answers: Arc<Mutex<Vec<Answer>>>,
    start: Instant,
}

#[derive(Clone, Debug)]
struct Answer {
    at: Duration,
    attempt: usize,
    took: Duration,
    /// None if the sender lost patience.
    status: Option<u16>,
    kind: Option<VerifyErrorKind>,
}

impl App {
    fn new(guard: Store) -> Self {
        let receiver = WebhookReceiver::builder()
            .signing_secret(testing::SECRET)
            .clock(RuntimeClock)
            .guard("test", guard)
            .build()
            .unwrap();
        Self {
            receiver,
            runs: Arc::default(),
            answers: Arc::default(),
            start: RuntimeClock.monotonic(),
        }
    }

    fn since_start(&self) -> Duration {
        RuntimeClock.monotonic() - self.start
    }

    async fn deliver(&self, id: &str) -> Result<(u16, Option<VerifyErrorKind>), BoxError> {
        let runs = Arc::clone(&self.runs);
        let handler = service_fn(move |request: Request<Full<Bytes>>| {
            let delivery: &Delivery = request.extensions().get().unwrap();
            *runs
                .lock()
                .unwrap()
                .entry(delivery.id().to_owned())
                .or_default() += 1;
            async {
                sleep(Duration::from_millis(5)).await;
                Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
            }
        });
        let now = RuntimeClock.now().duration_since(SystemTime::UNIX_EPOCH)?;
        let mut request = Request::post("/").body(Full::<Bytes>::from(EVENT))?;
        for (name, value) in testing::sign_v1(&testing::SECRET.parse()?, id, now.as_secs(), EVENT) {
            request.headers_mut().insert(name, value.parse()?);
        }
        let service = VerifyLayer::new(self.receiver.clone()).layer(handler);
        let response = service.oneshot(request).await?;
        let kind = response.extensions().get().map(VerifyError::kind);
        Ok((response.status().as_u16(), kind))
    }

    /// As Google does: a few seconds of patience, growing pauses, until there is a 2xx.
    async fn send_until_taken(self, id: String) {
        for attempt in 0..12 {
            let sent = self.since_start();
            let answer = timeout(SECOND * 5, self.deliver(&id)).await.ok();
            let answer = answer.map(Result::unwrap);
            self.answers.lock().unwrap().push(Answer {
                at: sent,
                attempt,
                took: self.since_start() - sent,
                status: answer.map(|(status, _)| status),
                kind: answer.and_then(|(_, kind)| kind),
            });
            if answer.is_some_and(|(status, _)| status == 200) {
                return;
            }
            sleep(SECOND * (1 << attempt.min(5))).await;
        }
        panic!("{id} was never taken");
    }
}

/// A pool of 5, 20 ms an operation, 100 events a second, and the store stands still for 10 s.
#[tokio::test(start_paused = true)]
async fn an_outage_ends_with_the_store() {
    let (store, up) = Store::new(5);
    let app = App::new(store.clone());
    let (dead, back, end) = (SECOND * 5, SECOND * 15, SECOND * 90);
    let mut senders = tokio::task::JoinSet::new();
    let mut asked_while_dead = 0;
    for number in 0.. {
        let now = app.since_start();
        if now >= end {
            break;
        }
        let is_up = now < dead || now >= back;
        if *up.borrow() && !is_up {
            asked_while_dead = store.asked.load(SeqCst);
        }
        if !*up.borrow() && is_up {
            asked_while_dead = store.asked.load(SeqCst) - asked_while_dead;
        }
        up.send_replace(is_up);
        senders.spawn(app.clone().send_until_taken(format!("msg_{number}")));
        sleep(Duration::from_millis(10)).await;
    }
    senders.join_all().await;

    assert!(
        asked_while_dead <= 5,
        "{asked_while_dead} requests sent to a dead store"
    );
    let answers = app.answers.lock().unwrap().clone();
    let in_time = |from, to| {
        let sent = answers
            .iter()
            .filter(move |answer| (from..to).contains(&answer.at));
        let sent = sent.filter(|answer| answer.attempt == 0);
        let good = sent.clone().filter(|answer| answer.status == Some(200));
        (good.count(), sent.count())
    };
    let (good, sent) = in_time(Duration::ZERO, dead - SECOND);
    assert_eq!(good, sent, "before the outage");
    let (good, _) = in_time(dead + SECOND, back - SECOND);
    assert_eq!(good, 0, "during the outage");
    // The retries of what was sent meanwhile come as well. The store can do 125 deliveries a second,
    // and all that it does is of use.
    let taken = answers.iter().filter(|answer| answer.status == Some(200));
    let taken = taken.filter(|answer| (back + SECOND..back + SECOND * 26).contains(&answer.at));
    let taken = taken.count();
    assert!(taken > 25 * 110, "{taken} in 25 seconds after the outage");
    let (good, sent) = in_time(back + SECOND * 35, end);
    assert!(sent > 3500);
    assert_eq!(good, sent, "within a minute after the outage");

    // After the first time-outs nobody waits for a store that is dead.
    let dead_for_long = dead + SECOND * 3..back - SECOND * 2;
    let silent = answers.iter().filter(|answer| answer.took > SECOND);
    let silent = silent.filter(|answer| dead_for_long.contains(&answer.at));
    let silent = silent.count();
    assert!(silent < 20, "{silent} deliveries waited");
    // No claim that was given up is left to its lease.
    let in_flight = |answer: &&Answer| answer.kind == Some(VerifyErrorKind::InFlight);
    let last = answers
        .iter()
        .filter(in_flight)
        .map(|answer| answer.at)
        .max();
    assert!(
        last.is_none_or(|at| at < back + SECOND * 5),
        "in flight at {last:?}"
    );
    let runs = app.runs.lock().unwrap();
    assert!(runs.values().all(|runs| *runs == 1), "each once");
}

/// Senders that leave while they wait for the store: what was sent for them is given up, by few
/// requests at a time.
#[tokio::test(start_paused = true)]
async fn senders_that_leave_do_not_crowd_out_others() {
    let (store, up) = Store::new(5);
    let app = App::new(store.clone());
    up.send_replace(false);
    for number in 0..2_000 {
        let (app, id) = (app.clone(), format!("msg_{number}"));
        tokio::spawn(async move { timeout(Duration::from_millis(100), app.deliver(&id)).await });
    }
    sleep(SECOND).await;
    assert_eq!(store.asked.load(SeqCst), 5, "the others were not sent");
    up.send_replace(true);
    sleep(SECOND).await;
    assert_eq!(store.asked.load(SeqCst), 10, "and five released");
    assert!(store.rows.is_empty());
    assert_eq!(app.deliver("msg_0").await.unwrap().0, 200);
}

/// A claim that is carried out long after it was given up is released when it is.
#[tokio::test(start_paused = true)]
async fn a_claim_that_lands_late_is_free_at_once() {
    for late in [SECOND * 3, SECOND * 15, SECOND * 50] {
        let (store, up) = Store::new(5);
        let app = App::new(store.clone());
        up.send_replace(false);
        let (status, kind) = app.deliver("msg_1").await.unwrap();
        assert_eq!(
            (status, kind),
            (503, Some(VerifyErrorKind::GuardUnavailable))
        );
        sleep(late).await;
        up.send_replace(true);
        sleep(SECOND * 17).await;
        assert_eq!(app.deliver("msg_1").await.unwrap().0, 200, "{late:?} late");
    }
}

/// The handler has run, and the store did not hear of it: it is told later.
#[tokio::test(start_paused = true)]
async fn a_settle_that_was_not_answered_is_made_later() {
    let (store, up) = Store::new(5);
    let app = App::new(store.clone());
    let delivery = tokio::spawn({
        let app = app.clone();
        async move { app.deliver("msg_1").await.unwrap() }
    });
    // The claim takes 20 ms, the handler 5.
    sleep(Duration::from_millis(22)).await;
    up.send_replace(false);
    assert_eq!(delivery.await.unwrap(), (200, None), "the answer goes out");
    sleep(SECOND * 60).await;
    up.send_replace(true);
    sleep(SECOND * 17).await;
    assert_eq!(app.deliver("msg_1").await.unwrap(), (200, None));
    assert_eq!(app.runs.lock().unwrap()["msg_1"], 1, "a repeat");
}
