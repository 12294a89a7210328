//! `inbox`: looks at the events in an inbox, has them tried again, drops them, and finds those that never came.

mod backfill;
mod change;
mod database;
mod entry;
mod look;
mod order;
mod ui;

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use gemini_webhooks_inbox::{Database, Entries, Inbox as Events, InboxError, State};
use serde::Deserialize;

use crate::exit::{Exit, Failure};
use crate::shown;
use crate::stop::Stop;
use database::{Opened, Place};

const EXAMPLES: &str = "\
Examples:
  gemini-webhooks inbox count --sqlite webhooks.db
  DATABASE_URL=postgres://localhost/orders gemini-webhooks inbox list --state dead
  gemini-webhooks inbox list --state dead --json --sqlite webhooks.db
  gemini-webhooks inbox show 42 --sqlite webhooks.db
  gemini-webhooks inbox retry --state dead --type batch.succeeded --sqlite webhooks.db
  gemini-webhooks inbox drop 42 --why 'the order was cancelled' --sqlite webhooks.db
  gemini-webhooks inbox jobs --sqlite webhooks.db
  gemini-webhooks inbox backfill --dry-run --sqlite webhooks.db
  gemini-webhooks inbox ui --sqlite webhooks.db";

/// Look at the events in an inbox, have them tried again, drop them, or find those that never came.
///
/// The inbox is the one of the crate gemini-webhooks-inbox, in SQLite or PostgreSQL. The program neither makes an
/// inbox nor changes its tables. It may run beside the app's receivers and workers.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Inbox {
    #[command(flatten)]
    place: Place,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Count(look::Count),
    List(look::List),
    Show(look::Show),
    Retry(change::Retry),
    Drop(change::Discard),
    Jobs(look::Jobs),
    Backfill(Box<backfill::Options>),
    Ui(ui::Ui),
}

/// What has become of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
enum StateName {
    /// It waits for its first run, or for the next.
    Waiting,
    /// A worker has it.
    Running,
    /// A dead letter: it failed too often, and is not tried again by itself.
    Dead,
    /// It was worked off, or dropped.
    Done,
}

impl From<StateName> for State {
    fn from(name: StateName) -> Self {
        match name {
            StateName::Waiting => Self::Waiting,
            StateName::Running => Self::Running,
            StateName::Dead => Self::Dead,
            StateName::Done => Self::Done,
        }
    }
}

/// Which events are meant.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which events")]
struct Filter {
    /// Only events in this state (`done` includes dropped ones).
    #[arg(long, value_enum)]
    state: Option<StateName>,

    /// Only events of this type, such as `batch.succeeded`.
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,

    /// Only events with this `webhook-id`.
    #[arg(long, value_name = "ID")]
    webhook_id: Option<String>,
}

impl Filter {
    fn is_open(&self) -> bool {
        self.state.is_none() && self.event_type.is_none() && self.webhook_id.is_none()
    }

    fn of<DB: Database>(&self, inbox: &Events<DB>) -> Entries<DB> {
        let mut entries = inbox.entries();
        if let Some(state) = self.state {
            entries = entries.state(state.into());
        }
        if let Some(event_type) = &self.event_type {
            entries = entries.event_type(event_type);
        }
        if let Some(id) = &self.webhook_id {
            entries = entries.webhook_id(id);
        }
        entries
    }
}

pub(crate) async fn run(options: &Inbox) -> Result<Exit, Failure> {
    let mut stop = Stop::listen()?;
    options.command.check()?;
    let Some(opened) = stop
        .unless(options.place.open(options.command.kept()))
        .await
    else {
        return Err(Failure::stopped());
    };
    let (opened, name) = opened?;
    let (command, namespace) = (&options.command, options.place.namespace());
    match opened {
        Opened::Sqlite(inbox) => command.run(&inbox, &name, namespace, stop).await,
        Opened::Postgres(inbox) => command.run(&inbox, &name, namespace, stop).await,
    }
}

impl Command {
    /// Fails if it could not be done in any inbox.
    fn check(&self) -> Result<(), Failure> {
        match self {
            Self::Retry(retry) => retry.check(),
            Self::Drop(discard) => discard.check(),
            _ => Ok(()),
        }
    }

    /// For how long the app keeps events that are over. It matters to a backfill only.
    fn kept(&self) -> Duration {
        match self {
            Self::Backfill(options) => options.kept_for(),
            _ => backfill::SHORTEST,
        }
    }

    async fn run<DB: Database>(
        &self,
        inbox: &Events<DB>,
        name: &str,
        namespace: &str,
        mut stop: Stop,
    ) -> Result<Exit, Failure> {
        // What changes nothing can end anywhere.
        let looked = match self {
            Self::Count(count) => stop.unless(count.run(inbox)).await,
            Self::List(list) => stop.unless(list.run(inbox, namespace)).await,
            Self::Show(show) => stop.unless(show.run(inbox, namespace)).await,
            Self::Retry(retry) => Some(retry.run(inbox, namespace, stop).await),
            Self::Drop(discard) => Some(discard.run(inbox, namespace, stop).await),
            Self::Jobs(jobs) => stop.unless(jobs.run(inbox)).await,
            Self::Backfill(options) => Some(options.run(inbox, stop).await),
            Self::Ui(ui) => Some(ui.run(inbox, name, namespace, stop).await),
        };
        looked.unwrap_or(Ok(Exit::Stopped))
    }
}

/// The number of an event.
fn number(text: &str) -> Result<i64, String> {
    match text.parse() {
        Ok(number) if number >= 1 => Ok(number),
        _ => Err("give the number that `inbox list` shows".to_owned()),
    }
}

/// The error texts of a database are foreign.
fn failed(error: &InboxError) -> Failure {
    Failure::new(shown::plain(error))
}
