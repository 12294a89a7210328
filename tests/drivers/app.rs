//! An app whose handler works in a transaction of its driver.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;
use gemini_webhooks::{
    Clock as _, Delivery, SystemClock, VerifyError, VerifyErrorKind, VerifyLayer, WebhookReceiver,
    testing,
};
use gemini_webhooks_sqlx::{SettleError, SettleErrorKind};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use standardwebhooks::Webhook;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};

use crate::rigs::Driver;
use crate::store::Store;

/// The work of an event: a second run of it would leave a second row.
pub(crate) const WORK: &str = "INSERT INTO work (event) VALUES ($1)";

const EVENT: &str = testing::SAMPLE_EVENTS[0];

/// Where a run stops, until the test lets it go on with an answer.
struct Stop<T> {
    reached: oneshot::Sender<()>,
    go: oneshot::Receiver<T>,
}

impl<T> Stop<T> {
    fn new() -> (Self, Gate<T>) {
        let ((reached, is_reached), (open, go)) = (oneshot::channel(), oneshot::channel());
        let gate = Gate { is_reached, open };
        (Self { reached, go }, gate)
    }

    async fn wait(self) -> T {
        self.reached.send(()).unwrap();
        self.go.await.unwrap()
    }
}

/// The test's side of a [`Stop`].
pub(crate) struct Gate<T> {
    is_reached: oneshot::Receiver<()>,
    open: oneshot::Sender<T>,
}

impl<T> Gate<T> {
    /// Waits until the run has come here.
    pub(crate) async fn reached(&mut self) {
        (&mut self.is_reached).await.unwrap();
    }

    pub(crate) fn go(self, answer: T) {
        assert!(self.open.send(answer).is_ok(), "the run has ended");
    }
}

/// How a transaction ends, once it has done its work and settled its claim.
pub(crate) struct End(EndKind);

enum EndKind {
    Commit,
    RollBack,
    AsTold(Stop<bool>),
}

impl End {
    pub(crate) async fn commits(self) -> bool {
        match self.0 {
            EndKind::Commit => true,
            EndKind::RollBack => false,
            EndKind::AsTold(stop) => stop.wait().await,
        }
    }
}

/// What the handler does once.
pub(crate) struct Run {
    begin: Option<Stop<()>>,
    end: End,
    status: u16,
}

impl Run {
    pub(crate) fn commits(status: u16) -> Self {
        Self::new(status, EndKind::Commit)
    }

    pub(crate) fn rolls_back(status: u16) -> Self {
        Self::new(status, EndKind::RollBack)
    }

    /// Its transaction stays open until it is told whether to commit.
    pub(crate) fn stays_open(status: u16) -> (Self, Gate<bool>) {
        let (stop, gate) = Stop::new();
        (Self::new(status, EndKind::AsTold(stop)), gate)
    }

    /// It does not begin its transaction until it is told to.
    pub(crate) fn begins_late(self) -> (Self, Gate<()>) {
        let (stop, gate) = Stop::new();
        let begin = Some(stop);
        (Self { begin, ..self }, gate)
    }

    fn new(status: u16, end: EndKind) -> Self {
        Self {
            begin: None,
            end: End(end),
            status,
        }
    }
}

/// What is answered: a status, and why if the receiver says so.
pub(crate) type Answered = (u16, Option<VerifyErrorKind>);

/// An app, with a receiver and a pool of its own.
#[derive(Clone)]
pub(crate) struct App<D> {
    receiver: WebhookReceiver,
    driver: D,
    runs: Arc<Mutex<VecDeque<Run>>>,
    errors: Arc<Mutex<Vec<SettleErrorKind>>>,
}

impl<D: Driver> App<D> {
    pub(crate) async fn new(store: &Store) -> Self {
        Self {
            receiver: store.receiver(),
            driver: D::connect(store.url()).await,
            runs: Arc::default(),
            errors: Arc::default(),
        }
    }

    /// What the next deliveries that are handled do. There must be no other.
    pub(crate) fn expect(&self, runs: impl IntoIterator<Item = Run>) {
        self.runs.lock().unwrap().extend(runs);
    }

    /// Sends the event under an id, and returns the answer.
    pub(crate) async fn deliver(&self, id: &str) -> Answered {
        let app = self.clone();
        let inner = service_fn(move |request| app.clone().handle(request));
        let service = VerifyLayer::new(self.receiver.clone()).layer(inner);
        let response = service.oneshot(signed(id)).await.unwrap();
        let kind = response.extensions().get::<VerifyError>();
        (response.status().as_u16(), kind.map(VerifyError::kind))
    }

    pub(crate) fn spawn(&self, id: &'static str) -> JoinHandle<Answered> {
        let app = self.clone();
        tokio::spawn(async move { app.deliver(id).await })
    }

    async fn handle(
        self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Full<Bytes>>, BoxError> {
        let delivery: &Delivery = request.extensions().get().unwrap();
        let run = self.runs.lock().unwrap().pop_front();
        let run = run.expect("the handler runs once too often");
        if let Some(stop) = run.begin {
            stop.wait().await;
        }
        let mut response = Response::new(Full::default());
        *response.status_mut() = match self.driver.transaction(delivery, run.end).await {
            Ok(()) => StatusCode::from_u16(run.status)?,
            Err(error) => {
                let Some(error) = error.downcast_ref::<SettleError>() else {
                    panic!("the driver: {error:?}");
                };
                self.errors.lock().unwrap().push(error.kind());
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Ok(response)
    }

    /// What `settle_in` has failed with.
    pub(crate) fn errors(&self) -> Vec<SettleErrorKind> {
        self.errors.lock().unwrap().clone()
    }

    /// How many runs are still to come.
    pub(crate) fn left(&self) -> usize {
        self.runs.lock().unwrap().len()
    }
}

/// A delivery as the official library signs it.
fn signed(id: &str) -> Request<Full<Bytes>> {
    let now = SystemClock.now().duration_since(SystemTime::UNIX_EPOCH);
    let now = i64::try_from(now.unwrap().as_secs()).unwrap();
    let official = Webhook::new(testing::SECRET).unwrap();
    Request::post("/")
        .header("webhook-id", id)
        .header("webhook-timestamp", now)
        .header(
            "webhook-signature",
            official.sign(id, now, EVENT.as_bytes()).unwrap(),
        )
        .body(Full::from(EVENT))
        .unwrap()
}
