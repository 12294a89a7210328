//! An app whose deliveries go through a guard.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use gemini_webhooks::replay::ReplayGuard;
use gemini_webhooks::testing::{SAMPLE_EVENTS, SECRET, sign_v1};
use gemini_webhooks::{
    Clock as _, Delivery, SystemClock, VerifyError, VerifyLayer, WebhookReceiver,
};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::time::{sleep, timeout};
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};

/// Longer than anything that must happen takes, on a busy machine.
const LONG: Duration = Duration::from_secs(60);
/// How long a delivery waits for the guard.
const PATIENCE: Duration = Duration::from_secs(1);

type Work = Arc<dyn Fn(&str) -> u16 + Send + Sync>;

/// A route with a handler that counts its runs.
#[derive(Clone)]
pub(crate) struct App {
    receiver: WebhookReceiver,
    work: Arc<Mutex<Work>>,
    runs: Arc<Mutex<HashMap<String, usize>>>,
    successes: Arc<Mutex<HashMap<String, usize>>>,
}

impl App {
    pub(crate) fn new(guard: impl ReplayGuard) -> Self {
        let receiver = WebhookReceiver::builder()
            .signing_secret(SECRET)
            .guard("faults", guard)
            .guard_timeout(PATIENCE)
            .build()
            .unwrap();
        Self {
            receiver,
            work: Arc::new(Mutex::new(Arc::new(|_: &str| 200))),
            runs: Arc::default(),
            successes: Arc::default(),
        }
    }

    /// Sets what the handler does with an event, and answers.
    pub(crate) fn work(&self, work: impl Fn(&str) -> u16 + Send + Sync + 'static) {
        *self.work.lock().unwrap() = Arc::new(work);
    }

    /// How often the handler has run with an event.
    pub(crate) fn runs(&self, id: &str) -> usize {
        count(&self.runs, id)
    }

    /// How often the handler has succeeded with an event.
    pub(crate) fn successes(&self, id: &str) -> usize {
        count(&self.successes, id)
    }

    /// Delivers an event once, with spaces in its id as underscores. What was refused comes with the
    /// reason.
    pub(crate) async fn deliver(&self, id: &str) -> (u16, String) {
        let (event, id) = (SAMPLE_EVENTS[0], &id.replace(' ', "_"));
        let now = SystemClock.now().duration_since(std::time::UNIX_EPOCH);
        let mut request = Request::post("/")
            .body(Full::new(Bytes::from(event)))
            .unwrap();
        let secret = SECRET.parse().unwrap();
        for (name, value) in sign_v1(&secret, id, now.unwrap().as_secs(), event) {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let app = self.clone();
        let handler = service_fn(move |request| handle(app.clone(), request));
        let service = VerifyLayer::new(self.receiver.clone()).layer(handler);
        let response = service.oneshot(request).await.unwrap();
        let error = response.extensions().get::<VerifyError>();
        let reason = error.map(ToString::to_string).unwrap_or_default();
        (response.status().as_u16(), reason)
    }

    pub(crate) async fn status(&self, id: &str) -> u16 {
        self.deliver(id).await.0
    }

    /// Delivers an event until it is answered 200, as Google does.
    pub(crate) async fn deliver_until_done(&self, id: &str) {
        let retries = async {
            while self.status(id).await != 200 {
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(LONG, retries)
            .await
            .unwrap_or_else(|_| panic!("{id} was not handled within {LONG:?}"));
    }

    /// Asserts that the guard does not work, and that the reason says why.
    pub(crate) async fn assert_unavailable(&self, id: &str, why: &[&str]) {
        let (status, reason) = self.deliver(id).await;
        assert_eq!(status, 503, "{reason}");
        for why in why {
            assert!(reason.contains(why), "no {why:?} in: {reason}");
        }
    }
}

async fn handle(
    app: App,
    request: Request<Full<Bytes>>,
) -> Result<Response<Full<Bytes>>, BoxError> {
    let id = request
        .extensions()
        .get::<Delivery>()
        .unwrap()
        .id()
        .to_owned();
    *app.runs.lock().unwrap().entry(id.clone()).or_default() += 1;
    let work = Arc::clone(&app.work.lock().unwrap());
    let status = StatusCode::from_u16(work(&id))?;
    if status.is_success() {
        *app.successes.lock().unwrap().entry(id).or_default() += 1;
    }
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    Ok(response)
}

fn count(counts: &Mutex<HashMap<String, usize>>, id: &str) -> usize {
    let id = id.replace(' ', "_");
    *counts.lock().unwrap().get(&id).unwrap_or(&0)
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !is_so().await {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LONG, asking)
        .await
        .unwrap_or_else(|_| panic!("not within {LONG:?}: {what}"));
}
