//! The record of an event.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gemini_webhooks::GeminiEvent;
use serde::{Deserialize, Serialize};

use crate::store::Database;
use crate::worker::ASKED;

/// What has become of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// It waits for its first run, or for the next.
    Waiting,
    /// A worker has it.
    Running,
    /// It was worked off, or [discarded](What::Discarded): the last change of its history says which.
    Done,
    /// A dead letter: it is not tried again unless somebody asks for it.
    Dead,
}

impl State {
    pub(crate) const fn number(self) -> i64 {
        match self {
            Self::Waiting => 0,
            Self::Running => 1,
            Self::Done => 2,
            Self::Dead => 3,
        }
    }

    pub(crate) const fn of(number: i64) -> Self {
        match number {
            0 => Self::Waiting,
            1 => Self::Running,
            2 => Self::Done,
            _ => Self::Dead,
        }
    }
}

/// What happened to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum What {
    /// It was stored.
    Stored,
    /// A worker began a run.
    Begun,
    /// It was worked off.
    Done,
    /// A run failed, and it will be tried again.
    Failed,
    /// It became a dead letter.
    Dead,
    /// A worker that ended gave it back.
    GivenBack,
    /// Somebody had it tried again.
    Retried,
    /// Somebody decided that it is not worked off.
    Discarded,
    /// A later version of this crate knows more.
    #[serde(other)]
    Other,
}

/// A step in the life of an event.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Change {
    #[serde(rename = "at", deserialize_with = "milliseconds")]
    at: SystemTime,
    what: What,
    #[serde(default)]
    why: String,
}

impl Change {
    /// Returns when it happened, by the database's clock.
    #[must_use]
    pub fn at(&self) -> SystemTime {
        self.at
    }

    /// Returns what happened.
    #[must_use]
    pub fn what(&self) -> What {
        self.what
    }

    /// Returns why, which may be empty: for a failure it is the error, at most a thousand characters of
    /// it.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
}

fn milliseconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
    i64::deserialize(deserializer).map(time)
}

pub(crate) fn time(milliseconds: i64) -> SystemTime {
    let since = Duration::from_millis(milliseconds.unsigned_abs());
    let time = if milliseconds < 0 {
        UNIX_EPOCH.checked_sub(since)
    } else {
        UNIX_EPOCH.checked_add(since)
    };
    time.unwrap_or(UNIX_EPOCH)
}

/// So much of an error is kept.
const LONGEST: usize = 1000;

/// A change as it is appended to the history, where the database puts the time before it.
pub(crate) fn change(what: What, why: &str) -> String {
    #[derive(Serialize)]
    struct Said<'a> {
        what: What,
        #[serde(skip_serializing_if = "str::is_empty")]
        why: &'a str,
    }
    let end = why
        .char_indices()
        .nth(LONGEST)
        .map_or(why.len(), |(end, _)| end);
    let why = why.get(..end).unwrap_or(why);
    // Text and names of our own are always JSON.
    let said = serde_json::to_string(&Said { what, why }).unwrap_or_default();
    said.strip_prefix('{').unwrap_or_default().to_owned()
}

/// The oldest part of a long history is cut off, maybe within a change.
fn history(text: &str) -> Vec<Change> {
    let mut rest = text;
    loop {
        if let Ok(changes) = serde_json::from_str(&format!("[{rest}]")) {
            return changes;
        }
        match rest.split_once(",\n") {
            Some((_, later)) => rest = later,
            None => return Vec::new(),
        }
    }
}

/// An event in the inbox, as it was when it was looked at.
#[derive(Clone, Debug)]
pub struct Entry {
    number: i64,
    webhook_id: String,
    scheme: String,
    key_id: String,
    sent_at: i64,
    event: GeminiEvent,
    state: State,
    attempts: u32,
    received_at: SystemTime,
    due_at: SystemTime,
    ended_at: Option<SystemTime>,
    history: Vec<Change>,
}

impl Entry {
    /// In the order of what is listed.
    pub(crate) fn read<DB: Database>(row: &DB::Row) -> Result<Self, sqlx::Error> {
        let number = |column| DB::int(row, column).map(Option::unwrap_or_default);
        Ok(Self {
            number: number(0)?,
            webhook_id: DB::text(row, 1)?,
            scheme: DB::text(row, 2)?,
            key_id: DB::text(row, 3)?,
            sent_at: number(4)?,
            event: GeminiEvent::parse(DB::bytes(row, 5)?),
            state: State::of(number(6)?),
            attempts: number(7)?.try_into().unwrap_or(u32::MAX),
            received_at: time(number(8)?),
            due_at: time(number(9)?),
            ended_at: DB::int(row, 10)?.map(time),
            history: history(&DB::text(row, 11)?),
        })
    }

    /// Returns the number of the event in this inbox, which rises with the order of arrival.
    #[must_use]
    pub fn number(&self) -> i64 {
        self.number
    }

    /// Returns the `webhook-id` under which it was first delivered.
    #[must_use]
    pub fn webhook_id(&self) -> &str {
        &self.webhook_id
    }

    /// Returns how the delivery was signed: `v1`, `v1a` or `jwt`. `asked` if the event was [found](Self::found).
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Returns whether the event was found by asking Google for the job, because no webhook had brought it in time.
    #[must_use]
    pub fn found(&self) -> bool {
        self.scheme == ASKED
    }

    /// Returns the name of the key that signed the delivery.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Returns when the delivery was sent that was stored.
    #[must_use]
    pub fn sent_at(&self) -> SystemTime {
        time(self.sent_at.saturating_mul(1000))
    }

    /// Returns the event.
    #[must_use]
    pub fn event(&self) -> &GeminiEvent {
        &self.event
    }

    /// Returns what has become of it.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Returns how many runs were begun since it was stored, or since somebody last had it tried again.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns when it was stored.
    #[must_use]
    pub fn received_at(&self) -> SystemTime {
        self.received_at
    }

    /// Returns when the next run may begin, or until when the worker that has it holds it.
    #[must_use]
    pub fn due_at(&self) -> SystemTime {
        self.due_at
    }

    /// Returns when it was worked off, was discarded, or became a dead letter.
    #[must_use]
    pub fn ended_at(&self) -> Option<SystemTime> {
        self.ended_at
    }

    /// Returns what happened to it, the oldest first. Of a very long history the beginning is missing.
    #[must_use]
    pub fn history(&self) -> &[Change] {
        &self.history
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_as_they_were_written() {
        let whole = format!(
            "{{\"at\":1500,{},\n{{\"at\":-1,{}",
            change(What::Failed, "a \"quote\"\n\0"),
            change(What::Done, "")
        );
        let [failed, done] = &history(&whole)[..] else {
            panic!("{whole}");
        };
        assert_eq!(failed.at(), UNIX_EPOCH + Duration::from_millis(1500));
        assert_eq!(
            (failed.what(), failed.why()),
            (What::Failed, "a \"quote\"\n\0")
        );
        assert_eq!((done.what(), done.why()), (What::Done, ""));
    }

    #[test]
    fn a_history_that_was_cut_begins_later() {
        let whole = format!(
            "{{\"at\":1,{},\n{{\"at\":2,{}",
            change(What::Failed, "one,\ntwo"),
            change(What::Dead, "x")
        );
        for cut in 1..whole.find(",\n{").unwrap() + 1 {
            let read = history(&whole[cut..]);
            assert_eq!(read.len(), 1, "{cut}: {read:?}");
            assert_eq!(read[0].what(), What::Dead);
        }
    }

    #[test]
    fn a_long_error_is_cut_between_characters() {
        let said = change(What::Failed, &"ü".repeat(3000));
        assert_eq!(said.matches('ü').count(), LONGEST);
    }

    #[test]
    fn a_change_of_a_later_version_can_be_read() {
        let read = history(r#"{"at":1,"what":"sublimed","more":1}"#);
        assert_eq!(read[0].what(), What::Other);
    }
}
