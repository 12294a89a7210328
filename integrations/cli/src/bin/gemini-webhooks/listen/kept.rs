//! The deliveries that the page shows. They are in memory only, and so many.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::delivery::{Answer, Delivery};

/// So many deliveries are kept,
const MAX_DELIVERIES: usize = 200;
/// and so many bytes,
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// and of each the first answers and the newest ones of the app,
const MAX_ANSWERS: usize = 10;
/// and so much of each answer.
const MAX_ANSWER: usize = 64 * 1024;

/// The newest deliveries, with what the app answered to each.
#[derive(Debug)]
pub(super) struct Kept {
    entries: Mutex<Entries>,
    /// Grows with each change; `None` once the program ends.
    version: watch::Sender<Option<u64>>,
}

#[derive(Debug, Default)]
struct Entries {
    newest_last: VecDeque<Entry>,
    bytes: usize,
}

/// A kept delivery.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) delivery: Arc<Delivery>,
    /// The first answer of the app, and those when it was sent again.
    pub(super) answers: Vec<Answer>,
    version: u64,
}

impl Entry {
    fn size(&self) -> usize {
        let answers = self.answers.iter().map(Answer::size);
        self.delivery.size() + answers.sum::<usize>()
    }
}

/// What has changed.
#[derive(Debug)]
pub(super) struct News {
    /// To ask with for what comes next.
    pub(super) version: u64,
    /// The lowest number that is still kept.
    pub(super) oldest: Option<u64>,
    /// New and changed ones, in the order in which they were answered.
    pub(super) entries: Vec<Entry>,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            entries: Mutex::default(),
            version: watch::Sender::new(Some(0)),
        }
    }
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a delivery, and drops old ones to have room for it.
    pub(super) fn add(&self, mut delivery: Delivery) {
        let answers = delivery.app.take().map(|answer| answer.cut(MAX_ANSWER));
        let mut entries = self.lock();
        let entry = Entry {
            delivery: Arc::new(delivery),
            answers: answers.into_iter().collect(),
            version: self.next(),
        };
        entries.bytes += entry.size();
        entries.newest_last.push_back(entry);
        entries.shrink();
        self.tell(entries);
    }

    /// Adds what the app answered when the delivery was sent again, if it is still kept.
    pub(super) fn add_answer(&self, number: u64, answer: Answer) {
        let mut entries = self.lock();
        let version = self.next();
        let (mut before, mut after) = (0, 0);
        if let Some(entry) = entries.find(number) {
            before = entry.size();
            if entry.answers.len() >= MAX_ANSWERS {
                // The second: what the sender got stays.
                entry.answers.remove(1);
            }
            entry.answers.push(answer.cut(MAX_ANSWER));
            entry.version = version;
            after = entry.size();
        }
        entries.bytes = entries.bytes - before + after;
        entries.shrink();
        self.tell(entries);
    }

    pub(super) fn get(&self, number: u64) -> Option<Entry> {
        self.lock().find(number).cloned()
    }

    /// What has changed since a version, without waiting.
    pub(super) fn since(&self, version: u64) -> News {
        let entries = self.lock();
        let changed = entries
            .newest_last
            .iter()
            .filter(|entry| entry.version > version);
        News {
            version: self.version.borrow().unwrap_or(version),
            oldest: entries
                .newest_last
                .iter()
                .map(|entry| entry.delivery.number)
                .min(),
            entries: changed.cloned().collect(),
        }
    }

    /// Waits until there is something newer than a version, or the program ends.
    pub(super) async fn changed(&self, version: u64) {
        let mut versions = self.version.subscribe();
        // The sender is in `self`.
        let _ = versions
            .wait_for(|current| current.is_none_or(|current| current > version))
            .await;
    }

    /// Nobody waits from now on.
    pub(super) fn close(&self) {
        self.version.send_replace(None);
    }

    /// The version that a change makes. Call it, and then [`tell`](Self::tell), under one lock.
    fn next(&self) -> u64 {
        self.version.borrow().unwrap_or(0) + 1
    }

    fn tell(&self, entries: MutexGuard<'_, Entries>) {
        self.version
            .send_modify(|version| *version = version.map(|version| version + 1));
        drop(entries);
    }
}

impl Entries {
    fn find(&mut self, number: u64) -> Option<&mut Entry> {
        self.newest_last
            .iter_mut()
            .find(|entry| entry.delivery.number == number)
    }

    /// Drops the oldest until the limits hold. The newest one stays, however large.
    fn shrink(&mut self) {
        while self.newest_last.len() > 1
            && (self.newest_last.len() > MAX_DELIVERIES || self.bytes > MAX_BYTES)
        {
            if let Some(oldest) = self.newest_last.pop_front() {
                self.bytes -= oldest.size();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use axum::http::HeaderMap;
    use bytes::Bytes;
    use gemini_webhooks::VerifyErrorKind;

    use super::super::delivery::{Given, Unread, Verdict};
    use super::*;

    fn delivery(number: u64, bytes: usize) -> Delivery {
        Delivery {
            number,
            at: SystemTime::UNIX_EPOCH,
            method: "POST".to_owned(),
            target: "/".to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::from(vec![0; bytes]),
            verdict: Verdict::Unread(Unread::new(VerifyErrorKind::BodyTooLarge, String::new())),
            repeat_of: None,
            answered: 413,
            app: None,
        }
    }

    fn answer(bytes: usize) -> Answer {
        Answer {
            at: SystemTime::UNIX_EPOCH,
            took: Duration::ZERO,
            outcome: Ok(Given {
                status: 200,
                headers: HeaderMap::new(),
                body: Bytes::from(vec![0; bytes]),
                is_cut: false,
            }),
        }
    }

    fn numbers(kept: &Kept) -> Vec<u64> {
        let entries = kept.since(0).entries;
        entries.iter().map(|entry| entry.delivery.number).collect()
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go() {
        let kept = Kept::default();
        for number in 1..=20 {
            kept.add(delivery(number, MAX_BYTES / 4));
        }
        assert_eq!(numbers(&kept), [18, 19, 20]);
        assert_eq!(kept.since(0).oldest, Some(18));
        for _ in 0..20 {
            kept.add_answer(20, answer(MAX_BYTES));
        }
        kept.add_answer(1, answer(1));
        let entry = kept.get(20).unwrap();
        assert_eq!(entry.answers.len(), MAX_ANSWERS);
        assert!(
            entry
                .answers
                .iter()
                .all(|answer| answer.size() == MAX_ANSWER)
        );
        let held = kept.lock();
        let sizes = held.newest_last.iter().map(Entry::size);
        assert_eq!(
            held.bytes,
            sizes.sum::<usize>(),
            "what is counted is what is held"
        );
        drop(held);
        kept.add(delivery(21, MAX_BYTES + 1));
        assert_eq!(numbers(&kept), [21], "the newest one stays");
    }

    #[tokio::test]
    async fn who_waits_is_told_of_what_is_new_and_of_the_end() {
        let kept = Kept::default();
        kept.add(delivery(1, 0));
        kept.changed(0).await;
        let news = kept.since(0);
        assert_eq!((news.version, news.entries.len()), (1, 1));
        assert!(kept.since(1).entries.is_empty());
        kept.add_answer(1, answer(1));
        kept.changed(1).await;
        assert_eq!(kept.since(1).entries.len(), 1, "it has changed");
        kept.close();
        kept.changed(99).await;
    }
}
