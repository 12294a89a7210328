//! Between the database and the engine: events are taken when there is a slot for them, so none waits in
//! a process while another has nothing to do.

use std::collections::{HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use apalis_core::backend::BackendConfig;
use apalis_core::backend::finalize::Ephemeral;
use apalis_core::task::Task;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::task_id::TaskId;
use apalis_core::worker::context::WorkerContext;
use gemini_webhooks::GeminiEvent;
use gemini_webhooks::replay::ClaimToken;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tower_layer::Identity;

use super::Settings;
use super::work::Held;
use crate::entry::{State, What, change, time};
use crate::error::InboxError;
use crate::inbox::Shared;
use crate::metrics::Begun;
use crate::opening::milliseconds;
use crate::store::{Database, Value};

/// An event that this worker has taken.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) held: Held,
    pub(crate) event: GeminiEvent,
    pub(crate) scheme: Arc<str>,
    pub(crate) received_at: SystemTime,
}

/// What a running worker has in hand.
pub(crate) struct Queue<DB: Database> {
    pub(crate) shared: Arc<Shared<DB>>,
    pub(crate) settings: Settings,
    /// By which the database knows this worker. It is new at each start: a name that is used again would
    /// keep alive what its predecessor has left.
    pub(crate) holder: [u8; 16],
    slots: Arc<Semaphore>,
    inner: Mutex<Inner>,
    is_closing: AtomicBool,
    closing: Notify,
}

#[derive(Default)]
struct Inner {
    /// Taken, and not begun.
    waiting: VecDeque<Taken>,
    /// Taken, and not at an end, by number and run: each with its place among the worker's runs.
    in_hand: HashMap<(i64, i64), OwnedSemaphorePermit>,
    engine: Option<Waker>,
}

impl<DB: Database> Queue<DB> {
    pub(crate) fn new(shared: Arc<Shared<DB>>, settings: Settings) -> Self {
        let slots = usize::try_from(settings.concurrency).unwrap_or(usize::MAX);
        Self {
            shared,
            holder: ClaimToken::generate().to_bytes(),
            slots: Arc::new(Semaphore::new(slots)),
            settings,
            inner: Mutex::default(),
            is_closing: AtomicBool::new(false),
            closing: Notify::new(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes no more.
    pub(crate) fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        self.closing.notify_one();
    }

    fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// Waits for something, or for the end.
    async fn unless_closing<T>(&self, something: impl Future<Output = T>) -> Option<T> {
        if self.is_closing() {
            return None;
        }
        tokio::select! {
            done = something => Some(done),
            () = self.closing.notified() => None,
        }
    }

    /// An event has come to its end, whatever that was.
    pub(crate) fn ended(&self, held: &Held) {
        self.inner().in_hand.remove(&(held.number, held.run));
    }

    fn add(&self, taken: Vec<Taken>, slots: Vec<OwnedSemaphorePermit>) {
        let mut inner = self.inner();
        let runs = taken
            .iter()
            .map(|taken| (taken.held.number, taken.held.run));
        inner.in_hand.extend(runs.zip(slots));
        inner.waiting.extend(taken);
        if let Some(engine) = inner.engine.take() {
            engine.wake();
        }
    }

    fn next(&self, cx: &Context<'_>) -> Poll<Taken> {
        let mut inner = self.inner();
        match inner.waiting.pop_front() {
            Some(taken) => Poll::Ready(taken),
            None => {
                inner.engine = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Those of these numbers that this worker knows nothing of.
    pub(crate) fn unknown(&self, numbers: impl Iterator<Item = i64>) -> HashSet<i64> {
        let inner = self.inner();
        let known: HashSet<_> = inner.in_hand.keys().map(|(number, _)| *number).collect();
        numbers.filter(|number| !known.contains(number)).collect()
    }

    /// Gives back what was not begun, until that fails: then the end of the worker does it.
    pub(crate) async fn give_back_waiting(&self) {
        let waiting: Vec<_> = self.inner().waiting.drain(..).collect();
        for taken in waiting {
            if let Err(error) = self.give_back(Some(taken.held.number), 1).await {
                tracing::warn!("the worker ends, and cannot give events back yet: {error}");
                return;
            }
            self.ended(&taken.held);
        }
    }

    /// Gives back what is left when the worker ends. After an outage each connection that was open before
    /// fails once, so this goes on trying for a while.
    pub(crate) async fn give_back_all(&self, within: Duration) -> Result<(), InboxError> {
        let mut failed = None;
        let given_back = async {
            loop {
                // The end of the worker is not their fault: it counts for no attempt.
                match self.give_back(None, 1).await {
                    Ok(left) => return left,
                    Err(error) => failed = Some(error),
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        let Ok(left) = timeout(within, given_back).await else {
            return Err(failed.unwrap_or_else(|| InboxError::too_slow::<DB>(&self.shared.link)));
        };
        if left > 0 {
            tracing::warn!(
                events = left,
                "the worker has ended, and gave back events that still ran"
            );
        }
        Ok(())
    }

    /// `not_begun` is how many attempts they do not count for.
    pub(crate) async fn give_back(
        &self,
        number: Option<i64>,
        not_begun: i64,
    ) -> Result<usize, InboxError> {
        let values = vec![
            self.holder.to_vec().into(),
            number.into(),
            not_begun.into(),
            change(What::GivenBack, "the worker ended").into(),
        ];
        let given_back = self.shared.write(DB::STATEMENTS.give_back, values).await?;
        Ok(given_back.len())
    }

    async fn due(&self) -> Result<Due, InboxError> {
        let values = vec![self.shared.namespace(), self.holder.to_vec().into()];
        let row = self.shared.only_row(DB::STATEMENTS.due, values).await?;
        let is_there = |column| match DB::int(&row, column) {
            Ok(there) => Ok(there == Some(1)),
            Err(error) => Err(self.shared.unavailable(error)),
        };
        Ok(Due {
            waiting: is_there(0)?,
            unended: is_there(1)?,
        })
    }

    /// Takes as many as there are slots for, of those that are in this state.
    ///
    /// Returns whether there were any: others may have been quicker, or hold a lock on them.
    async fn take(
        &self,
        state: State,
        slots: Vec<OwnedSemaphorePermit>,
    ) -> Result<bool, InboxError> {
        let exhausted = "it has had all its attempts, and the last did not come to its end: its process died, or it \
                         gave no sign of life for the time of the heartbeat";
        let limit = i64::try_from(slots.len()).unwrap_or(i64::MAX);
        let values: Vec<Value> = vec![
            self.shared.namespace(),
            self.holder.to_vec().into(),
            milliseconds(self.settings.heartbeat).into(),
            limit.into(),
            i64::from(self.settings.max_attempts).into(),
            change(What::Begun, "").into(),
            change(What::Dead, exhausted).into(),
            state.number().into(),
        ];
        let rows = self.shared.write(DB::STATEMENTS.take, values).await?;
        let read: Result<Vec<_>, _> = rows.iter().map(|row| self.read(row)).collect();
        let read = read.map_err(|error| self.shared.unavailable(error))?;
        let (dead, taken): (Vec<_>, Vec<_>) = read
            .into_iter()
            .partition(|(state, _)| *state == State::Dead);
        for (_, dead) in dead {
            tracing::error!(
                webhook_id = &*dead.held.webhook_id,
                attempts = dead.held.attempts,
                "the event is a dead letter: {exhausted}"
            );
        }
        let taken = taken.into_iter().map(|(_, taken)| taken).collect();
        self.add(taken, slots);
        Ok(!rows.is_empty())
    }

    fn read(&self, row: &DB::Row) -> Result<(State, Taken), sqlx::Error> {
        let number = |column| DB::int(row, column).map(Option::unwrap_or_default);
        let held = Held {
            number: number(0)?,
            run: number(9)?,
            holder: self.holder,
            attempts: number(7)?.try_into().unwrap_or(u32::MAX),
            webhook_id: DB::text(row, 1)?.into(),
            committed: Arc::default(),
            begun: Begun::now(),
        };
        let taken = Taken {
            held,
            event: GeminiEvent::parse(DB::bytes(row, 5)?),
            scheme: DB::text(row, 2)?.into(),
            received_at: time(number(8)?),
        };
        Ok((State::of(number(6)?), taken))
    }
}

/// So many events are taken in a statement at most.
const AT_ONCE: usize = 256;

/// What there is to take.
#[derive(Clone, Copy, Debug)]
struct Due {
    waiting: bool,
    /// Begun by a worker that has given no sign of life since.
    unended: bool,
}

/// Takes events as long as there are slots for them, until the queue is closed.
pub(crate) async fn fetch<DB: Database>(queue: Arc<Queue<DB>>) {
    const LONGEST: Duration = Duration::from_secs(5);
    let mut failures = 0_u32;
    // Of these and of the others, one after the other.
    let mut was_unended = false;
    loop {
        let slots = Arc::clone(&queue.slots);
        let Some(Ok(slot)) = queue.unless_closing(slots.acquire_owned()).await else {
            return;
        };
        let done = match queue.due().await {
            Ok(due) if due.unended && !(was_unended && due.waiting) => {
                was_unended = true;
                take_alone(&queue, slot).await
            }
            Ok(due) if due.waiting => {
                was_unended = false;
                let mut slots = vec![slot];
                while slots.len() < AT_ONCE
                    && let Ok(slot) = Arc::clone(&queue.slots).try_acquire_owned()
                {
                    slots.push(slot);
                }
                queue.take(State::Waiting, slots).await
            }
            Ok(_) => Ok(false),
            Err(error) => Err(error),
        };
        match done {
            Ok(any) => {
                if failures > 0 {
                    tracing::info!(failures, "the worker can take events again");
                    failures = 0;
                }
                if !any {
                    let wait = timeout(queue.settings.poll, queue.shared.stored.notified());
                    let _either = queue.unless_closing(wait).await;
                }
            }
            Err(error) => {
                if failures == 0 {
                    tracing::error!("the worker cannot take events, and goes on trying: {error}");
                }
                failures = failures.saturating_add(1);
                let pause = Duration::from_millis(100 << failures.min(6)).min(LONGEST);
                let _pause = queue.unless_closing(sleep(pause)).await;
            }
        }
    }
}

/// Takes one of the events that were begun and never ended, and lets it run alone: if it kills the process
/// again, no other event loses an attempt by it. Neither the wait for the others nor the run holds up the
/// rest for longer than a heartbeat.
async fn take_alone<DB: Database>(
    queue: &Queue<DB>,
    slot: OwnedSemaphorePermit,
) -> Result<bool, InboxError> {
    let heartbeat = queue.settings.heartbeat;
    let others = queue.settings.concurrency.saturating_sub(1);
    let slots = || Arc::clone(&queue.slots);
    let alone = timeout(heartbeat, slots().acquire_many_owned(others));
    let Some(alone) = queue.unless_closing(alone).await else {
        return Ok(false);
    };
    let any = queue.take(State::Running, vec![slot]).await?;
    if any && let Ok(Ok(_others)) = alone {
        let ended = timeout(heartbeat, slots().acquire_owned());
        let _ended_or_not = queue.unless_closing(ended).await;
    }
    Ok(any)
}

/// What the engine sees of the queue.
pub(crate) struct Backend<DB: Database>(Arc<Queue<DB>>);

impl<DB: Database> Backend<DB> {
    pub(crate) fn new(queue: Arc<Queue<DB>>) -> Self {
        Self(queue)
    }
}

impl<DB: Database> fmt::Debug for Backend<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Backend").field(&self.0.shared.link).finish()
    }
}

impl<DB: Database> apalis_core::backend::Backend for Backend<DB> {
    type Task = Task<Taken>;
    /// An outage of the database would end the worker, so [`fetch`] goes on trying instead.
    type Error = Infallible;

    fn poll_ready(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Task<Taken>, Infallible>>> {
        self.0.next(cx).map(|taken| {
            let held = taken.held.clone();
            let id = TaskId::from_string(held.number.to_string());
            let attempt = usize::try_from(held.attempts).unwrap_or(usize::MAX);
            let task = TaskBuilder::new(taken)
                .task_id(id)
                .attempt(attempt)
                .data(held);
            Some(Ok(task.build()))
        })
    }

    fn poll_close(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

impl<DB: Database> BackendConfig for Backend<DB> {
    type Args = Taken;
    type Id = i64;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}
