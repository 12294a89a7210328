//! What changes events: `retry` and `drop`. Both first say what they will change.

use std::pin::pin;

use clap::{ArgGroup, Args};
use gemini_webhooks_inbox::{Database, Entries, Entry, Inbox, InboxError, State};
use serde_json::{Value, json};

use super::{Filter, StateName, entry, failed};
use crate::ask;
use crate::exit::{Exit, Failure};
use crate::shown::{self, plain};
use crate::stop::Stop;

/// So many are shown before they are changed.
const FIRST: u32 = 10;
/// So many are changed in a statement: a receiver that writes to SQLite waits for it.
const BATCH: u32 = 100;

const RETRY_EXAMPLES: &str = "\
Examples:
  gemini-webhooks inbox retry 42 43 --sqlite webhooks.db
  gemini-webhooks inbox retry --state dead --type batch.succeeded --dry-run --sqlite webhooks.db
  gemini-webhooks inbox retry --all-dead --why 'the bucket can be read again' --yes --sqlite webhooks.db";

const DROP_EXAMPLES: &str = "\
Examples:
  gemini-webhooks inbox drop 42 --why 'the order was cancelled' --sqlite webhooks.db
  gemini-webhooks inbox drop --state dead --type video.generated --dry-run --sqlite webhooks.db
  gemini-webhooks inbox drop --state waiting --webhook-id msg_2f1d0b7e --yes --sqlite webhooks.db";

/// Have events tried again: dead letters, or events that were worked off or dropped.
///
/// A worker of your app runs them with all their attempts anew. What waits or runs is left alone.
#[derive(Debug, Args)]
#[command(after_help = RETRY_EXAMPLES)]
pub(super) struct Retry {
    #[command(flatten)]
    which: Which,
}

/// Drop dead letters, or events that wait: they are not worked off.
///
/// They stay in the inbox, as done, for as long as events that were worked off. So a copy that Google sends is recognised,
/// and `retry` takes it back. What runs is left alone.
#[derive(Debug, Args)]
#[command(after_help = DROP_EXAMPLES)]
pub(super) struct Discard {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["numbers", "state", "all_dead"]).required(true))]
struct Which {
    /// The numbers of events, as `inbox list` shows them.
    #[arg(value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..))]
    numbers: Vec<i64>,

    /// All events in this state.
    #[arg(long, value_enum, help_heading = "Which events")]
    state: Option<StateName>,

    /// All dead letters. It is the same as --state dead.
    #[arg(long, help_heading = "Which events", conflicts_with_all = ["event_type", "webhook_id"])]
    all_dead: bool,

    /// Of these, only events of this type.
    #[arg(
        long = "type",
        value_name = "TYPE",
        help_heading = "Which events",
        conflicts_with = "numbers"
    )]
    event_type: Option<String>,

    /// Of these, only events with this `webhook-id`.
    #[arg(
        long,
        value_name = "ID",
        help_heading = "Which events",
        conflicts_with = "numbers"
    )]
    webhook_id: Option<String>,

    /// Why. It is kept in the history of the events.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "by hand, at the command line"
    )]
    why: String,

    /// Say what would be changed, and change nothing.
    #[arg(long)]
    dry_run: bool,

    /// Do not ask.
    #[arg(long)]
    yes: bool,

    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// What is done to events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Retry,
    Drop,
}

impl Change {
    /// Why an event in this state is left alone.
    pub(super) fn objection(self, state: State) -> Option<&'static str> {
        match (self, state) {
            (Self::Retry, State::Dead | State::Done)
            | (Self::Drop, State::Dead | State::Waiting) => None,
            (Self::Retry, State::Waiting) => Some("it waits, and is tried anyway"),
            (Self::Drop, State::Done) => Some("it is over already"),
            (_, State::Running) => Some("a worker runs it just now"),
            _ => Some("this program does not know its state"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Drop => "drop",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Retry => "to be tried again",
            Self::Drop => "dropped",
        }
    }

    /// Changes what still can be changed, and returns how many that was.
    pub(super) async fn make<DB: Database>(
        self,
        entries: Entries<DB>,
        why: &str,
    ) -> Result<u64, InboxError> {
        match self {
            Self::Retry => entries.retry(why).await,
            Self::Drop => entries.discard(why).await,
        }
    }

    fn check(self, which: &Which) -> Result<(), Failure> {
        if let Some(state) = which.state
            && let Some(why) = self.objection(state.into())
        {
            return Err(Failure::unusable(format!(
                "`inbox {}` does not change an event in this state: {why}. Give --state dead{}",
                self.name(),
                match self {
                    Self::Retry => " or --state done",
                    Self::Drop => " or --state waiting",
                }
            )));
        }
        if !which.yes && !which.dry_run {
            ask::can_ask(&format!("`inbox {}`", self.name()))?;
        }
        Ok(())
    }
}

/// What was found before anything is changed.
struct Found {
    events: u64,
    first: Vec<Entry>,
    /// Of those that were named: which are changed, and why others are not.
    named: Vec<i64>,
    left_alone: Vec<(i64, &'static str)>,
    /// Whatever comes later is not meant.
    newest: i64,
}

impl Retry {
    pub(super) fn check(&self) -> Result<(), Failure> {
        Change::Retry.check(&self.which)
    }

    pub(super) async fn run<DB: Database>(
        &self,
        inbox: &Inbox<DB>,
        namespace: &str,
        stop: Stop,
    ) -> Result<Exit, Failure> {
        self.which.run(Change::Retry, inbox, namespace, stop).await
    }
}

impl Discard {
    pub(super) fn check(&self) -> Result<(), Failure> {
        Change::Drop.check(&self.which)
    }

    pub(super) async fn run<DB: Database>(
        &self,
        inbox: &Inbox<DB>,
        namespace: &str,
        stop: Stop,
    ) -> Result<Exit, Failure> {
        self.which.run(Change::Drop, inbox, namespace, stop).await
    }
}

impl Which {
    fn filter(&self) -> Filter {
        Filter {
            state: if self.all_dead {
                Some(StateName::Dead)
            } else {
                self.state
            },
            event_type: self.event_type.clone(),
            webhook_id: self.webhook_id.clone(),
        }
    }

    async fn run<DB: Database>(
        &self,
        change: Change,
        inbox: &Inbox<DB>,
        namespace: &str,
        mut stop: Stop,
    ) -> Result<Exit, Failure> {
        let Some(found) = stop.unless(self.find(change, inbox)).await else {
            return Ok(Exit::Stopped);
        };
        let found = found.map_err(|error| failed(&error))?;
        for (number, why) in &found.left_alone {
            shown::warning(format_args!("{number} is left alone: {why}"));
        }
        if found.events == 0 {
            shown::note(format_args!(
                "Nothing to {} under the namespace \"{}\".",
                change.name(),
                plain(namespace)
            ));
        } else {
            self.announce(change, &found)?;
        }
        if self.dry_run || found.events == 0 {
            return self.result(change, &found, 0);
        }
        if !self.yes {
            let question = format!("{} {}?", capital(change.name()), events(found.events));
            if let Some(stopped) = ask::confirm(&mut stop, &question).await? {
                return Ok(stopped);
            }
        }
        let mut changed = 0;
        let ended = self
            .change(change, inbox, &found, &mut stop, &mut changed)
            .await;
        match ended {
            Ok(true) => self.result(change, &found, changed),
            Ok(false) => {
                shown::note(format_args!(
                    "Stopped: {} of {} {}.",
                    changed,
                    events(found.events),
                    change.done()
                ));
                Ok(Exit::Stopped)
            }
            Err(error) => Err(failed(&error).while_doing(format_args!(
                "{changed} of {} {}, and then it failed",
                events(found.events),
                change.done()
            ))),
        }
    }

    async fn find<DB: Database>(
        &self,
        change: Change,
        inbox: &Inbox<DB>,
    ) -> Result<Found, InboxError> {
        let mut found = Found {
            events: 0,
            first: Vec::new(),
            named: Vec::new(),
            left_alone: Vec::new(),
            newest: 0,
        };
        if self.numbers.is_empty() {
            let meant = self.filter().of(inbox);
            let newest = meant.clone().limit(1).list_newest().await?;
            found.newest = newest.first().map_or(0, Entry::number);
            let meant = meant.before(found.newest.saturating_add(1));
            found.events = meant.clone().count().await?;
            found.first = meant.limit(FIRST).list().await?;
            return Ok(found);
        }
        let mut numbers = self.numbers.clone();
        numbers.sort_unstable();
        numbers.dedup();
        for number in numbers {
            let listed = inbox.entries().number(number).list().await?;
            let Some(event) = listed.into_iter().next() else {
                found.left_alone.push((number, "there is no such event"));
                continue;
            };
            if let Some(why) = change.objection(event.state()) {
                found.left_alone.push((number, why));
                continue;
            }
            found.events += 1;
            found.named.push(number);
            if found.first.len() < FIRST as usize {
                found.first.push(event);
            }
        }
        Ok(found)
    }

    /// Says what will be changed. With --dry-run that is the result.
    fn announce(&self, change: Change, found: &Found) -> Result<(), Failure> {
        let verb = if self.dry_run { "would be" } else { "will be" };
        let what = match change {
            Change::Retry => "tried again",
            Change::Drop => "dropped",
        };
        let mut text = format!(
            "{} {verb} {what}:\n{}",
            events(found.events),
            entry::table(&found.first)
        );
        let more = found.events.saturating_sub(found.first.len() as u64);
        if more > 0 {
            text.push_str(&format!("\nand {more} more"));
        }
        if self.dry_run && !self.json {
            return shown::line(text);
        }
        shown::note(text);
        Ok(())
    }

    /// Returns false if it was stopped before its end.
    async fn change<DB: Database>(
        &self,
        change: Change,
        inbox: &Inbox<DB>,
        found: &Found,
        stop: &mut Stop,
        changed: &mut u64,
    ) -> Result<bool, InboxError> {
        for number in &found.named {
            let one = change.make(inbox.entries().number(*number), &self.why);
            let (count, stopped) = to_its_end(one, stop).await?;
            *changed += count;
            if stopped {
                return Ok(false);
            }
        }
        if !found.named.is_empty() {
            return Ok(true);
        }
        let meant = self
            .filter()
            .of(inbox)
            .before(found.newest.saturating_add(1));
        let mut from = 0;
        let mut told = 0;
        loop {
            // A worker may end an event at once, as it was before. So each is looked at once, in its order.
            let rest = meant.clone().after(from).limit(BATCH);
            let batch = async {
                let page = rest.clone().list().await?;
                let Some(last) = page.last().map(Entry::number) else {
                    return Ok(None);
                };
                let page = rest.before(last.saturating_add(1));
                Ok(Some((last, change.make(page, &self.why).await?)))
            };
            let (batch, stopped) = to_its_end(batch, stop).await?;
            let Some((last, count)) = batch else {
                return Ok(true);
            };
            (from, *changed) = (last, *changed + count);
            if stopped {
                return Ok(false);
            }
            if *changed >= told + 1_000 {
                told = *changed;
                shown::note(format_args!("{told} of {} …", found.events));
            }
        }
    }

    fn result(&self, change: Change, found: &Found, changed: u64) -> Result<Exit, Failure> {
        if self.json {
            let left_alone: Vec<_> = found
                .left_alone
                .iter()
                .map(|(number, why)| json!({ "number": number, "why": why }))
                .collect();
            let first: Vec<Value> = found.first.iter().map(entry::summary).collect();
            shown::json(&json!({
                "action": change.name(),
                "dry_run": self.dry_run,
                "found": found.events,
                "changed": changed,
                "left_alone": left_alone,
                "first": first,
            }))?;
        } else if !self.dry_run && found.events > 0 {
            shown::line(format_args!("{} {}", events(changed), change.done()))?;
        }
        let missed = found.events.saturating_sub(changed);
        if !self.dry_run && missed > 0 {
            shown::note(format_args!(
                "{} had changed meanwhile, and {} left alone.",
                events(missed),
                if missed == 1 { "was" } else { "were" }
            ));
        }
        let is_missing =
            !found.left_alone.is_empty() || !self.dry_run && !found.named.is_empty() && missed > 0;
        Ok(if is_missing {
            Exit::Refused
        } else {
            Exit::Done
        })
    }
}

/// Also after Ctrl-C a statement comes to its end, so that it can be told what it did. Returns whether there was one.
async fn to_its_end<T>(
    work: impl Future<Output = Result<T, InboxError>>,
    stop: &mut Stop,
) -> Result<(T, bool), InboxError> {
    let mut work = pin!(work);
    tokio::select! {
        done = work.as_mut() => Ok((done?, false)),
        () = stop.requested() => Ok((work.await?, true)),
    }
}

fn events(count: u64) -> String {
    match count {
        1 => "1 event".to_owned(),
        _ => format!("{count} events"),
    }
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_changed() {
        for (state, retried, dropped) in [
            (State::Waiting, false, true),
            (State::Running, false, false),
            (State::Dead, true, true),
            (State::Done, true, false),
        ] {
            assert_eq!(
                Change::Retry.objection(state).is_none(),
                retried,
                "{state:?}"
            );
            assert_eq!(
                Change::Drop.objection(state).is_none(),
                dropped,
                "{state:?}"
            );
        }
    }
}
