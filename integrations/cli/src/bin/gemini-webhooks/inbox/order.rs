//! An order to change events: what it means, and carrying it out.

use std::pin::pin;
use std::time::Duration;

use gemini_webhooks::{Clock as _, SystemClock};
use gemini_webhooks_inbox::{Database, Entries, Entry, Inbox, InboxError, State};

use super::Filter;
use crate::shown;
use crate::stop::Stop;

/// So many are shown before they are changed.
const FIRST: u32 = 10;
/// So many are changed in a statement: a receiver that writes to SQLite waits for it.
const BATCH: u32 = 100;
/// How often progress is told.
const TELL: Duration = Duration::from_secs(2);

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

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Drop => "drop",
        }
    }

    pub(super) fn done(self) -> &'static str {
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
}

/// What was found before anything is changed.
pub(super) struct Found {
    pub(super) events: u64,
    pub(super) first: Vec<Entry>,
    /// Of those that were named: which are changed, and why others are not.
    pub(super) named: Vec<(i64, State)>,
    pub(super) left_alone: Vec<(i64, &'static str)>,
    /// Whatever comes later is not meant.
    newest: i64,
}

/// What is to be changed, and how.
pub(super) struct Order<'a, DB: Database> {
    pub(super) inbox: &'a Inbox<DB>,
    pub(super) change: Change,
    /// If these are none, all that the filter means.
    pub(super) numbers: &'a [i64],
    pub(super) filter: Filter,
    pub(super) why: &'a str,
}

impl<DB: Database> Order<'_, DB> {
    pub(super) async fn find(&self) -> Result<Found, InboxError> {
        let mut found = Found {
            events: 0,
            first: Vec::new(),
            named: Vec::new(),
            left_alone: Vec::new(),
            newest: 0,
        };
        if self.numbers.is_empty() {
            let meant = self.filter.of(self.inbox);
            let newest = meant.clone().limit(1).list_newest().await?;
            found.newest = newest.first().map_or(0, Entry::number);
            let meant = meant.before(found.newest.saturating_add(1));
            found.events = meant.clone().count().await?;
            found.first = meant.limit(FIRST).list().await?;
            return Ok(found);
        }
        let mut numbers = self.numbers.to_vec();
        numbers.sort_unstable();
        numbers.dedup();
        for number in numbers {
            let listed = self.inbox.entries().number(number).list().await?;
            let Some(event) = listed.into_iter().next() else {
                found.left_alone.push((number, "there is no such event"));
                continue;
            };
            if let Some(why) = self.change.objection(event.state()) {
                found.left_alone.push((number, why));
                continue;
            }
            found.events += 1;
            found.named.push((number, event.state()));
            if found.first.len() < FIRST as usize {
                found.first.push(event);
            }
        }
        Ok(found)
    }

    /// Returns false if it was stopped before its end.
    pub(super) async fn carry_out(
        &self,
        found: &Found,
        stop: &mut Stop,
        changed: &mut u64,
    ) -> Result<bool, InboxError> {
        for (number, state) in &found.named {
            let one = self
                .change
                .make(self.inbox.entries().number(*number).state(*state), self.why);
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
            .filter
            .of(self.inbox)
            .before(found.newest.saturating_add(1));
        let mut from = 0;
        let mut told = SystemClock.monotonic();
        loop {
            // A worker may end an event at once, as it was before. So each is looked at once, in its order.
            let rest = meant.clone().after(from).limit(BATCH);
            let batch = async {
                let page = rest.clone().list().await?;
                let Some(last) = page.last().map(Entry::number) else {
                    return Ok(None);
                };
                let page = rest.before(last.saturating_add(1));
                Ok(Some((last, self.change.make(page, self.why).await?)))
            };
            let (batch, stopped) = to_its_end(batch, stop).await?;
            let Some((last, count)) = batch else {
                return Ok(true);
            };
            (from, *changed) = (last, *changed + count);
            if stopped {
                return Ok(false);
            }
            if SystemClock.monotonic().duration_since(told) >= TELL {
                told = SystemClock.monotonic();
                shown::note(format_args!("{changed} of {} …", found.events));
            }
        }
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
