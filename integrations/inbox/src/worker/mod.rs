//! Working the events off.

pub(crate) mod backoff;
mod ending;
mod queue;
mod routes;
pub(crate) mod upkeep;
mod work;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use apalis::layers::WorkerBuilderExt as _;
use apalis::layers::catch_panic::CatchPanicLayer;
use apalis::layers::tracing::TraceLayer;
use apalis_core::error::WorkerError;
use apalis_core::task::Task;
use apalis_core::worker::builder::WorkerBuilder;
use apalis_core::worker::context::WorkerContext;
use apalis_core::worker::ext::ack::AcknowledgementExt as _;
use apalis_core::worker::ext::parallelize::ParallelizeExt as _;
use gemini_webhooks::GeminiEvent;
use gemini_webhooks::event::Payload;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::error::{InboxError, InboxErrorKind};
use crate::inbox::Inbox;
use crate::store::Database;

use self::ending::Acknowledge;
use self::queue::{Queue, Taken, fetch};
use self::routes::{Failure, Routes};
use self::upkeep::{beat, clean_up};

pub(crate) use self::work::ASKED;
pub use self::work::{Work, WorkError, WorkTransaction};

/// How long the database may take to answer what was under way when a worker is to end.
const ENDING: Duration = Duration::from_secs(10);

/// What a worker is set to.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) concurrency: u32,
    pub(crate) max_attempts: u32,
    pub(crate) timeout: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) poll: Duration,
    pub(crate) grace: Duration,
    pub(crate) first_pause: Duration,
    pub(crate) longest_pause: Duration,
}

/// Works the events of an inbox off, by handlers for their types.
///
/// A handler takes the payload of one type of event, and the [`Work`]. It is a function or a closure. An
/// error, a panic and a time-out are failures: the event is tried again later, and is a dead letter after
/// [`max_attempts`](Self::max_attempts).
///
/// An event may be run more than once, for instance if the process dies before its end is written down.
/// [`Work::transaction`] stores what a handler does together with the end of the work, so that it happens
/// once.
#[must_use = "it does nothing until it is run"]
pub struct Worker<DB: Database, S = ()> {
    inbox: Inbox<DB>,
    state: Arc<S>,
    routes: Routes<DB, S>,
    settings: Settings,
}

impl<DB: Database> Worker<DB> {
    pub(crate) fn new(inbox: Inbox<DB>) -> Self {
        Self {
            inbox,
            state: Arc::new(()),
            routes: Routes::new(),
            settings: Settings {
                concurrency: 8,
                max_attempts: 20,
                timeout: Duration::from_secs(5 * 60),
                heartbeat: Duration::from_secs(30),
                poll: Duration::from_millis(50),
                grace: Duration::from_secs(30),
                first_pause: Duration::from_secs(1),
                longest_pause: Duration::from_secs(60 * 60),
            },
        }
    }

    /// Gives the handlers that are added after this call a state of the app's, such as a pool or a client.
    /// It is in [`Work::state`]; their argument is a `Work<_, _>`.
    pub fn with_state<S: Send + Sync + 'static>(self, state: S) -> Worker<DB, S> {
        Worker {
            inbox: self.inbox,
            state: Arc::new(state),
            routes: self.routes.with_state(),
            settings: self.settings,
        }
    }
}

impl<DB: Database, S: Send + Sync + 'static> Worker<DB, S> {
    /// Works off the events that have the payload `P`, such as
    /// [`BatchSucceeded`](gemini_webhooks::event::BatchSucceeded).
    ///
    /// If there are several handlers for a type, the first that was added runs.
    pub fn on<P, F, Fut>(mut self, handler: F) -> Self
    where
        P: Payload,
        F: Fn(P, Work<DB, S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), WorkError>> + Send + 'static,
    {
        self.routes.on(handler);
        self
    }

    /// Works off all events for which there is no other handler.
    ///
    /// Without this, and without [`ignore_others`](Self::ignore_others), they become dead letters that say
    /// so.
    pub fn otherwise<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(GeminiEvent, Work<DB, S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), WorkError>> + Send + 'static,
    {
        self.routes.otherwise(handler);
        self
    }

    /// Regards all events for which there is no handler as worked off.
    pub fn ignore_others(self) -> Self {
        self.otherwise(|_, _| std::future::ready(Ok(())))
    }

    /// Works off so many events at a time. 8 if it is not set.
    pub fn concurrency(mut self, events: u32) -> Self {
        self.settings.concurrency = events;
        self
    }

    /// Begins so many runs of an event at most. 20 if it is not set, which takes about a day.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.settings.max_attempts = attempts;
        self
    }

    /// Ends a run that takes longer. 5 minutes if it is not set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// Sets after which time without a sign of life the events of a worker are run by another. 30 seconds if
    /// it is not set. A worker gives a sign each third of it.
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.settings.heartbeat = heartbeat;
        self
    }

    /// Looks so often for events that another process has stored, and for those whose next run is due. 50
    /// milliseconds if it is not set.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.settings.poll = interval;
        self
    }

    /// Leaves running work so much time when the worker is to end. 30 seconds if it is not set.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// Sets the pause before the second run of an event, and the longest pause. Each is twice as long as the
    /// one before, give or take a quarter. A second and an hour if it is not set.
    pub fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        self.settings.first_pause = first;
        self.settings.longest_pause = longest;
        self
    }

    fn check(&self) -> Result<(), InboxError> {
        let settings = &self.settings;
        let wrong = if settings.concurrency > 10_000 {
            "concurrency is above 10,000, and each run takes memory and a place in the database's queue"
        } else if settings.concurrency == 0 {
            "concurrency is 0, so that nothing would be worked off"
        } else if settings.max_attempts == 0 {
            "max_attempts is 0, so that nothing would be worked off"
        } else if settings.timeout.is_zero() {
            "the timeout is 0, so that no run could end"
        } else if settings.heartbeat < Duration::from_millis(100) {
            "the heartbeat is shorter than 100 ms, so that a busy worker would lose its events"
        } else if settings.poll.is_zero() {
            "the poll interval is 0, so that the database would be asked without a pause"
        } else if settings.first_pause > settings.longest_pause {
            "the first pause is longer than the longest"
        } else {
            return Ok(());
        };
        Err(InboxError::new(InboxErrorKind::Invalid, wrong))
    }

    /// Works events off until `shutdown` is done, and then ends in order.
    ///
    /// It then takes no more events, waits for those that run as long as the [`grace`](Self::grace) allows,
    /// and gives the rest back, so that another worker runs them at once. If the database cannot be reached,
    /// it goes on trying.
    ///
    /// # Errors
    ///
    /// A setting is wrong, the engine that runs the handlers has failed, or the database could not be told at
    /// the end what is given back: those events are run after the heartbeat.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), InboxError> {
        self.check()?;
        let Self {
            inbox,
            state,
            routes,
            settings,
        } = self;
        let shared = &inbox.shared;
        let queue = Arc::new(Queue::new(Arc::clone(shared), settings.clone()));
        let (context, mut running) = engine(&queue, state, routes);
        let mut tasks = JoinSet::new();
        tasks.spawn(fetch(Arc::clone(&queue)));
        tasks.spawn(beat(Arc::clone(&queue)));
        tasks.spawn(clean_up(Arc::clone(shared)));
        #[cfg(feature = "metrics")]
        tasks.spawn(upkeep::measure(inbox.clone()));

        let failed = |error: &dyn fmt::Display| {
            let text = format!("the worker of the inbox has failed: {error}");
            Err(InboxError::new(InboxErrorKind::Unavailable, text))
        };
        tracing::info!(
            namespace = &*shared.settings.namespace,
            "the worker runs, on {:?}",
            shared.link
        );
        let mut is_running = true;
        let mut outcome = tokio::select! {
            // The engine is started also if the signal is there already.
            biased;
            ended = &mut running => {
                is_running = false;
                ended.or_else(|error| failed(&error))
            }
            // None ends before the queue is closed, so it has panicked.
            Some(Err(panicked)) = tasks.join_next() => failed(&panicked),
            () = shutdown => Ok(()),
        };
        queue.close();
        let stopped = if is_running {
            context.stop().or_else(|error| failed(&error))
        } else {
            Ok(())
        };
        // What it takes meanwhile is given back with the rest. Whatever cannot be given back is run after the
        // heartbeat.
        let give_back = async {
            let mut fetched = Ok(());
            if outcome.is_ok() {
                match timeout(ENDING, tasks.join_next()).await {
                    Ok(Some(Err(panicked))) => fetched = failed(&panicked),
                    Ok(_) => {}
                    Err(_) => tracing::warn!("the database does not answer while the worker ends"),
                }
            }
            queue.give_back_waiting().await;
            fetched
        };
        let end = async {
            if !is_running {
                return Ok(());
            }
            let ended = timeout(settings.grace, &mut running).await;
            ended.map_or(Ok(()), |ended| ended.or_else(|error| failed(&error)))
        };
        let (fetched, ended) = tokio::join!(give_back, end);
        outcome = outcome.and(stopped).and(fetched).and(ended);
        // What still runs is ended first.
        drop(running);
        outcome.and(queue.give_back_all(ENDING).await)
    }
}

impl<DB: Database, S> fmt::Debug for Worker<DB, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("inbox", &self.inbox)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

type Running = Pin<Box<dyn Future<Output = Result<(), WorkerError>> + Send>>;

/// The engine, which calls the handlers, and by which it is stopped.
fn engine<DB: Database, S: Send + Sync + 'static>(
    queue: &Arc<Queue<DB>>,
    state: Arc<S>,
    routes: Routes<DB, S>,
) -> (WorkerContext, Running) {
    let (routes, shared) = (Arc::new(routes), Arc::clone(&queue.shared));
    let context = WorkerContext::new("gemini-webhooks-inbox");
    let worker = WorkerBuilder::new(context.clone())
        .backend(queue::Backend::new(Arc::clone(queue)))
        .ack_with(Acknowledge::new(queue))
        // Each run is a task of its own, which ends with the worker.
        .parallelize(in_its_own_task)
        .timeout(queue.settings.timeout)
        // What fails is told when its end is written down, with what follows.
        .layer(TraceLayer::new().make_span_with(span).on_failure(()))
        .layer(CatchPanicLayer::with_panic_handler(panicked))
        .build(move |taken: Taken| {
            routes::run(
                Arc::clone(&routes),
                Arc::clone(&state),
                Arc::clone(&shared),
                taken,
            )
        });
    (context, Box::pin(worker.run()))
}

fn in_its_own_task<F>(run: F) -> AbortOnDropHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    AbortOnDropHandle::new(tokio::spawn(run))
}

/// So that what a handler logs is known by its event.
fn span(task: &Task<Taken>) -> tracing::Span {
    let held = &task.args.held;
    tracing::info_span!(
        "work",
        webhook_id = &*held.webhook_id,
        attempt = held.attempts
    )
}

#[allow(clippy::borrowed_box, reason = "the layer calls it so")]
fn panicked(panic: &Box<dyn Any + Send>) -> Failure {
    let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text.as_str(),
        _ => "with something that is no text",
    };
    WorkError::new(format!("the handler panicked: {text}")).into()
}
