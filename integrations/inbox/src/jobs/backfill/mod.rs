//! Backfill: batches whose end nobody has told the inbox are looked for in the project's list.

use std::fmt;
use std::time::{Duration, SystemTime};

use gemini_webhooks::client::{Batches, WebhookService};
use gemini_webhooks::event::JobId;

use super::Inbox;
#[cfg(doc)]
use crate::error::InboxErrorKind;
use crate::store::Database;

mod error;
mod walk;

pub use error::BackfillError;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Looks for batches that ended lately and of which the inbox knows no event, and stores what their webhooks should have
/// told. [`Inbox::backfill`] returns it.
///
/// Run it once when you begin to use the inbox, and after an outage. It needs no [expected jobs](Inbox::expect): it goes
/// through all batches of the project, in a request for each 100. Interactions and videos cannot be listed, so it finds
/// none of them. It stores the batches that other apps of the project have started as well, as a static webhook brings
/// them: let your handler leave alone what is not its own.
///
/// A found event is handled by a worker as any other, and is marked ([`Work::found`](crate::Work::found)). Its key is the
/// job. So it is stored once, and a webhook that comes later is a copy. If the job was expected, the event has its metadata.
///
/// **It loses nothing if it ends early**: by an error, because its future is dropped, or with its process. What was stored
/// stays, and the next run goes on from there.
///
/// ```no_run
/// # #[cfg(feature = "sqlite")]
/// # async fn f(
/// #     inbox: gemini_webhooks_inbox::Inbox<gemini_webhooks_inbox::sqlx::Sqlite>,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// use gemini_webhooks::client::WebhookService;
///
/// let backfill = inbox.backfill(&WebhookService::from_env()?).since_last_event();
/// println!("{} are missing", backfill.dry_run().await?.found);
/// let done = backfill.run().await?;
/// println!("{} of {} batches were found", done.found, done.listed);
/// # Ok(())
/// # }
/// ```
#[must_use = "it does nothing until it is run"]
pub struct Backfill<DB: Database> {
    inbox: Inbox<DB>,
    batches: Batches,
    reach: Reach,
    per_minute: u32,
}

#[derive(Clone, Copy, Debug)]
enum Reach {
    EndedWithin(Duration),
    SinceLastEvent,
}

/// What a backfill has seen and done, or would do.
///
/// Each listed batch is counted in one of `running`, `too_old`, `known`, `unusable` and `found`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backfilled {
    /// How far back it looked.
    pub looked_back: Duration,
    /// It looked back less far than [`since_last_event`](Backfill::since_last_event) asks for, because the inbox does not
    /// remember events for so long.
    pub is_capped: bool,
    /// Batches that Google has listed.
    pub listed: u64,
    /// Batches that go on.
    pub running: u64,
    /// Batches that ended before the time that it looks back to.
    pub too_old: u64,
    /// Batches whose end is in the inbox.
    pub known: u64,
    /// Batches whose name is longer than any of Google's, so that it cannot be remembered.
    pub unusable: u64,
    /// Batches whose event was stored, or would be.
    pub found: u64,
    /// The first 10,000 of those that were found.
    pub jobs: Vec<FoundJob>,
}

/// A batch that a backfill has found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundJob {
    /// Which batch it is.
    pub job: JobId,
    /// The type of its event, such as `batch.succeeded`.
    pub event_type: String,
    /// When it ended, as Google says. `None` if that cannot be read.
    pub ended_at: Option<SystemTime>,
}

impl<DB: Database> Inbox<DB> {
    /// Returns a backfill: it stores the events of batches that ended lately, if no event of theirs is known.
    ///
    /// The service's API key must be of the project that starts the batches. The service is used as it is: if it
    /// [retries](gemini_webhooks::client::WebhookServiceBuilder::max_retries), a request may be sent more than once.
    pub fn backfill(&self, service: &WebhookService) -> Backfill<DB> {
        Backfill {
            inbox: self.clone(),
            batches: service.batches(),
            reach: Reach::EndedWithin(DAY),
            per_minute: 60,
        }
    }
}

impl<DB: Database> Backfill<DB> {
    /// Looks for batches that ended within this time until now. 24 hours if it is not set.
    ///
    /// The inbox recognises what it has handled for as long as it [keeps](crate::Opening::keep_done) that, so the time
    /// must be an hour shorter than `keep_done` and `keep_dead`. Google's clock tells when a batch ended, and this
    /// machine's clock what is now.
    ///
    /// If it cannot be read when a batch ended, the batch is found only if it was also created within this time.
    pub fn ended_within(mut self, time: Duration) -> Self {
        self.reach = Reach::EndedWithin(time);
        self
    }

    /// Looks for batches that ended since Google last delivered an event, less 10 minutes. Without any event it looks back
    /// for 24 hours.
    ///
    /// Run it before the first delivery after the outage comes: from then on it looks back to that delivery only. If that
    /// may have come, say [how long](Self::ended_within) the outage was.
    ///
    /// If the inbox does not remember events for so long, it looks back for as long as it does, less an hour. It logs a
    /// warning then, and sets [`is_capped`](Backfilled::is_capped).
    pub fn since_last_event(mut self) -> Self {
        self.reach = Reach::SinceLastEvent;
        self
    }

    /// Makes so many requests in any minute at most, and waits if more are needed. 60 if it is not set.
    ///
    /// They count against the quota of your project. What the service sends again is not counted.
    pub fn per_minute(mut self, requests: u32) -> Self {
        self.per_minute = requests;
        self
    }

    /// Returns what [`run`](Self::run) would do now, and stores nothing.
    ///
    /// # Errors
    ///
    /// As for `run`, but for a full inbox.
    pub async fn dry_run(&self) -> Result<Backfilled, BackfillError> {
        self.walk(false).await
    }

    /// Goes through the list, and stores the events that are missing.
    ///
    /// # Errors
    ///
    /// A setting is wrong, the database cannot be used, the inbox is [full](InboxErrorKind::Full), or Google does not
    /// answer. What was stored until then stays, and the error [says](BackfillError::so_far) what that is. Run it again to
    /// go on.
    pub async fn run(&self) -> Result<Backfilled, BackfillError> {
        self.walk(true).await
    }
}

impl<DB: Database> fmt::Debug for Backfill<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backfill")
            .field("inbox", &self.inbox)
            .field("reach", &self.reach)
            .field("per_minute", &self.per_minute)
            .finish_non_exhaustive()
    }
}
