//! What changes nothing: `count`, `list`, `show` and `jobs`.

use std::time::Duration;

use clap::Args;
use gemini_webhooks_inbox::{Awaited, Database, Depth, Entry, Inbox};
use serde_json::{Value, json};

use super::{Filter, entry, failed, number};
use crate::exit::{Exit, Failure};
use crate::shown::{self, plain};

/// So many events are in memory at a time.
const PAGE: u32 = 100;

const COUNT_EXAMPLES: &str = "\
Examples:
  gemini-webhooks inbox count --sqlite webhooks.db
  gemini-webhooks inbox count --state dead --type batch.failed --sqlite webhooks.db";

/// Count the events that wait, that run, and that are dead letters, and say how long the oldest has waited.
///
/// With a filter it prints the number of the events that the filter means.
#[derive(Debug, Args)]
#[command(after_help = COUNT_EXAMPLES)]
pub(super) struct Count {
    #[command(flatten)]
    filter: Filter,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Count {
    pub(super) async fn run<DB: Database>(&self, inbox: &Inbox<DB>) -> Result<Exit, Failure> {
        if !self.filter.is_open() {
            let count = self.filter.of(inbox).count().await;
            let count = count.map_err(|error| failed(&error))?;
            if self.json {
                shown::json(&json!({ "count": count }))?;
            } else {
                shown::line(count)?;
            }
            return Ok(Exit::Done);
        }
        let depth = inbox.depth().await.map_err(|error| failed(&error))?;
        if self.json {
            shown::json(&self::depth(&depth))?;
        } else {
            shown::line(format_args!("waiting  {}", depth.waiting))?;
            shown::line(format_args!("running  {}", depth.running))?;
            shown::line(format_args!("dead     {}", depth.dead))?;
            let oldest = depth.oldest.map_or("none".to_owned(), age);
            shown::line(format_args!("oldest   {oldest}"))?;
        }
        Ok(Exit::Done)
    }
}

pub(super) fn depth(depth: &Depth) -> Value {
    json!({
        "waiting": depth.waiting,
        "running": depth.running,
        "dead": depth.dead,
        "oldest_seconds": depth.oldest.map(|age| age.as_secs()),
    })
}

/// An age in its two largest units.
pub(super) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

const LIST_EXAMPLES: &str = "\
Examples:
  gemini-webhooks inbox list --state dead --sqlite webhooks.db
  gemini-webhooks inbox list --newest --limit 10 --sqlite webhooks.db
  gemini-webhooks inbox list --type batch.failed --after 1234 --sqlite webhooks.db
  gemini-webhooks inbox list --state dead --limit 100000 --json --sqlite webhooks.db";

/// List events, the oldest first.
#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(super) struct List {
    #[command(flatten)]
    filter: Filter,

    /// List so many at most.
    #[arg(long, value_name = "EVENTS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,

    /// Only events that came after the one with this number.
    #[arg(long, value_name = "NUMBER", value_parser = number)]
    after: Option<i64>,

    /// Only events that came before the one with this number.
    #[arg(long, value_name = "NUMBER", value_parser = number)]
    before: Option<i64>,

    /// List the newest first.
    #[arg(long)]
    newest: bool,

    /// Print a line of JSON for each event, without its body and history.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) async fn run<DB: Database>(
        &self,
        inbox: &Inbox<DB>,
        namespace: &str,
    ) -> Result<Exit, Failure> {
        let (mut left, mut from) = (self.limit, None);
        while left > 0 {
            let page = self.page(inbox, from, left.min(PAGE)).await?;
            let Some(last) = page.last() else {
                break;
            };
            from = Some(last.number());
            left = left.saturating_sub(u32::try_from(page.len()).unwrap_or(left));
            if self.json {
                for event in &page {
                    shown::json(&entry::summary(event))?;
                }
            } else {
                shown::line(entry::table(&page))?;
            }
        }
        match from {
            None => {
                let any = inbox.entries().limit(1).list().await;
                let hint = match any.map_err(|error| failed(&error))?.as_slice() {
                    [] => " There is none under it at all. Does the app use another --namespace?",
                    _ => "",
                };
                shown::note(format_args!(
                    "No event under the namespace \"{}\" matches.{hint}",
                    plain(namespace)
                ));
            }
            Some(last) if left == 0 && !self.page(inbox, from, 1).await?.is_empty() => {
                let option = if self.newest { "--before" } else { "--after" };
                shown::note(format_args!("There are more: go on with {option} {last}."));
            }
            Some(_) => {}
        }
        Ok(Exit::Done)
    }

    /// Those that follow the one with the number `from`.
    async fn page<DB: Database>(
        &self,
        inbox: &Inbox<DB>,
        from: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Entry>, Failure> {
        let (after, before) = if self.newest {
            (self.after, from.or(self.before))
        } else {
            (from.or(self.after), self.before)
        };
        let mut entries = self.filter.of(inbox).limit(limit);
        if let Some(after) = after {
            entries = entries.after(after);
        }
        if let Some(before) = before {
            entries = entries.before(before);
        }
        let page = if self.newest {
            entries.list_newest().await
        } else {
            entries.list().await
        };
        page.map_err(|error| failed(&error))
    }
}

const SHOW_EXAMPLES: &str = "\
Examples:
  gemini-webhooks inbox show 42 --sqlite webhooks.db
  gemini-webhooks inbox show msg_2f1d0b7e --json --sqlite webhooks.db";

/// Show all of an event: its body, and what has happened to it.
#[derive(Debug, Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub(super) struct Show {
    /// The number of the event, or its `webhook-id`.
    #[arg(value_name = "NUMBER|WEBHOOK-ID")]
    event: String,

    /// Print a line of JSON for each event that has this number or `webhook-id`.
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) async fn run<DB: Database>(
        &self,
        inbox: &Inbox<DB>,
        namespace: &str,
    ) -> Result<Exit, Failure> {
        let mut found = Vec::new();
        if let Ok(number) = self.event.parse() {
            let listed = inbox.entries().number(number).list().await;
            found = listed.map_err(|error| failed(&error))?;
        }
        if found.is_empty() {
            let listed = inbox.entries().webhook_id(&self.event).list().await;
            found = listed.map_err(|error| failed(&error))?;
        }
        if found.is_empty() {
            return Err(Failure::new(format!(
                "no event under the namespace \"{}\" has the number or the webhook-id \"{}\": `inbox list` shows those that \
                 are there. Events that are over are removed after some days",
                plain(namespace),
                plain(&self.event)
            )));
        }
        let several = found.len() > 1;
        for (index, event) in found.iter().enumerate() {
            if self.json {
                shown::json(&entry::whole(event))?;
                continue;
            }
            if index > 0 {
                shown::line("")?;
            }
            shown::line(entry::page(event))?;
        }
        if several {
            shown::note(format_args!(
                "{} events have this webhook-id: they are signed in different ways.",
                found.len()
            ));
        }
        Ok(Exit::Done)
    }
}

const JOBS_EXAMPLES: &str = "\
Examples:
  gemini-webhooks inbox jobs --sqlite webhooks.db
  gemini-webhooks inbox jobs --json --sqlite webhooks.db";

/// Count the jobs whose end your app expects, and say for how long the first of them is overdue.
///
/// Your app expects a job when it writes it down in the inbox. `unnamed` are jobs that were announced, and whose name is not
/// known yet; `overdue` are jobs whose time is over. If jobs stay overdue, no watcher runs.
#[derive(Debug, Args)]
#[command(after_help = JOBS_EXAMPLES)]
pub(super) struct Jobs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Jobs {
    pub(super) async fn run<DB: Database>(&self, inbox: &Inbox<DB>) -> Result<Exit, Failure> {
        let awaited = inbox.awaited().await.map_err(|error| failed(&error))?;
        let Awaited {
            open,
            unnamed,
            overdue,
            longest_overdue,
            ..
        } = awaited;
        if self.json {
            shown::json(&json!({
                "open": open,
                "unnamed": unnamed,
                "overdue": overdue,
                "longest_overdue_seconds": longest_overdue.map(|time| time.as_secs()),
            }))?;
        } else {
            shown::line(format_args!("open     {open}"))?;
            shown::line(format_args!("unnamed  {unnamed}"))?;
            shown::line(format_args!("overdue  {overdue}"))?;
            let longest = longest_overdue.map_or("none".to_owned(), age);
            shown::line(format_args!("longest  {longest}"))?;
        }
        Ok(Exit::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_two_units() {
        for (seconds, shown) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min 0 s"),
            (3599, "59 min 59 s"),
            (3600, "1 h 0 min"),
            (86399, "23 h 59 min"),
            (90000, "1 d 1 h"),
        ] {
            assert_eq!(age(Duration::from_secs(seconds)), shown);
        }
    }
}
