//! What a handler is given, and what it returns.

use std::error::Error;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, SystemTime};

use gemini_webhooks::GeminiEvent;
use sqlx::Transaction;

use crate::entry::{What, change};
use crate::error::InboxError;
use crate::inbox::Shared;
use crate::jobs::Expectation;
use crate::metrics::Begun;
use crate::store::{Database, Value};

/// In the place of a scheme, for what Google was asked for.
pub(crate) const ASKED: &str = "asked";

/// A run of an event that a worker has begun, and by which its end is written down.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) number: i64,
    pub(crate) run: i64,
    pub(crate) holder: [u8; 16],
    pub(crate) attempts: u32,
    pub(crate) webhook_id: Arc<str>,
    pub(crate) committed: Arc<Commit>,
    pub(crate) begun: Begun,
}

/// How far a handler has come with the transaction of its work.
#[derive(Debug, Default)]
pub(crate) struct Commit(AtomicU8);

impl Commit {
    const BEGUN: u8 = 1;
    const DONE: u8 = 2;

    pub(crate) fn is_done(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::DONE
    }

    pub(crate) fn was_left(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::BEGUN
    }

    /// What is done stays done, also if the handler begins another transaction.
    fn set(&self, state: u8) {
        self.0.fetch_max(state, Ordering::AcqRel);
    }
}

impl Held {
    /// What the end of a run is written down with.
    pub(crate) fn end(
        &self,
        state: crate::entry::State,
        after: Duration,
        what: What,
        why: &str,
    ) -> Vec<Value> {
        vec![
            self.number.into(),
            self.holder.to_vec().into(),
            self.run.into(),
            state.number().into(),
            crate::opening::milliseconds(after).into(),
            change(what, why).into(),
        ]
    }
}

/// One run of an event: what a handler needs to know beside the payload.
pub struct Work<DB: Database, S = ()> {
    pub(crate) shared: Arc<Shared<DB>>,
    pub(crate) state: Arc<S>,
    pub(crate) held: Held,
    pub(crate) event: GeminiEvent,
    pub(crate) scheme: Arc<str>,
    pub(crate) received_at: SystemTime,
}

impl<DB: Database, S> Work<DB, S> {
    /// Returns the event.
    #[must_use]
    pub fn event(&self) -> &GeminiEvent {
        &self.event
    }

    /// Returns the `webhook-id` of the delivery that was stored.
    #[must_use]
    pub fn webhook_id(&self) -> &str {
        &self.held.webhook_id
    }

    /// Returns how the delivery was signed: `v1`, `v1a` or `jwt`. `asked` if the event was [found](Self::found).
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Returns whether the event was found by asking Google for the job, because no webhook had brought it in time.
    #[must_use]
    pub fn found(&self) -> bool {
        *self.scheme == *ASKED
    }

    /// Returns what the app wrote down about the job that the event is about, if it [expects](crate::Inbox::expect) it.
    ///
    /// # Errors
    ///
    /// The database cannot be read.
    pub async fn expectation(&self) -> Result<Option<Expectation>, InboxError> {
        match self.event.job() {
            Some(job) => self.shared.expectation(&job).await,
            None => Ok(None),
        }
    }

    /// Returns which attempt this is: 1 for the first.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.held.attempts
    }

    /// Returns when the event was stored.
    #[must_use]
    pub fn received_at(&self) -> SystemTime {
        self.received_at
    }

    /// Returns the number of the event in the inbox, to find it among the
    /// [`entries`](crate::Inbox::entries).
    #[must_use]
    pub fn number(&self) -> i64 {
        self.held.number
    }

    /// Returns the app's state.
    #[must_use]
    pub fn state(&self) -> &S {
        &self.state
    }

    /// Begins a transaction in which the handler's effect and the end of the work are committed together:
    /// both or neither.
    ///
    /// If another worker has the event by now, the commit fails and nothing is stored. A handler that begins
    /// a transaction and returns `Ok` without a commit has failed, as its effect is not stored.
    ///
    /// In SQLite nobody else can write meanwhile: keep it short, and wait in it for nothing else.
    ///
    /// # Errors
    ///
    /// The database cannot be reached.
    pub async fn transaction(&self) -> Result<WorkTransaction<DB>, InboxError> {
        let link = self.shared.link.clone();
        // In a task of its own: if the handler is dropped meanwhile, the transaction is begun and rolled back.
        // A `begin` that is dropped itself can leave its connection in a transaction that nobody ends
        // (launchbadge/sqlx#4393).
        let begun = tokio::spawn(async move { DB::begin(&link).await }).await;
        let begun = begun.unwrap_or(Err(sqlx::Error::WorkerCrashed));
        let transaction = begun.map_err(|error| self.shared.unavailable(error))?;
        self.held.committed.set(Commit::BEGUN);
        Ok(WorkTransaction {
            shared: Arc::clone(&self.shared),
            held: self.held.clone(),
            transaction,
        })
    }
}

impl<DB: Database, S> fmt::Debug for Work<DB, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work")
            .field("number", &self.held.number)
            .field("webhook_id", &self.held.webhook_id)
            .field("attempt", &self.held.attempts)
            .finish_non_exhaustive()
    }
}

/// A transaction whose commit ends the work: `&mut *transaction` is the connection.
///
/// It is rolled back if it is dropped without a [`commit`](Self::commit).
#[must_use = "it is rolled back when it is dropped"]
pub struct WorkTransaction<DB: Database> {
    shared: Arc<Shared<DB>>,
    held: Held,
    transaction: Transaction<'static, DB>,
}

impl<DB: Database> WorkTransaction<DB> {
    /// Commits what was written, and that the event is worked off.
    ///
    /// # Errors
    ///
    /// Nothing is committed if another worker has the event by now ([`Lost`](crate::InboxErrorKind::Lost)), or if the
    /// database refuses. If its answer was lost, it may have been committed: return the error. The inbox finds out.
    pub async fn commit(mut self) -> Result<(), InboxError> {
        let failed = |error| self.shared.unavailable(error);
        let end = self
            .held
            .end(crate::entry::State::Done, Duration::ZERO, What::Done, "");
        let ended = DB::run(&mut self.transaction, DB::STATEMENTS.end, end).await;
        if ended.map_err(failed)?.is_empty() {
            return Err(InboxError::lost(&self.held.webhook_id));
        }
        self.transaction.commit().await.map_err(failed)?;
        self.held.committed.set(Commit::DONE);
        Ok(())
    }
}

impl<DB: Database> Deref for WorkTransaction<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &Self::Target {
        &self.transaction
    }
}

impl<DB: Database> DerefMut for WorkTransaction<DB> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.transaction
    }
}

impl<DB: Database> fmt::Debug for WorkTransaction<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkTransaction")
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

/// Why a handler has failed. Any [`std::error::Error`] becomes one by `?`. For a text, a boxed error or an
/// `anyhow::Error`, which are none, write `.map_err(WorkError::new)?`.
///
/// The event is tried again after a pause, unless it has had all its attempts, or the handler says what is
/// to happen: [`dead`](Self::dead) or [`again_after`](Self::again_after).
pub struct WorkError {
    pub(crate) error: Box<dyn Error + Send + Sync>,
    pub(crate) then: Then,
}

/// What becomes of an event whose run has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Again,
    AgainAfter(Duration),
    Dead,
}

impl WorkError {
    /// Makes one of an error that `?` does not take, such as a text, a boxed error or an `anyhow::Error`.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            error: error.into(),
            then: Then::Again,
        }
    }

    /// The event is a dead letter at once: trying again would not help.
    pub fn dead(why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            then: Then::Dead,
            ..Self::new(why)
        }
    }

    /// The event is tried again after this pause, unless it has had all its attempts.
    pub fn again_after(pause: Duration, why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            then: Then::AgainAfter(pause),
            ..Self::new(why)
        }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for WorkError {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl fmt::Display for WorkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl fmt::Debug for WorkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkError")
            .field("error", &self.error)
            .field("then", &self.then)
            .finish()
    }
}
