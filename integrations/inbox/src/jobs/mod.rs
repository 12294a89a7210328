//! Jobs that are expected: the app writes down what it has started, and by when it wants an answer.
//!
//! A job is *answered* when an event is in the inbox that ends it, whoever brought that. The events themselves say so,
//! by their key, which is the job: storing an event costs nothing more.

use std::time::Duration;

use gemini_webhooks::GeminiEvent;
use gemini_webhooks::event::{JobId, JobKind};
use gemini_webhooks::replay::ClaimKey;

use crate::error::{InboxError, InboxErrorKind};
use crate::inbox::{Inbox, Shared};
use crate::opening::milliseconds;
use crate::store::{Database, Value};

#[cfg(feature = "client")]
mod backfill;
mod expectation;
#[cfg(feature = "client")]
mod found;
mod recognise;
#[cfg(feature = "client")]
mod start;
#[cfg(feature = "client")]
mod telling;
#[cfg(feature = "client")]
pub(crate) mod watch;

#[cfg(feature = "client")]
pub use backfill::{Backfill, BackfillError, Backfilled, FoundJob};
pub use expectation::{Announced, Awaited, Expect, Expectation, Progress};
pub use recognise::Answer;
#[cfg(feature = "client")]
pub(crate) use recognise::OWN_ID;
#[cfg(feature = "client")]
pub use start::{StartError, StartErrorKind};
#[cfg(feature = "client")]
pub use watch::{Pass, Watcher};

/// A job without a name is looked for when the call that starts it must be over: it takes a minute, unless the app has set
/// another deadline.
const FOR_A_NAME: Duration = Duration::from_secs(2 * 60);

impl<DB: Database> Inbox<DB> {
    /// Writes down that a job was started, and within which time an answer is wanted.
    ///
    /// [`watch`](Self::watch) asks after it if no event comes by then. If it is written down already, its time and
    /// its metadata are replaced, and it is expected anew.
    ///
    /// If the process dies between the start of a job and this call, the job is not expected. To close that gap, let the
    /// inbox start it ([`start_batch`](Self::start_batch), [`start_interaction`](Self::start_interaction)), or
    /// [`announce`](Self::announce) it.
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use gemini_webhooks::event::{JobId, JobKind};
    /// use gemini_webhooks_inbox::{Expect, Inbox};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let file = folder.path().join("webhooks.db");
    /// # let inbox = Inbox::sqlite(file.to_str().ok_or("no text")?).await?;
    /// let job = JobId::new(JobKind::Batch, "batches/8kq2").ok_or("no id")?;
    /// let day = Duration::from_secs(24 * 60 * 60);
    /// inbox.expect(&job, Expect::within(day).metadata("order", 7)).await?;
    /// assert_eq!(inbox.awaited().await?.open, 1);
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "sqlite"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    ///
    /// The database cannot be written, or ([`Invalid`](InboxErrorKind::Invalid)) the metadata have too many levels.
    pub async fn expect(&self, job: &JobId, expect: impl Into<Expect>) -> Result<(), InboxError> {
        let shared = &self.shared;
        let values = shared.expect_values(job, &expect.into())?;
        shared.write(DB::STATEMENTS.jobs.expect, values).await?;
        Ok(())
    }

    /// Does as [`expect`](Self::expect) in a transaction of your own, beside what you write in it.
    ///
    /// # Errors
    ///
    /// The database cannot be written. Roll back then.
    pub async fn expect_in(
        &self,
        transaction: &mut DB::Connection,
        job: &JobId,
        expect: impl Into<Expect>,
    ) -> Result<(), InboxError> {
        let shared = &self.shared;
        let values = shared.expect_values(job, &expect.into())?;
        let written = DB::run(transaction, DB::STATEMENTS.jobs.expect, values).await;
        written.map_err(|error| shared.unavailable(error))?;
        Ok(())
    }

    /// Writes down that a job is about to be started, before anybody knows its name.
    ///
    /// Let the [id](Announced::id) go along with the request: `Announced::put_into` does so (feature `client`). It belongs
    /// into the `user_metadata` of the `webhook_config`, as `gemini_webhooks_id`, and for a batch also at the end of its
    /// `displayName`. Start the job, and call [`started`](Self::started) with its name. If it certainly was not started,
    /// call [`not_started`](Self::not_started).
    ///
    /// If the process dies in between, a batch is found by listing, no sooner than two minutes later, as the call that
    /// starts it may still run; and an interaction or a video by its delivery. What has no name when its time is over
    /// becomes a dead letter that says so.
    ///
    /// # Errors
    ///
    /// The database cannot be written. Do not start the job then.
    pub async fn announce(
        &self,
        kind: JobKind,
        expect: impl Into<Expect>,
    ) -> Result<Announced, InboxError> {
        let shared = &self.shared;
        let announced = Announced::generate(kind);
        let values = shared.announce_values(&announced, &expect.into())?;
        shared.write(DB::STATEMENTS.jobs.announce, values).await?;
        Ok(announced)
    }

    /// Does as [`announce`](Self::announce) in a transaction of your own. Start the job after its commit.
    ///
    /// # Errors
    ///
    /// The database cannot be written. Roll back then.
    pub async fn announce_in(
        &self,
        transaction: &mut DB::Connection,
        kind: JobKind,
        expect: impl Into<Expect>,
    ) -> Result<Announced, InboxError> {
        let shared = &self.shared;
        let announced = Announced::generate(kind);
        let values = shared.announce_values(&announced, &expect.into())?;
        let written = DB::run(transaction, DB::STATEMENTS.jobs.announce, values).await;
        written.map_err(|error| shared.unavailable(error))?;
        Ok(announced)
    }

    /// Writes down the name of a job that was announced.
    ///
    /// # Errors
    ///
    /// The database cannot be written, or ([`Invalid`](InboxErrorKind::Invalid)) the job is of another kind, or there
    /// is no such announcement. Once it has a name, another is refused, and the same is no error.
    pub async fn started(&self, announced: &Announced, job: &JobId) -> Result<(), InboxError> {
        let shared = &self.shared;
        let invalid = |text: String| Err(InboxError::new(InboxErrorKind::Invalid, text));
        if announced.kind != job.kind() {
            let kind = announced.kind.as_str();
            return invalid(format!("a {kind} was announced, and {job} is none"));
        }
        if !recognise::is_own_id(&announced.id) {
            return invalid("the id of the announcement is none that `announce` makes".to_owned());
        }
        let named = shared.name_job(announced, job).await;
        if matches!(named, Ok(true)) {
            return Ok(());
        }
        // Another may have written the job down at the same time, which is an error of the database then.
        match (self.expectation(job).await?, named) {
            (Some(known), _) if known.announced == *announced => Ok(()),
            // The app has expected it by its name as well: once is enough.
            (Some(_), _) => self.not_started(announced).await,
            (None, Err(error)) => Err(error),
            (None, Ok(_)) => invalid(format!(
                "nothing without a name was announced as {}, so {job} is not expected",
                announced.id
            )),
        }
    }

    /// Takes an announcement back, because the job certainly was not started.
    ///
    /// It does nothing if the job has a name by now.
    ///
    /// # Errors
    ///
    /// The database cannot be written.
    pub async fn not_started(&self, announced: &Announced) -> Result<(), InboxError> {
        let shared = &self.shared;
        let values = vec![shared.namespace(), (&*announced.id).into()];
        shared.write(DB::STATEMENTS.jobs.withdraw, values).await?;
        Ok(())
    }

    /// Returns what was written down about a job, if anything was.
    ///
    /// # Errors
    ///
    /// The database cannot be read.
    pub async fn expectation(&self, job: &JobId) -> Result<Option<Expectation>, InboxError> {
        self.shared.expectation(job).await
    }

    /// Returns how many jobs are expected.
    ///
    /// # Errors
    ///
    /// The database cannot be read.
    pub async fn awaited(&self) -> Result<Awaited, InboxError> {
        let shared = &self.shared;
        let values = vec![shared.namespace()];
        let row = shared.only_row(DB::STATEMENTS.jobs.counts, values).await?;
        let number = |column| DB::int(&row, column).map_err(|error| shared.unavailable(error));
        let count = |column| number(column).map(|count| count.unwrap_or(0).unsigned_abs());
        Ok(Awaited {
            open: count(0)?,
            unnamed: count(1)?,
            overdue: count(2)?,
            longest_overdue: number(3)?
                .map(|age| Duration::from_millis(age.try_into().unwrap_or(0))),
        })
    }
}

impl<DB: Database> Shared<DB> {
    pub(crate) fn job_key(&self, job: &JobId) -> Vec<u8> {
        ClaimKey::for_job(&self.settings.namespace, job).to_bytes()
    }

    /// An event that asks the app to act answers its job, and its key is not the job: so this is written down.
    pub(crate) fn answer_values(&self, event: &GeminiEvent, key: &[u8]) -> Option<Vec<Value>> {
        let job = event.job().filter(|_| event.ended_job().is_none())?;
        Some(vec![self.job_key(&job).into(), key.to_vec().into()])
    }

    fn expect_values(&self, job: &JobId, expect: &Expect) -> Result<Vec<Value>, InboxError> {
        Ok(vec![
            self.namespace(),
            String::from(Announced::generate(job.kind()).id).into(),
            job.kind().as_str().into(),
            job.id().into(),
            self.job_key(job).into(),
            expect.metadata_text()?.into(),
            milliseconds(expect.within).into(),
        ])
    }

    fn announce_values(
        &self,
        announced: &Announced,
        expect: &Expect,
    ) -> Result<Vec<Value>, InboxError> {
        Ok(vec![
            self.namespace(),
            (&*announced.id).into(),
            announced.kind.as_str().into(),
            expect.metadata_text()?.into(),
            milliseconds(expect.within).into(),
            milliseconds(match announced.kind {
                JobKind::Batch => FOR_A_NAME,
                // They cannot be listed.
                _ => expect.within.max(FOR_A_NAME),
            })
            .into(),
        ])
    }

    /// Returns whether it has its name by this call.
    pub(crate) async fn name_job(
        &self,
        announced: &Announced,
        job: &JobId,
    ) -> Result<bool, InboxError> {
        let values = self.name_values(announced, job);
        let named = self.write(DB::STATEMENTS.jobs.name, values).await?;
        Ok(!named.is_empty())
    }

    fn name_values(&self, announced: &Announced, job: &JobId) -> Vec<Value> {
        vec![
            self.namespace(),
            (&*announced.id).into(),
            announced.kind.as_str().into(),
            job.id().into(),
            self.job_key(job).into(),
        ]
    }

    pub(crate) async fn expectation(&self, job: &JobId) -> Result<Option<Expectation>, InboxError> {
        let values = vec![self.job_key(job).into()];
        let rows = self.read(DB::STATEMENTS.jobs.find, values).await?;
        let read = rows.first().map(Expectation::read::<DB>).transpose();
        read.map_err(|error| self.unavailable(error))
    }
}
