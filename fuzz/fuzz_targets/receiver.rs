//! A receiver under deliveries that come in pieces, beside each other, again, late, and are given up at any
//! point: an event whose handler has succeeded is not handled again, one that was given up is free, and the
//! memory of bodies is given back.
#![cfg_attr(fuzzing, no_main)]

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use arbitrary::Arbitrary;
use bytes::Bytes;
use gemini_webhooks::testing::{self, ManualClock};
use gemini_webhooks::{Clock as _, Delivery, SigningSecret, VerifyLayer, WebhookReceiver};
use gemini_webhooks_fuzz::fuzz_target;
use http::{Request, Response, Version};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full};
use tower::util::BoxCloneService;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};

const EVENTS: u8 = 3;
const MAX_BODY: usize = 16 * 1024;
/// The time after which the claim of an event that has not ended is free.
const LEASE: Duration = Duration::from_secs(120);

static SECRET: LazyLock<SigningSecret> =
    LazyLock::new(|| testing::SECRET.parse().expect("it is a secret"));

#[derive(Arbitrary, Debug)]
struct Input {
    /// Whether a handler that has begun goes on without the request.
    detached: bool,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Send(Sent),
    /// The request is polled once.
    Poll {
        request: u8,
    },
    GiveUp {
        request: u8,
    },
    /// Both clocks go on.
    Wait {
        seconds: u8,
    },
    /// The wall clock is set.
    Set {
        seconds: i16,
    },
}

#[derive(Arbitrary, Debug)]
struct Sent {
    event: u8,
    /// How long each piece of the body is; zero is a pause.
    pieces: Vec<u8>,
    /// Spaces behind the event.
    padding: u16,
    /// Where the body breaks off.
    breaks_off: Option<u8>,
    tampered: bool,
    /// Of the timestamp.
    skew: i16,
    http2: bool,
    handler: Handler,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Handler {
    Succeeds { polls: u8 },
    Fails { polls: u8 },
    Hangs,
}

/// What the handlers have done with an event.
#[derive(Default)]
struct Event {
    /// The run that holds the claim, and when it began.
    holder: Option<(u64, Duration)>,
    settled: bool,
    runs: u64,
}

#[derive(Clone)]
struct Shared {
    events: Arc<Mutex<[Event; EVENTS as usize]>>,
    clock: ManualClock,
    start: std::time::Instant,
}

impl Shared {
    fn events(&self) -> MutexGuard<'_, [Event; EVENTS as usize]> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed(&self) -> Duration {
        self.clock.monotonic().duration_since(self.start)
    }

    fn begin(&self, event: usize) -> Run {
        let now = self.elapsed();
        let known = &mut self.events()[event];
        assert!(!known.settled, "a handled event is handled again");
        if let Some((_, began)) = known.holder {
            assert!(now >= began + LEASE, "two handlers run at once");
        }
        known.runs += 1;
        known.holder = Some((known.runs, now));
        Run {
            shared: self.clone(),
            event,
            number: known.runs,
        }
    }
}

/// A run of a handler, until it ends or is dropped.
struct Run {
    shared: Shared,
    event: usize,
    number: u64,
}

impl Run {
    fn succeeded(self) {
        let now = self.shared.elapsed();
        let known = &mut self.shared.events()[self.event];
        let is_of_another =
            |(number, began): (u64, Duration)| number != self.number && now < began + LEASE;
        // A run whose claim has gone to another one is logged, and changes nothing.
        known.settled |= !known.holder.is_some_and(is_of_another);
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let known = &mut self.shared.events()[self.event];
        if known
            .holder
            .is_some_and(|(number, _)| number == self.number)
        {
            known.holder = None;
        }
    }
}

/// A body that comes in pieces, or breaks off.
struct Pieces {
    body: Bytes,
    pieces: std::vec::IntoIter<u8>,
    breaks_off: Option<u8>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(left) = &mut self.breaks_off {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => return Poll::Ready(Some(Err("the sender is gone".into()))),
            }
        }
        let length = match self.pieces.next() {
            Some(0) => {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            // Also longer than a body may be.
            Some(length) => usize::from(length) * 64,
            None => self.body.len(),
        };
        if self.body.is_empty() {
            return Poll::Ready(None);
        }
        let length = length.min(self.body.len());
        Poll::Ready(Some(Ok(Frame::data(self.body.split_to(length)))))
    }
}

type Service = BoxCloneService<Request<Pieces>, u16, Infallible>;

fn service(shared: &Shared, detached: bool) -> Service {
    let receiver = WebhookReceiver::builder()
        .signing_secret(testing::SECRET)
        .clock(shared.clock.clone())
        .lease(LEASE)
        .max_body_bytes(MAX_BODY)
        .max_buffered_bytes(MAX_BODY)
        .build()
        .expect("the settings are valid");
    let shared = shared.clone();
    let inner = service_fn(move |request: Request<Full<Bytes>>| handle(shared.clone(), request));
    let layer = VerifyLayer::new(receiver);
    if detached {
        with_status(layer.finish_once_started().layer(inner))
    } else {
        with_status(layer.layer(inner))
    }
}

fn with_status<S, B>(service: S) -> Service
where
    S: tower::Service<Request<Pieces>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    let status = |response: Response<B>| response.status().as_u16();
    BoxCloneService::new(service.map_response(status))
}

async fn handle(
    shared: Shared,
    request: Request<Full<Bytes>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let extensions = request.extensions();
    let delivery = extensions.get::<Delivery>().expect("it was verified");
    let number: usize = delivery
        .id()
        .trim_start_matches("msg_")
        .parse()
        .expect("it is ours");
    let handler = *extensions.get::<Handler>().expect("an extension stays");
    let sent = extensions
        .get::<Bytes>()
        .expect("an extension stays")
        .clone();
    let run = shared.begin(number);
    let Ok(body) = request.into_body().collect().await;
    assert_eq!(body.to_bytes(), sent);
    let (polls, status) = match handler {
        Handler::Succeeds { polls } => (polls, 200),
        Handler::Fails { polls } => (polls, 500),
        Handler::Hangs => pending().await,
    };
    for _ in 0..polls % 8 {
        tokio::task::yield_now().await;
    }
    if status == 200 {
        run.succeeded();
    }
    let mut response = Response::new(Full::default());
    *response.status_mut() = status.try_into().expect("it is a status");
    Ok(response)
}

fn request(clock: &ManualClock, sent: Sent) -> Request<Pieces> {
    let number = sent.event % EVENTS;
    let event = format!(r#"{{"type":"batch.expired","data":{{"id":"batches/{number}"}}}}"#);
    // One more than the limit is to be refused.
    let padding = usize::from(sent.padding) % (MAX_BODY + 2 - event.len());
    let mut body = event.into_bytes();
    body.resize(body.len() + padding, b' ');
    let timestamp = clock.unix_seconds().saturating_add_signed(sent.skew.into());
    let lines = testing::sign_v1(&SECRET, &format!("msg_{number}"), timestamp, &body);
    if sent.tampered {
        body[0] ^= 1;
    }
    let body = Bytes::from(body);
    let request = Request::post("/").body(Pieces {
        body: body.clone(),
        pieces: sent.pieces.into_iter(),
        breaks_off: sent.breaks_off,
    });
    let mut request = request.expect("it is a request");
    for (name, value) in lines {
        request
            .headers_mut()
            .insert(name, value.parse().expect("it is a header"));
    }
    let extensions = request.extensions_mut();
    extensions.insert(sent.handler);
    extensions.insert(body);
    if sent.http2 {
        *request.version_mut() = Version::HTTP_2;
    }
    request
}

/// A request on its way, and whether it is genuine.
type OnItsWay = (bool, Pin<Box<dyn Future<Output = Result<u16, Infallible>>>>);

const MAX_STEPS: usize = 64;
const MAX_REQUESTS: usize = 8;

fuzz_target!(|input: Input| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime needs nothing");
    runtime.block_on(run(input));
});

async fn run(input: Input) {
    let clock = ManualClock::default();
    let shared = Shared {
        events: Arc::default(),
        start: clock.monotonic(),
        clock: clock.clone(),
    };
    let service = service(&shared, input.detached);
    let mut requests: Vec<OnItsWay> = Vec::new();
    let index =
        |request: u8, requests: &[OnItsWay]| usize::from(request).checked_rem(requests.len());
    for step in input.steps.into_iter().take(MAX_STEPS) {
        match step {
            Step::Send(_) if requests.len() == MAX_REQUESTS => {}
            Step::Send(sent) => {
                let is_genuine = !sent.tampered;
                let request = request(&clock, sent);
                requests.push((is_genuine, Box::pin(service.clone().oneshot(request))));
            }
            Step::Poll { request } => {
                if let Some(index) = index(request, &requests) {
                    let (is_genuine, future) = &mut requests[index];
                    let polled = poll_fn(|context| Poll::Ready(future.as_mut().poll(context)));
                    if let Poll::Ready(Ok(status)) = polled.await {
                        let is_answer = [200, 400, 408, 409, 413, 500, 503].contains(&status);
                        assert!(is_answer, "{status}");
                        assert!(*is_genuine || !matches!(status, 200 | 500), "{status}");
                        drop(requests.swap_remove(index));
                    }
                }
            }
            Step::GiveUp { request } => {
                if let Some(index) = index(request, &requests) {
                    drop(requests.swap_remove(index));
                }
            }
            Step::Wait { seconds } => {
                let time = Duration::from_secs(seconds.into());
                clock.advance(time);
                tokio::time::advance(time).await;
            }
            Step::Set { seconds } => {
                let now = clock.now();
                let by = Duration::from_secs(seconds.unsigned_abs().into());
                clock.set(if seconds < 0 { now - by } else { now + by });
            }
        }
        others().await;
    }
    drop(requests);
    // Handlers that go on alone end by their time limit. The leases go by the other clock, which stands.
    tokio::time::advance(Duration::from_secs(31)).await;
    others().await;

    for event in 0..EVENTS {
        let (settled, runs) = {
            let known = &shared.events()[usize::from(event)];
            (known.settled, known.runs)
        };
        // As long as all bodies may be: whatever was held of the others has to be free.
        let last = |padding| Sent {
            event,
            pieces: Vec::new(),
            padding,
            breaks_off: None,
            tampered: false,
            skew: 0,
            http2: false,
            handler: Handler::Succeeds { polls: 0 },
        };
        let length = request(&clock, last(0)).body().body.len();
        let padding = u16::try_from(MAX_BODY - length).expect("the limit is below 64 KiB");
        let Ok(status) = service
            .clone()
            .oneshot(request(&clock, last(padding)))
            .await;
        assert_eq!(status, 200, "event {event}");
        let known = &shared.events()[usize::from(event)];
        assert_eq!(known.runs, runs + u64::from(!settled));
    }
}

/// Lets the tasks of the receiver run.
async fn others() {
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}
