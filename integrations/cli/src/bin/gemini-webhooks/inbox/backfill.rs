//! `backfill`: stores the events of batches whose end nobody has told the inbox.

use std::pin::pin;
use std::time::Duration;

use clap::Args;
use gemini_webhooks_inbox::{
    Backfill, BackfillError, Backfilled, Database, FoundJob, Inbox, InboxErrorKind,
};
use serde_json::{Value, json};

use super::look::age;
use crate::exit::{Exit, Failure};
use crate::manage::{About, Api};
use crate::shown::{self, plain};
use crate::stop::Stop;
use crate::values;

/// No inbox keeps events that are over for a shorter time.
pub(super) const SHORTEST: Duration = Duration::from_secs(25 * 60 * 60);
/// After so long the user is told that something is going on.
const SLOW: Duration = Duration::from_secs(2);
/// So many found batches are shown.
const FIRST: usize = 10;

const EXAMPLES: &str = "\
Examples:
  gemini-webhooks inbox backfill --dry-run --sqlite webhooks.db
  gemini-webhooks inbox backfill --since-last-event --sqlite webhooks.db
  gemini-webhooks inbox backfill --ended-within 72h --kept-for 168h --sqlite webhooks.db";

/// Look for batches that ended lately and of which the inbox has no event, and store their events.
///
/// Run it when you begin to use the inbox, and after an outage. It goes through all batches of the project that the API key
/// belongs to, also through those of other apps. A worker of your app handles the events. A webhook that comes later is recognised as a copy. If it ends early,
/// what was stored stays: run it again to go on. Interactions and videos cannot be listed, so it finds none of them.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Look for batches that ended within this time until now. 24 hours if nothing is given.
    #[arg(long, value_name = "DURATION", value_parser = values::duration, conflicts_with = "since_last_event")]
    ended_within: Option<Duration>,

    /// Look for batches that ended since Google last delivered an event, less 10 minutes. If an event may have come since
    /// the outage, give its length by --ended-within.
    #[arg(long)]
    since_last_event: bool,

    /// For how long your app keeps events that are over: the shorter one of `keep_done` and `keep_dead` of its inbox. What
    /// ended longer ago, less an hour, could be handled a second time, so it is never stored.
    #[arg(long, value_name = "DURATION", default_value = "25h", value_parser = kept_for)]
    kept_for: Duration,

    /// Make so many requests in a minute at most. Each lists 100 batches.
    #[arg(long, value_name = "REQUESTS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    per_minute: u32,

    /// Say what would be stored, and store nothing.
    #[arg(long)]
    dry_run: bool,

    /// Print the result as JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    api: Api,
}

fn kept_for(text: &str) -> Result<Duration, String> {
    let kept = values::duration(text)?;
    if kept < SHORTEST {
        return Err("no inbox keeps events for less than 25h".to_owned());
    }
    Ok(kept)
}

impl Options {
    pub(super) fn kept_for(&self) -> Duration {
        self.kept_for
    }

    pub(super) async fn run<DB: Database>(
        &self,
        inbox: &Inbox<DB>,
        mut stop: Stop,
    ) -> Result<Exit, Failure> {
        let service = self.api.service().await?;
        let mut backfill = inbox.backfill(&service.client).per_minute(self.per_minute);
        if let Some(time) = self.ended_within {
            backfill = backfill.ended_within(time);
        }
        if self.since_last_event {
            backfill = backfill.since_last_event();
        }
        let Some(done) = stop.unless(self.walk(&backfill)).await else {
            shown::note("Ended by Ctrl-C. What was stored stays: run it again to go on.");
            return Ok(Exit::Stopped);
        };
        match done {
            Ok(done) => self.result(&done),
            Err(error) => {
                let failure = match (error.client_error(), error.inbox_error()) {
                    (Some(error), _) => service.failed(error, About::Project),
                    (_, Some(error)) if error.kind() == InboxErrorKind::Invalid => {
                        Failure::unusable(format!(
                            "{}. If your app keeps them for longer, give that by --kept-for",
                            plain(error)
                        ))
                    }
                    (_, Some(error)) => super::failed(error),
                    (None, None) => Failure::new(plain(&error)),
                };
                let Backfilled { listed, found, .. } = *error.so_far();
                if listed == 0 {
                    return Err(failure);
                }
                let events = self.events(found);
                Err(failure.while_doing(format_args!("{events}, and then it failed")))
            }
        }
    }

    async fn walk<DB: Database>(
        &self,
        backfill: &Backfill<DB>,
    ) -> Result<Backfilled, BackfillError> {
        let walk = async {
            if self.dry_run {
                backfill.dry_run().await
            } else {
                backfill.run().await
            }
        };
        let mut walk = pin!(walk);
        tokio::select! {
            biased;
            done = &mut walk => return done,
            () = tokio::time::sleep(SLOW) => {}
        }
        shown::note(format_args!(
            "Still going through the project's batches, within --per-minute {}. Ctrl-C ends it.",
            self.per_minute
        ));
        walk.await
    }

    /// What became of so many events.
    fn events(&self, found: u64) -> String {
        let verb = match (self.dry_run, found) {
            (true, _) => "would be",
            (false, 1) => "was",
            (false, _) => "were",
        };
        format!("{} {verb} stored", super::change::events(found))
    }

    fn result(&self, done: &Backfilled) -> Result<Exit, Failure> {
        if self.json {
            let jobs: Vec<Value> = done.jobs.iter().map(as_json).collect();
            shown::json(&json!({
                "dry_run": self.dry_run,
                "looked_back_seconds": done.looked_back.as_secs(),
                "is_capped": done.is_capped,
                "listed": done.listed,
                "running": done.running,
                "too_old": done.too_old,
                "known": done.known,
                "unusable": done.unusable,
                "found": done.found,
                "jobs": jobs,
            }))?;
        } else {
            shown::line(format_args!("listed   {}", done.listed))?;
            shown::line(format_args!("running  {}", done.running))?;
            shown::line(format_args!("too old  {}", done.too_old))?;
            shown::line(format_args!("known    {}", done.known))?;
            shown::line(format_args!("found    {}", done.found))?;
            if done.found > 0 {
                shown::line(table(done))?;
            }
        }
        shown::note(format_args!(
            "{}. It looked back for {}.",
            self.events(done.found),
            age(done.looked_back)
        ));
        if done.is_capped {
            shown::warning(
                "the last event came longer ago than that, and what ended before could be handled a second time. If your \
                 app keeps events that are over for longer, give that by --kept-for",
            );
        }
        if done.unusable > 0 {
            shown::warning(format_args!(
                "{} batches have names that are longer than any of Google's, and were left alone",
                done.unusable
            ));
        }
        Ok(Exit::Done)
    }
}

fn as_json(found: &FoundJob) -> Value {
    json!({
        "job": found.job.to_string(),
        "type": found.event_type,
        "ended_at": found.ended_at.map(shown::time),
    })
}

/// The first of those that were found.
fn table(done: &Backfilled) -> String {
    let mut table = shown::table(&["JOB", "TYPE", "ENDED"]);
    for found in done.jobs.iter().take(FIRST) {
        table.add_row([
            plain(&found.job),
            plain(&found.event_type),
            found.ended_at.map_or("unknown".to_owned(), shown::time),
        ]);
    }
    let more = done.found.saturating_sub(FIRST as u64);
    let more = match more {
        0 => String::new(),
        _ => format!("\nand {more} more"),
    };
    format!("{table}{more}")
}
