//! Whose job it is: Google is asked, with the app's own API key.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::error::ClientErrorKind;
use super::http::{Call, Http};
use super::service::WebhookService;
#[cfg(feature = "receiver")]
use crate::error::BoxError;
use crate::event::GeminiEvent;
#[cfg(feature = "receiver")]
use crate::receiver::Delivery;

mod error;
mod job;
mod state;

pub use error::OwnershipError;
use error::Why;
use job::Job;
use state::State;

/// Requests under way at the same time.
const AT_ONCE: usize = 8;

/// A receiver gives its checks 2 seconds. A job waits this long for its turn,
const FOR_A_PLACE: Duration = Duration::from_millis(500);

/// and this long for the answer.
const DEADLINE: Duration = Duration::from_millis(1200);

type Outcome = Result<bool, OwnershipError>;

/// What `accept_if` wants of a check.
#[cfg(feature = "receiver")]
type Answer = std::pin::Pin<Box<dyn Future<Output = Result<bool, BoxError>> + Send>>;

/// Asks Google whether a job belongs to the project of the API key.
///
/// It is for dynamic webhooks, which Google signs with keys that all of its customers share: anyone with an API
/// key can have the events of their own jobs delivered to your URL. This reads the job that the event is about, with
/// your API key. As far as is known, only the project that started a job can read it; Google does not promise that,
/// and nothing here was tested against Google's live service.
///
/// [`WebhookService::owns`] is the short form. Use it beside an [`EndpointToken`](crate::EndpointToken), which stops
/// strangers before they cost a request.
///
/// | Google answers | [`owns`](Self::owns) returns |
/// |---|---|
/// | a success | `true` |
/// | 404, 410 or 403, in the form of Google's errors | `false` |
/// | a 403 about the API key or the project | an error |
/// | anything else, or nothing within 1.2 seconds | an error |
///
/// A receiver answers an error with 503, so Google sends the event again. An event that names no job, or whose type
/// this version does not know, is `false`: it cannot be asked about.
///
/// # Limits
///
/// Each question counts against the quota of your project, also one about a stranger's job.
///
/// - It asks at most 120 times in any minute ([`per_minute`](Self::per_minute)), 8 at a time. A question is one request,
///   which is not retried. At most 64 jobs wait for an answer. After a 429 it asks nothing for as long as `Retry-After` says, at
///   most a minute, or else for 10 seconds. Beyond these limits it returns an error.
/// - A job of yours is remembered for 25 hours, as Google retries for 24. Another is remembered for 5 minutes, because
///   a new job may not be visible at once. 10,000 of each are remembered in memory, at most about 1 KiB each.
/// - Many events of one job at the same time cost one request.
///
/// Clones share all of this, so make one for each process. Times are those of the service's
/// [clock](super::WebhookServiceBuilder::clock).
///
/// ```
/// use gemini_webhooks::client::WebhookService;
///
/// let service = WebhookService::builder().api_key("fake-key-123").build()?;
/// let ownership = service.ownership().per_minute(600);
/// # Ok::<(), gemini_webhooks::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Ownership {
    shared: Arc<Shared>,
}

struct Shared {
    http: Http,
    places: Semaphore,
    /// Held for a few instructions, never while something is awaited.
    state: Mutex<State>,
}

impl WebhookService {
    /// Returns a check for [`accept_if`](crate::WebhookReceiverBuilder::accept_if): whether the event is about a job
    /// of the project of the API key.
    ///
    /// It is [`ownership`](Self::ownership) with its [limits](Ownership#limits) as they are. Call it once for a
    /// receiver, and clone the receiver.
    ///
    /// ```
    /// # #[cfg(feature = "jwks")] {
    /// use gemini_webhooks::client::WebhookService;
    /// use gemini_webhooks::{ConfigError, EndpointToken, WebhookReceiver};
    ///
    /// fn receiver(
    ///     service: &WebhookService,
    ///     token: EndpointToken,
    /// ) -> Result<WebhookReceiver, ConfigError> {
    ///     WebhookReceiver::builder()
    ///         .google_keys()
    ///         .endpoint_token(token)
    ///         .accept_if(service.owns())
    ///         .build()
    /// }
    /// # let service = WebhookService::builder().api_key("fake-key-123").build().unwrap();
    /// # receiver(&service, EndpointToken::generate().unwrap()).unwrap();
    /// # }
    /// ```
    #[cfg(feature = "receiver")]
    pub fn owns(&self) -> impl Fn(GeminiEvent, Delivery) -> Answer + Clone + Send + Sync + 'static {
        self.ownership().check()
    }

    /// Returns what asks Google whether a job belongs to the project of the API key.
    ///
    /// Each call makes one with a memory and limits of its own.
    #[must_use]
    pub fn ownership(&self) -> Ownership {
        Ownership {
            shared: Arc::new(Shared {
                http: self.http().clone(),
                places: Semaphore::new(AT_ONCE),
                state: Mutex::default(),
            }),
        }
    }
}

impl Ownership {
    /// Sets how often Google is asked in any minute, at most. 120 by default.
    ///
    /// Take more than the jobs that you have end in a minute. With 0 Google is never asked, and every event about a
    /// job is an error.
    #[must_use]
    pub fn per_minute(self, questions: u32) -> Self {
        self.shared.lock().per_minute = questions;
        self
    }

    /// Returns whether the event is about a job of this project.
    ///
    /// Use it without a receiver, for instance for events from a queue. It takes at most 1.7 seconds. If the future is
    /// dropped, the request goes on, and its answer is remembered.
    ///
    /// ```no_run
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// use gemini_webhooks::{GeminiEvent, client::WebhookService};
    ///
    /// let ownership = WebhookService::from_env()?.ownership();
    /// let event = GeminiEvent::parse(r#"{"type":"batch.expired","data":{"id":"batches/8kq4"}}"#);
    /// if ownership.owns(&event).await? {
    ///     println!("a batch of ours has expired");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Google could not be asked, or gave no answer to the question. Try again later.
    pub async fn owns(&self, event: &GeminiEvent) -> Result<bool, OwnershipError> {
        let Some(job) = Job::of(event) else {
            return Ok(false);
        };
        let mut answer = match self.begin(&job)? {
            Begun::Known(owned) => return Ok(owned),
            Begun::Asked(answer) => answer,
        };
        let outcome = match answer.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            // The runtime of the task has ended.
            Err(_) => None,
        };
        outcome.unwrap_or_else(|| Err(OwnershipError::new(&job, Why::Ended)))
    }

    /// Returns [`owns`](Self::owns) as a check for [`accept_if`](crate::WebhookReceiverBuilder::accept_if).
    ///
    /// ```
    /// # let service = gemini_webhooks::client::WebhookService::builder().api_key("fake-key-123").build()?;
    /// # use gemini_webhooks::WebhookReceiver;
    /// let ownership = service.ownership().per_minute(600);
    /// let builder = WebhookReceiver::builder().accept_if(ownership.check());
    /// # Ok::<(), gemini_webhooks::ConfigError>(())
    /// ```
    #[cfg(feature = "receiver")]
    pub fn check(self) -> impl Fn(GeminiEvent, Delivery) -> Answer + Clone + Send + Sync + 'static {
        move |event, _| {
            let ownership = self.clone();
            Box::pin(async move { Ok(ownership.owns(&event).await?) })
        }
    }

    fn begin(&self, job: &Arc<Job>) -> Result<Begun, OwnershipError> {
        let failed = |why| OwnershipError::new(job, why);
        let call = job.call().map_err(|error| failed(Why::call(error)))?;
        let runtime = Handle::try_current().map_err(|_| failed(Why::Ended))?;
        let now = self.shared.http.monotonic();
        let asking = {
            let mut state = self.shared.lock();
            if let Some(owned) = state.known(job, now) {
                return Ok(Begun::Known(owned));
            }
            if let Some(answer) = state.asking.get(job) {
                return Ok(Begun::Asked(answer.clone()));
            }
            state.may_ask(now).map_err(failed)?;
            let tell = watch::Sender::new(None);
            state.asking.insert(Arc::clone(job), tell.subscribe());
            Asking {
                shared: Arc::clone(&self.shared),
                job: Arc::clone(job),
                tell,
            }
        };
        let answer = asking.tell.subscribe();
        // A task, so that one sender who leaves does not take the answer away from all others.
        runtime.spawn(asking.run(call));
        Ok(Begun::Asked(answer))
    }
}

enum Begun {
    Known(bool),
    Asked(watch::Receiver<Option<Outcome>>),
}

/// A question that is under way; it ends when this is dropped.
struct Asking {
    shared: Arc<Shared>,
    job: Arc<Job>,
    tell: watch::Sender<Option<Outcome>>,
}

impl Asking {
    async fn run(self, call: Call) {
        let outcome = self.shared.ask(&call).await;
        if let Ok(owned) = outcome {
            let now = self.shared.http.monotonic();
            self.shared.lock().learn(&self.job, owned, now);
        }
        let outcome = outcome.map_err(|why| OwnershipError::new(&self.job, why));
        self.tell.send_replace(Some(outcome));
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.shared.lock().asking.remove(&self.job);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; if something did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, call: &Call) -> Result<bool, Why> {
        let Ok(Ok(_place)) = timeout(FOR_A_PLACE, self.places.acquire()).await else {
            return Err(Why::Busy);
        };
        self.lock().count(self.http.monotonic())?;
        match self.http.succeeds(call, DEADLINE).await {
            Ok(()) => Ok(true),
            Err(error) if error.means_no_such_job() => Ok(false),
            Err(error) => {
                if error.kind() == ClientErrorKind::RateLimited {
                    let now = self.http.monotonic();
                    self.lock().pause(now, error.retry_after());
                }
                Err(Why::call(error))
            }
        }
    }
}

impl fmt::Debug for Ownership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ownership")
            .field("http", &self.shared.http)
            .field("per_minute", &self.shared.lock().per_minute)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
