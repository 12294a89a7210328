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
/// So many are changed by one order: their numbers are kept in memory.
const MOST: usize = 100_000;
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
#[derive(Default)]
pub(super) struct Found {
    pub(super) events: u64,
    pub(super) first: Vec<Entry>,
    /// Of those that were named: which are changed, and why others are not.
    pub(super) named: Vec<(i64, State)>,
    pub(super) left_alone: Vec<(i64, &'static str)>,
    /// Those that the filter means, in their order. No other one is changed, whatever the filter means later.
    filtered: Vec<i64>,
    /// So many more the filter means, which are too many for one order.
    pub(super) too_many: u64,
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
        if self.numbers.is_empty() {
            return self.find_filtered(MOST).await;
        }
        let mut found = Found::default();
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

    async fn find_filtered(&self, at_most: usize) -> Result<Found, InboxError> {
        let mut found = Found::default();
        loop {
            let mut rest = self.filter.of(self.inbox);
            if let Some(last) = found.filtered.last() {
                rest = rest.after(*last);
            }
            if found.filtered.len() >= at_most {
                found.too_many = rest.count().await?;
                break;
            }
            let page = rest.limit(BATCH).list().await?;
            if page.is_empty() {
                break;
            }
            let left = at_most - found.filtered.len();
            found
                .filtered
                .extend(page.iter().map(Entry::number).take(left));
            let missing = (FIRST as usize).saturating_sub(found.first.len());
            found.first.extend(page.into_iter().take(missing.min(left)));
        }
        found.events = u64::try_from(found.filtered.len()).unwrap_or(u64::MAX);
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
        let mut told = SystemClock.monotonic();
        // A worker may end an event at once, as it was before. So each is changed once, in its order.
        for (first, last) in runs(&found.filtered) {
            let meant = self.filter.of(self.inbox).limit(BATCH);
            let run = meant
                .after(first.saturating_sub(1))
                .before(last.saturating_add(1));
            let (count, stopped) = to_its_end(self.change.make(run, self.why), stop).await?;
            *changed += count;
            if stopped {
                return Ok(false);
            }
            if SystemClock.monotonic().duration_since(told) >= TELL {
                told = SystemClock.monotonic();
                shown::note(format_args!("{changed} of {} …", found.events));
            }
        }
        Ok(true)
    }
}

/// The first and the last of each run of numbers that follow each other without a gap: what a statement about the
/// numbers between two of them means, and nothing else. A run is no longer than what a statement may change.
fn runs(numbers: &[i64]) -> impl Iterator<Item = (i64, i64)> {
    let runs = numbers.chunk_by(|one, next| one.checked_add(1) == Some(*next));
    let runs = runs.flat_map(|run| run.chunks(BATCH as usize));
    runs.filter_map(|run| Some((*run.first()?, *run.last()?)))
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
    use gemini_webhooks::adapter::Finished;
    use gemini_webhooks::{DeliveryHeaders, SigningSecret, WebhookReceiver, testing};

    use super::super::StateName;
    use super::*;

    async fn put<DB: Database>(inbox: &Inbox<DB>, id: &str) {
        let secret: SigningSecret = testing::SECRET.parse().unwrap();
        let now = SystemClock.now();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let signed = testing::sign_v1(&secret, id, now, b"{}");
        let lines = signed.iter().map(|(name, value)| (*name, value.as_str()));
        let receiver = WebhookReceiver::builder()
            .signing_secret(testing::SECRET)
            .without_replay_protection()
            .build()
            .unwrap();
        let headers = DeliveryHeaders::from_lines(lines);
        let mut intake = receiver.admit("/", &headers, None).unwrap();
        intake.push(&b"{}"[..]).unwrap();
        let Finished::Run(received) = intake.finish().await.unwrap() else {
            panic!("nothing remembers it");
        };
        inbox
            .put(&received.delivery, &received.event)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn no_more_is_kept_in_memory_than_one_order_may_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("inbox.db");
        let inbox = Inbox::sqlite(file.to_str().unwrap()).await.unwrap();
        for id in ["1", "2", "3"] {
            put(&inbox, id).await;
        }
        let order = Order {
            inbox: &inbox,
            change: Change::Drop,
            numbers: &[],
            filter: Filter {
                state: Some(StateName::Waiting),
                ..Filter::default()
            },
            why: "a test",
        };
        for (at_most, events, too_many) in [(1, 1, 2), (2, 2, 1), (3, 3, 0), (4, 3, 0)] {
            let found = order.find_filtered(at_most).await.unwrap();
            assert_eq!((found.events, found.too_many), (events, too_many));
            assert_eq!(found.first.len() as u64, events);
        }
        let found = order.find_filtered(2).await.unwrap();
        let (mut stop, mut changed) = (Stop::listen().unwrap(), 0);
        let is_done = order.carry_out(&found, &mut stop, &mut changed).await;
        assert!(is_done.unwrap());
        assert_eq!((changed, inbox.depth().await.unwrap().waiting), (2, 1));
    }

    #[test]
    fn numbers_without_a_gap_are_one_run() {
        for (name, numbers, expected) in [
            ("none", vec![], vec![]),
            ("one", vec![7], vec![(7, 7)]),
            ("a gap", vec![1, 2, 4], vec![(1, 2), (4, 4)]),
            ("gaps only", vec![1, 3, 5], vec![(1, 1), (3, 3), (5, 5)]),
            (
                "too long for a statement",
                (11..=220).collect(),
                vec![(11, 110), (111, 210), (211, 220)],
            ),
            (
                "the highest",
                vec![i64::MAX - 1, i64::MAX],
                vec![(i64::MAX - 1, i64::MAX)],
            ),
        ] {
            let found: Vec<_> = runs(&numbers).collect();
            assert_eq!(found, expected, "{name}");
        }
    }

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
