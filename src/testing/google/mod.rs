//! [`MockGoogle`]: a mock of the Gemini API for tests, with webhooks, jobs and deliveries.
//!
//! It plays what is known of Google's service, and only as much of the API as webhooks need: no
//! model answers. If the service's behaviour is not known, the mock is strict, so that code that
//! works with the mock should work with Google. The items say where it guesses.
//! - **WebhookService**, under `/v1` and `/v1beta`: create, get, list, update, delete, rotate,
//!   ping. It refuses a member, a parameter, a path of `update_mask` or a type of event that the
//!   service does not know, names in camel case, and a `page_size` above 1000. An update applies
//!   its body, and ignores the mask. Lists have no meaningful order, and their page tokens contain
//!   control characters and line breaks.
//! - **Jobs** that can carry a `webhook_config`: batches, interactions, triggers, and videos
//!   (which start under `/v1beta` only). The config is refused in the wrong spelling. A job runs until your test ends
//!   it: [`finish_batch`](MockGoogle::finish_batch),
//!   [`set_interaction`](MockGoogle::set_interaction), [`finish_video`](MockGoogle::finish_video).
//! - **Deliveries**. If the job has URIs of its own, they go there, signed `v1a` with one of three
//!   published keys in turn. Otherwise they go to the webhooks that are subscribed, signed `v1`
//!   with every secret that is valid. A delivery that is not answered with a 2xx within 5 seconds
//!   is retried after 5 s, 10 s, 20 s and so on up to an hour, for 24 hours, with the same id and a
//!   new timestamp. After 10 failures in a row the webhook is `disabled_due_to_failed_deliveries`,
//!   and its pending deliveries are given up.
//!
//! **You control the time.** The first attempt is made at once. A retry is made only when you call
//! [`deliver_due`](MockGoogle::deliver_due), if it is due by the mock's
//! [clock](MockGoogleBuilder::clock), or [`retry_now`](MockGoogle::retry_now). In a test, give the
//! mock and the receiver the same [`ManualClock`](super::ManualClock). A program to develop against
//! calls `deliver_due` every second, as `examples/google_mock.rs` does.
//!
//! **It stays on this machine.** Webhooks with an `https` URI are registered, and their deliveries
//! fail unless [`forward`](MockGoogle::forward) sends them to a local port.
//!
//! **You control what goes wrong**: [`fail`](MockGoogle::fail) for calls,
//! [`disturb`](MockGoogle::disturb) for deliveries.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::{Client, Url, redirect};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::error::Chain;
use crate::loopback::is_loopback;

mod batches;
mod builder;
mod call;
mod error;
mod fault;
mod fields;
mod interactions;
mod keys;
mod outbox;
mod pages;
mod random;
mod refusal;
mod secrets;
mod server;
mod time;
mod videos;
mod webhooks;

pub use batches::BatchOutcome;
pub use builder::MockGoogleBuilder;
pub use call::Call;
pub use error::MockError;
pub use fault::{DeliveryFault, Fault};
pub use interactions::InteractionStatus;
pub use outbox::{Attempt, SentEvent};
pub use refusal::ErrorShape;
pub use server::Received;
pub use videos::VideoOutcome;

use interactions::Interaction;
use outbox::Sending;
use time::Now;
use videos::Video;

/// The API key that a [`MockGoogle`] accepts by default.
pub const API_KEY: &str = "mock-api-key";

/// A mock of the Gemini API on a port of this machine: webhooks, jobs, and signed deliveries.
///
/// Your code calls [`base_url`](Self::base_url) as it would call Google, with [`API_KEY`]. Your
/// test says how a job ends, and the mock sends the event, signed as Google signs. The
/// [module](self) says what it plays. It ends when it is dropped.
///
/// ```
/// use axum::{Router, http::StatusCode, routing::post};
/// use gemini_webhooks::testing::google::{API_KEY, BatchOutcome, MockGoogle};
/// use gemini_webhooks::{EndpointToken, GeminiEvent, VerifyLayer, WebhookReceiver};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let google = MockGoogle::start().await?;
///
/// // The app, with the mock's keys in place of Google's.
/// let token = EndpointToken::generate()?;
/// let receiver = WebhookReceiver::builder()
///     .jwks_url(google.jwks_url())
///     .endpoint_token(token.clone())
///     .build()?;
/// let on_event = post(async |_event: GeminiEvent| StatusCode::OK);
/// let callback = on_event.layer(VerifyLayer::new(receiver));
/// let app = Router::new().route("/gemini-callback", callback);
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let callback = format!("http://{}/gemini-callback", listener.local_addr()?);
/// tokio::spawn(async move { axum::serve(listener, app).await });
///
/// // A job that calls back.
/// let base = google.base_url();
/// let created = reqwest::Client::new()
///     .post(format!("{base}/v1/models/gemini-3:batchGenerateContent"))
///     .header("x-goog-api-key", API_KEY)
///     .body(serde_json::json!({"batch": {
///         "inputConfig": {"fileName": "files/7"},
///         "webhookConfig": {"uris": [token.url(&callback)]},
///     }}).to_string())
///     .send()
///     .await?;
/// let batch: serde_json::Value = serde_json::from_slice(&created.bytes().await?)?;
///
/// let name = batch["name"].as_str().unwrap();
/// google.finish_batch(name, BatchOutcome::Succeeded).await?;
/// assert!(google.deliveries()[0].is_delivered);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MockGoogle {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

struct Shared {
    state: Mutex<State>,
    clock: Box<dyn Clock>,
    api_keys: Vec<String>,
    http: Client,
    /// How many attempts wait for their answer.
    under_way: watch::Sender<usize>,
    attempts: Mutex<JoinSet<()>>,
}

struct State {
    random: random::Random,
    keys: keys::Keys,
    webhooks: BTreeMap<String, webhooks::Webhook>,
    batches: BTreeMap<String, batches::Batch>,
    interactions: BTreeMap<String, interactions::Interaction>,
    triggers: BTreeMap<String, interactions::Trigger>,
    videos: BTreeMap<String, videos::Video>,
    outbox: outbox::Outbox,
    /// Origins and what is asked in their place.
    forwarded: BTreeMap<String, String>,
    disable_after: u32,
    error_shape: ErrorShape,
    received: Vec<Received>,
    faults: VecDeque<(Call, Fault)>,
    delivery_faults: VecDeque<DeliveryFault>,
}

impl MockGoogle {
    /// Starts a mock on a free port of the loopback interface, with the system's clock.
    ///
    /// # Errors
    ///
    /// There is no free port, or the operating system gave no random bytes.
    pub async fn start() -> std::io::Result<Self> {
        Self::builder().start().await
    }

    /// Returns a builder, to set the clock, the API keys or the port.
    pub fn builder() -> MockGoogleBuilder {
        MockGoogleBuilder::new()
    }

    /// Returns the base URL to use instead of `https://generativelanguage.googleapis.com`.
    ///
    /// It has no slash at the end.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the URL of the public keys, for `jwks_url`.
    #[must_use]
    pub fn jwks_url(&self) -> String {
        format!("{}/.well-known/jwks.json", self.base_url())
    }

    /// Returns every request so far, the oldest first, including those for public keys.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.shared.with(|state, _| state.received.clone())
    }

    /// Makes the next `times` requests of this kind fail.
    ///
    /// Faults that were set before come first.
    pub fn fail(&self, call: Call, times: usize, fault: Fault) {
        let faults = std::iter::repeat_n((call, fault), times);
        self.shared.with(|state, _| state.faults.extend(faults));
    }

    /// Sets the shape of errors from now on.
    pub fn set_error_shape(&self, shape: ErrorShape) {
        self.shared.with(|state, _| state.error_shape = shape);
    }

    /// Replaces the oldest public key with a new one, which signs the next dynamic delivery.
    pub fn rotate_keys(&self) {
        self.shared
            .with(|state, _| state.keys.rotate(&mut state.random));
    }

    /// Sends this `Cache-Control` with the public keys from now on.
    ///
    /// By default there is none, and a value that is not valid in a header is ignored.
    pub fn set_cache_control(&self, value: &str) {
        self.shared
            .with(|state, _| state.keys.cache_control = Some(value.to_owned()));
    }

    /// Sends deliveries for one origin to another one on this machine.
    ///
    /// For instance those for `https://my-api.com` to `http://127.0.0.1:8080`. Nothing is sent to
    /// other machines in any case.
    pub fn forward(&self, origin: &str, to: &str) {
        let [origin, to] = [origin, to].map(|url| url.trim_end_matches('/').to_owned());
        self.shared
            .with(|state, _| state.forwarded.insert(origin, to));
    }

    /// Moves a batch from `BATCH_STATE_PENDING` to `BATCH_STATE_RUNNING`.
    ///
    /// `id` may have `batches/` in front.
    ///
    /// # Errors
    ///
    /// There is no such batch, or it has ended.
    pub fn begin_batch(&self, id: &str) -> Result<(), MockError> {
        self.shared
            .with(|state, now| batches::begin(state, id, now))
    }

    /// Ends a batch, and sends its events.
    ///
    /// When this returns, each was sent once. `id` may have `batches/` in front.
    ///
    /// # Errors
    ///
    /// There is no such batch, or it has ended.
    pub async fn finish_batch(&self, id: &str, outcome: BatchOutcome) -> Result<(), MockError> {
        self.shared
            .with(|state, now| batches::finish(state, id, outcome, now))?;
        self.deliver_due().await;
        Ok(())
    }

    /// Sets the status of an interaction, and sends the event of that status, if it has one.
    ///
    /// When this returns, the event was sent once.
    ///
    /// # Errors
    ///
    /// There is no such interaction, or it has ended.
    pub async fn set_interaction(
        &self,
        id: &str,
        status: InteractionStatus,
    ) -> Result<(), MockError> {
        self.shared
            .with(|state, now| interactions::reach(state, id, status, now))?;
        self.deliver_due().await;
        Ok(())
    }

    /// Starts the interaction that a trigger has on its schedule, and returns its id.
    ///
    /// # Errors
    ///
    /// There is no such trigger.
    pub fn fire_trigger(&self, id: &str) -> Result<String, MockError> {
        self.shared
            .with(|state, now| interactions::fire(state, id, now))
    }

    /// Ends a video, and sends its events.
    ///
    /// When this returns, each was sent once. `name` is the name of the operation.
    ///
    /// # Errors
    ///
    /// There is no such operation, or it has ended.
    pub async fn finish_video(&self, name: &str, outcome: VideoOutcome) -> Result<(), MockError> {
        self.shared
            .with(|state, now| videos::finish(state, name, outcome, now))?;
        self.deliver_due().await;
        Ok(())
    }

    /// Returns the names of all jobs that were started, also of those whose caller never learned it.
    ///
    /// They are in the form in which the calls that end a job take them, and in no order that means anything.
    #[must_use]
    pub fn job_names(&self) -> Vec<String> {
        self.shared.with(|state, _| {
            let batches = state.batches.keys().map(|id| format!("batches/{id}"));
            let others = state.interactions.keys().chain(state.videos.keys());
            batches.chain(others.cloned()).collect()
        })
    }

    /// Returns a job as the service answers a `GET` for it, without a request.
    ///
    /// `name` is that of a batch, with or without `batches/` in front, of an interaction, or of the operation of a video.
    /// `None` if there is no such job.
    #[must_use]
    pub fn job(&self, name: &str) -> Option<serde_json::Value> {
        self.shared.with(|state, _| {
            let interaction = || state.interactions.get(name).map(Interaction::json);
            let video = || state.videos.get(name).map(Video::json);
            batches::find(state, name)
                .or_else(interaction)
                .or_else(video)
        })
    }

    /// Forgets a job, so that the service has none of this name: a `GET` is answered with Google's 404.
    ///
    /// `name` is that of a batch, with or without `batches/` in front, of an interaction, or of the operation of a video.
    /// Deliveries that are pending stay so.
    ///
    /// # Errors
    ///
    /// There is no such job.
    pub fn forget_job(&self, name: &str) -> Result<(), MockError> {
        self.shared.with(|state, _| {
            let is_forgotten = batches::forget(state, name)
                || state.interactions.remove(name).is_some()
                || state.videos.remove(name).is_some();
            is_forgotten
                .then_some(())
                .ok_or_else(|| MockError::unknown("job", name))
        })
    }

    /// Makes the retries that are due by the clock, and waits for the answers.
    ///
    /// It also waits for deliveries that are under way, such as that of a ping.
    pub async fn deliver_due(&self) {
        self.shared.send_due();
        let mut under_way = self.shared.under_way.subscribe();
        // It fails when nobody sends any more; `shared` does.
        let _ = under_way.wait_for(|count| *count == 0).await;
    }

    /// Retries every pending delivery, due or not, and waits for the answers.
    pub async fn retry_now(&self) {
        self.shared.with(|state, now| state.outbox.hurry(now));
        self.deliver_due().await;
    }

    /// Returns every event so far, the oldest first, with its attempts.
    #[must_use]
    pub fn deliveries(&self) -> Vec<SentEvent> {
        self.shared.with(|state, _| state.outbox.sent())
    }

    /// Disturbs the next `times` attempts to deliver an event.
    ///
    /// Faults that were set before come first.
    pub fn disturb(&self, times: usize, fault: DeliveryFault) {
        let faults = std::iter::repeat_n(fault, times);
        self.shared
            .with(|state, _| state.delivery_faults.extend(faults));
    }
}

impl Drop for MockGoogle {
    fn drop(&mut self) {
        self.server.abort();
        lock(&self.shared.attempts).abort_all();
    }
}

impl Shared {
    fn with<T>(&self, f: impl FnOnce(&mut State, Now) -> T) -> T {
        f(&mut lock(&self.state), Now::of(&*self.clock))
    }

    /// Sends what is due, in the background.
    fn send_due(self: &Arc<Self>) {
        let due = self.with(State::take_due);
        let mut attempts = lock(&self.attempts);
        while attempts.try_join_next().is_some() {}
        for sending in due {
            self.under_way.send_modify(|count| *count += 1);
            let shared = Arc::clone(self);
            attempts.spawn(async move {
                let answer = shared.send(&sending).await;
                shared.with(|state, now| state.answered(sending, answer, now));
                shared.under_way.send_modify(|count| *count -= 1);
            });
        }
    }

    /// The status that the receiver answers, or why there is none.
    async fn send(&self, sending: &Sending) -> Result<u16, String> {
        let url = Url::parse(&sending.uri).map_err(|error| error.to_string())?;
        let url = self.forwarded(url)?;
        let mut request = self
            .http
            .post(url)
            .header("content-type", "application/json")
            .body(sending.body.clone());
        for (name, value) in &sending.headers {
            request = request.header(*name, value);
        }
        match request.send().await {
            Ok(response) => Ok(response.status().as_u16()),
            Err(error) => Err(Chain(&error).to_string()),
        }
    }

    fn forwarded(&self, url: Url) -> Result<Url, String> {
        let origin = url.origin().ascii_serialization();
        let to = self.with(|state, _| state.forwarded.get(&origin).cloned());
        let url = match to {
            None => url,
            Some(to) => {
                let rest = url.as_str().strip_prefix(&origin).unwrap_or_default();
                Url::parse(&format!("{to}{rest}")).map_err(|error| error.to_string())?
            }
        };
        match is_loopback(&url) {
            true => Ok(url),
            false => Err(format!(
                "{origin} is another machine; `forward` its deliveries to this one"
            )),
        }
    }
}

impl State {
    fn take_fault(&mut self, call: Call) -> Option<Fault> {
        let next = self.faults.iter().position(|(of, _)| *of == call)?;
        self.faults.remove(next).map(|(_, fault)| fault)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Nothing of what is inside: secrets are.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

fn http_client(patience: Duration) -> reqwest::Result<Client> {
    Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .timeout(patience)
        .user_agent("Google-Gemini-Webhooks-Mock")
        .build()
}
