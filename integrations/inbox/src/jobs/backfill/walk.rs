//! Going through the list, and what is done about each batch.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gemini_webhooks::client::{Batch, Outcome};
use gemini_webhooks::event::JobKind;
use gemini_webhooks::{Clock as _, SystemClock};
use tokio::time::sleep;

use super::error::Source;
use super::{Backfill, BackfillError, Backfilled, DAY, FoundJob, Reach};
use crate::error::{InboxError, InboxErrorKind};
use crate::inbox::Stored;
use crate::jobs::recognise::is_own_id;
use crate::jobs::watch::now;
use crate::jobs::watch::quota::Quota;
use crate::jobs::{Announced, telling};
use crate::store::Database;
use crate::worker::ASKED;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// What ended a little before the last event came may have been told after it.
const MARGIN: Duration = Duration::from_secs(10 * 60);

/// Batches of a page.
const PAGE: u32 = 100;

/// A list that goes on further has no end.
pub(super) const PAGES: u32 = 10_000;

/// Progress is logged after so many pages.
const TELL: u32 = 10;

/// So many found batches are named in the result.
const NAMED: usize = 10_000;

impl<DB: Database> Backfill<DB> {
    pub(super) async fn walk(&self, stores: bool) -> Result<Backfilled, BackfillError> {
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
            Err(source) => Err(BackfillError::new(source, done)),
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
    is_own_id(id).then_some(id)
}

/// With one digit behind the point, if that is not 0.
fn hours(time: Duration) -> f64 {
    (time.as_secs_f64() / 360.0).round() / 10.0
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
