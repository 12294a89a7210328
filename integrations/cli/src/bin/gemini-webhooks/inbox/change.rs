//! What changes events: `retry` and `drop`. Both first say what they will change.

use clap::{ArgGroup, Args, ValueEnum};
use gemini_webhooks_inbox::{Database, Inbox};
use serde_json::{Value, json};

use super::order::{Change, Found, Order};
use super::{Filter, StateName, entry, failed, number};
use crate::ask;
use crate::exit::{Exit, Failure};
use crate::shown::{self, plain};
use crate::stop::Stop;

const RETRY_EXAMPLES: &str = "\
Examples:
  gemini-webhooks inbox retry 42 43 --sqlite webhooks.db
  gemini-webhooks inbox retry --state dead --type batch.succeeded --dry-run --sqlite webhooks.db
  gemini-webhooks inbox retry --all-dead --why 'the bucket is back' --yes --sqlite webhooks.db";

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
#[command(group = which())]
pub(super) struct Retry {
    /// All events in this state.
    #[arg(long, value_enum, help_heading = "Which events")]
    state: Option<Over>,

    #[command(flatten)]
    which: Which,
}

/// Drop dead letters, or events that wait: they are not worked off.
///
/// They stay in the inbox, as done, for as long as events that were worked off. So a copy that Google sends is recognised,
/// and `retry` takes it back. What runs is left alone.
#[derive(Debug, Args)]
#[command(after_help = DROP_EXAMPLES)]
#[command(group = which())]
pub(super) struct Discard {
    /// All events in this state.
    #[arg(long, value_enum, help_heading = "Which events")]
    state: Option<Unended>,

    #[command(flatten)]
    which: Which,
}

/// What can be tried again.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Over {
    /// Dead letters.
    Dead,
    /// Events that were worked off or dropped.
    Done,
}

/// What can be dropped.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Unended {
    /// Dead letters.
    Dead,
    /// Events that wait for their first run, or for the next.
    Waiting,
}

impl From<Over> for StateName {
    fn from(state: Over) -> Self {
        match state {
            Over::Dead => Self::Dead,
            Over::Done => Self::Done,
        }
    }
}

impl From<Unended> for StateName {
    fn from(state: Unended) -> Self {
        match state {
            Unended::Dead => Self::Dead,
            Unended::Waiting => Self::Waiting,
        }
    }
}

/// What is meant has to be said.
fn which() -> ArgGroup {
    ArgGroup::new("which")
        .args(["numbers", "state", "all_dead"])
        .required(true)
}

fn number_of_event(text: &str) -> Result<i64, String> {
    number(text).map_err(|error| format!("{error}, or --state and --webhook-id"))
}

#[derive(Debug, Args)]
struct Which {
    /// The numbers of events, as `inbox list` shows them.
    #[arg(value_name = "NUMBER", value_parser = number_of_event)]
    numbers: Vec<i64>,

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

impl Retry {
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.which.check(Change::Retry)
    }

    pub(super) async fn run<DB: Database>(
        &self,
        inbox: &Inbox<DB>,
        namespace: &str,
        stop: Stop,
    ) -> Result<Exit, Failure> {
        let state = self.state.map(Into::into);
        let order = self.which.order(Change::Retry, state, inbox);
        self.which.run(&order, namespace, stop).await
    }
}

impl Discard {
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.which.check(Change::Drop)
    }

    pub(super) async fn run<DB: Database>(
        &self,
        inbox: &Inbox<DB>,
        namespace: &str,
        stop: Stop,
    ) -> Result<Exit, Failure> {
        let state = self.state.map(Into::into);
        let order = self.which.order(Change::Drop, state, inbox);
        self.which.run(&order, namespace, stop).await
    }
}

impl Which {
    fn check(&self, change: Change) -> Result<(), Failure> {
        if self.yes || self.dry_run {
            return Ok(());
        }
        ask::can_ask(&format!("`inbox {}`", change.name()))
    }

    fn order<'a, DB: Database>(
        &'a self,
        change: Change,
        state: Option<StateName>,
        inbox: &'a Inbox<DB>,
    ) -> Order<'a, DB> {
        let state = if self.all_dead {
            Some(StateName::Dead)
        } else {
            state
        };
        Order {
            inbox,
            change,
            numbers: &self.numbers,
            filter: Filter {
                state,
                event_type: self.event_type.clone(),
                webhook_id: self.webhook_id.clone(),
            },
            why: &self.why,
        }
    }

    async fn run<DB: Database>(
        &self,
        order: &Order<'_, DB>,
        namespace: &str,
        mut stop: Stop,
    ) -> Result<Exit, Failure> {
        let change = order.change;
        let Some(found) = stop.unless(order.find()).await else {
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
        match order.carry_out(&found, &mut stop, &mut changed).await {
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
        if found.too_many > 0 {
            text.push_str(&format!(
                "\n{} beyond that: too many for one run. Repeat the command for them",
                events(found.too_many)
            ));
        }
        if self.dry_run && !self.json {
            return shown::line(text);
        }
        shown::note(text);
        Ok(())
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
                "beyond": found.too_many,
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

pub(super) fn events(count: u64) -> String {
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
