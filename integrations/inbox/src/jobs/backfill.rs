//! Backfill: batches whose end nobody has told the inbox are looked for in the project's list.

use std::error::Error;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gemini_webhooks::client::{Batch, Batches, ClientError, Outcome, WebhookService};
use gemini_webhooks::event::{JobId, JobKind};
use gemini_webhooks::{Clock as _, SystemClock};
use tokio::time::sleep;

use super::watch::now;
use super::watch::quota::Quota;
use super::{Announced, Inbox, telling};
use crate::error::{InboxError, InboxErrorKind};
use crate::inbox::Stored;
use crate::store::Database;
use crate::worker::ASKED;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What ended a little before the last event came may have been told after it.
const MARGIN: Duration = Duration::from_secs(10 * 60);

/// Batches of a page.
const PAGE: u32 = 100;

/// A list that goes on further has no end.
const PAGES: u32 = 10_000;

/// Progress is logged after so many pages.
const TELL: u32 = 10;

/// So many found batches are named in the result.
const NAMED: usize = 10_000;

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

    async fn walk(&self, stores: bool) -> Result<Backfilled, BackfillError> {
        let mut done = Backfilled::default();
        let walked = self.pages(stores, &mut done).await;
        let (listed, found) = (done.listed, done.found);
        match walked {
            Ok(()) => {
                tracing::info!(
                    listed,
                    found,
                    stores,
                    "a backfill has gone through all batches"
                );
                Ok(done)
            }
            Err(source) => Err(BackfillError {
                source,
                so_far: Box::new(done),
            }),
        }
    }

    /// All pages, because Google says nothing about their order.
    async fn pages(&self, stores: bool, done: &mut Backfilled) -> Result<(), Source> {
        if self.per_minute == 0 {
            let text = "per_minute is 0, so that Google would never be asked";
            return Err(InboxError::new(InboxErrorKind::Invalid, text).into());
        }
        (done.looked_back, done.is_capped) = self.look_back().await?;
        let oldest = SystemClock.now().checked_sub(done.looked_back);
        let oldest = oldest.unwrap_or(UNIX_EPOCH);
        let mut quota = Quota::new(self.per_minute);
        let mut token: Option<String> = None;
        for page_number in 1..=PAGES {
            while let Err(wait) = quota.take(now()) {
                sleep(wait).await;
            }
            let page = self.batches.list_page(Some(PAGE), token.as_deref()).await?;
            for batch in page.items() {
                self.look_at(batch, oldest, stores, done).await?;
            }
            if page_number % TELL == 0 {
                let (listed, found) = (done.listed, done.found);
                tracing::info!(pages = page_number, listed, found, "a backfill goes on");
            }
            let Some(next) = page.next_page_token() else {
                return Ok(());
            };
            token = Some(next.to_owned());
        }
        Err(Source::Endless)
    }

    /// For how long it looks back, and whether that is less than was asked for.
    async fn look_back(&self) -> Result<(Duration, bool), InboxError> {
        let settings = &self.inbox.shared.settings;
        let remembered = settings.keep_done.min(settings.keep_dead);
        // Google's clock may differ.
        let most = remembered.saturating_sub(HOUR);
        let wanted = match self.reach {
            Reach::EndedWithin(time) => time,
            Reach::SinceLastEvent => match self.last_event().await? {
                Some(ago) => ago.saturating_add(MARGIN),
                None => DAY,
            },
        };
        if wanted.is_zero() {
            let text = "ended_within is 0, so that nothing would be found";
            return Err(InboxError::new(InboxErrorKind::Invalid, text));
        }
        if wanted <= most {
            return Ok((wanted, false));
        }
        let (wanted, remembered, hours) = (hours(wanted), hours(remembered), hours(most));
        match self.reach {
            Reach::EndedWithin(_) => {
                let text = format!(
                    "the backfill would look back for {wanted} hours, and the inbox remembers events for {remembered} hours \
                     (keep_done, keep_dead), so that some would be handled again; look back for {hours} hours at most"
                );
                Err(InboxError::new(InboxErrorKind::Invalid, text))
            }
            Reach::SinceLastEvent => {
                tracing::warn!(
                    "the last event came {wanted} hours ago, and the inbox remembers events for {remembered} hours \
                     (keep_done, keep_dead): a backfill looks back for {hours} hours, and does not find what ended before"
                );
                Ok((most, true))
            }
        }
    }

    /// How long ago Google last delivered an event.
    async fn last_event(&self) -> Result<Option<Duration>, InboxError> {
        let shared = &self.inbox.shared;
        let values = vec![shared.namespace(), ASKED.into()];
        let row = shared.only_row(DB::STATEMENTS.jobs.watching.last_event, values);
        let ago = DB::int(&row.await?, 0).map_err(|error| shared.unavailable(error))?;
        Ok(ago.map(|ago| Duration::from_millis(ago.try_into().unwrap_or(0))))
    }

    async fn look_at(
        &self,
        batch: &Batch,
        oldest: SystemTime,
        stores: bool,
        done: &mut Backfilled,
    ) -> Result<(), InboxError> {
        done.listed += 1;
        if !batch.is_done() {
            done.running += 1;
            return Ok(());
        }
        // What was created within the time has ended within it.
        let ended_after = batch.ended_at().or_else(|| batch.created_at());
        if ended_after.is_none_or(|time| time < oldest) {
            done.too_old += 1;
            return Ok(());
        }
        let Some(job) = batch.job() else {
            done.unusable += 1;
            tracing::warn!("a batch has ended whose name cannot be remembered: {batch:?}");
            return Ok(());
        };
        let shared = &self.inbox.shared;
        // To read costs less than to write, and most are known.
        let key = shared.job_key(&job).into();
        if !shared
            .read(DB::STATEMENTS.known, vec![key])
            .await?
            .is_empty()
        {
            done.known += 1;
            return Ok(());
        }
        if stores && let Some(announced) = announced(batch) {
            shared.name_job(&announced, &job).await?;
        }
        let expectation = shared.expectation(&job).await?;
        let metadata = expectation.map(|expectation| expectation.user_metadata());
        let Outcome::Ended(event) = batch.outcome(&metadata.unwrap_or_default()) else {
            done.running += 1;
            return Ok(());
        };
        if stores {
            let why = match batch.ended_at() {
                Some(end) => {
                    let ago = SystemClock.now().duration_since(end).unwrap_or_default();
                    format!("found by a backfill, {ago:.0?} after it ended")
                }
                None => "found by a backfill".to_owned(),
            };
            if shared.put_found(&job, &event, &why).await? == Stored::Copy {
                // A webhook has come meanwhile.
                done.known += 1;
                return Ok(());
            }
            telling::backfilled(&job, &event);
        }
        done.found += 1;
        if done.jobs.len() < NAMED {
            done.jobs.push(FoundJob {
                job,
                event_type: event.type_name().unwrap_or_default().to_owned(),
                ended_at: batch.ended_at(),
            });
        }
        Ok(())
    }
}

/// What the inbox has announced of a batch: the id at the end of its `displayName`.
fn announced(batch: &Batch) -> Option<Announced> {
    let id = own_id(batch.display_name()?)?;
    Some(Announced::new(JobKind::Batch, id))
}

/// The whole of it, or in brackets behind a name.
fn own_id(display_name: &str) -> Option<&str> {
    let bracketed = display_name
        .strip_suffix(')')
        .and_then(|name| name.rsplit_once(" ("));
    let id = bracketed.map_or(display_name, |(_, id)| id);
    let is_own = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_own.then_some(id)
}

/// With one digit behind the point, if that is not 0.
fn hours(time: Duration) -> f64 {
    (time.as_secs_f64() / 360.0).round() / 10.0
}

/// Why a backfill did not come to its end.
///
/// What it has stored stays. Run it again to go on.
#[derive(Debug)]
pub struct BackfillError {
    source: Source,
    so_far: Box<Backfilled>,
}

#[derive(Debug)]
enum Source {
    Inbox(InboxError),
    Google(ClientError),
    Endless,
}

impl BackfillError {
    /// Returns the error of the inbox, if it was that: of its database, of a [setting](InboxErrorKind::Invalid), or that it
    /// is [full](InboxErrorKind::Full).
    #[must_use]
    pub fn inbox_error(&self) -> Option<&InboxError> {
        match &self.source {
            Source::Inbox(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the error of Google's API, if it was that.
    #[must_use]
    pub fn client_error(&self) -> Option<&ClientError> {
        match &self.source {
            Source::Google(error) => Some(error),
            _ => None,
        }
    }

    /// Returns what was done until then.
    #[must_use]
    pub fn so_far(&self) -> &Backfilled {
        &self.so_far
    }
}

impl From<InboxError> for Source {
    fn from(error: InboxError) -> Self {
        Self::Inbox(error)
    }
}

impl From<ClientError> for Source {
    fn from(error: ClientError) -> Self {
        Self::Google(error)
    }
}

impl fmt::Display for BackfillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Backfilled { listed, found, .. } = *self.so_far;
        match listed {
            0 => f.write_str("the backfill has looked at no batch: ")?,
            _ => write!(
                f,
                "the backfill has ended early (batches that it looked at: {listed}, found: {found}); run it again to go \
                 on: "
            )?,
        }
        match &self.source {
            Source::Inbox(error) => error.fmt(f),
            Source::Google(error) => error.fmt(f),
            Source::Endless => write!(f, "Google's list of batches has more than {PAGES} pages"),
        }
    }
}

impl Error for BackfillError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.source {
            Source::Inbox(error) => Some(error),
            Source::Google(error) => Some(error),
            Source::Endless => None,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_at_the_end_of_a_name() {
        const ID: &str = "0a1b0a1b0a1b0a1b0a1b0a1b0a1b0a1b";
        for (name, display_name, id) in [
            ("alone", ID.to_owned(), Some(ID)),
            ("behind a name", format!("nightly ({ID})"), Some(ID)),
            ("with brackets", format!("nightly (EU) ({ID})"), Some(ID)),
            ("not at the end", format!("{ID} (EU)"), None),
            ("no brackets", format!("nightly {ID}"), None),
            ("too long", format!("{ID}0"), None),
            ("another", "nightly (EU)".to_owned(), None),
            ("no name", String::new(), None),
        ] {
            assert_eq!(own_id(&display_name), id, "{name}");
        }
    }

    #[test]
    fn hours_have_one_digit_behind_the_point() {
        for (seconds, shown) in [
            (90_000, "25"),
            (91_800, "25.5"),
            (605_000, "168.1"),
            (1, "0"),
        ] {
            assert_eq!(hours(Duration::from_secs(seconds)).to_string(), shown);
        }
    }
}
