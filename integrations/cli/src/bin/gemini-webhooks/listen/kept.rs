//! The deliveries that the page shows. They are in memory only, and so many. Verified ones have room of their own, which
//! strangers cannot fill.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::delivery::{Answer, Delivery};

/// So many deliveries are kept that were verified,
const VERIFIED: Room = Room {
    deliveries: 200,
    bytes: 12 * 1024 * 1024,
};
/// and so many that were refused,
const REFUSED: Room = Room {
    deliveries: 100,
    bytes: 4 * 1024 * 1024,
};
/// and of each the first answers and the newest ones of the app,
const MAX_ANSWERS: usize = 10;
/// and so much of each answer.
const MAX_ANSWER: usize = 64 * 1024;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
struct Room {
    deliveries: usize,
    bytes: usize,
}

/// The newest deliveries, with what the app answered to each.
#[derive(Debug)]
pub(super) struct Kept {
    entries: Mutex<Entries>,
    /// Grows with each change; `None` once the program ends.
    version: watch::Sender<Option<u64>>,
}

#[derive(Debug)]
struct Entries {
    verified: Shelf,
    refused: Shelf,
}

#[derive(Debug)]
struct Shelf {
    room: Room,
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
    /// The lowest number of a verified delivery that is still kept,
    pub(super) oldest_verified: Option<u64>,
    /// and that of a refused one.
    pub(super) oldest_refused: Option<u64>,
    /// New and changed ones, in the order in which they were answered or changed.
    pub(super) entries: Vec<Entry>,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            entries: Mutex::new(Entries {
                verified: Shelf::new(VERIFIED),
                refused: Shelf::new(REFUSED),
            }),
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
        let is_verified = delivery.is_verified();
        let mut entries = self.lock();
        let entry = Entry {
            delivery: Arc::new(delivery),
            answers: answers.into_iter().collect(),
            version: self.next(),
        };
        if is_verified {
            entries.verified.push(entry);
        } else {
            entries.refused.push(entry);
        }
        self.tell(entries);
    }

    /// Adds what the app answered when the delivery was sent again, if it is still kept.
    pub(super) fn add_answer(&self, number: u64, answer: Answer) {
        let mut entries = self.lock();
        let version = self.next();
        for shelf in entries.shelves_mut() {
            let Some(entry) = shelf.find_mut(number) else {
                continue;
            };
            let before = entry.size();
            if entry.answers.len() >= MAX_ANSWERS {
                // The second: what the sender got stays.
                entry.answers.remove(1);
            }
            entry.answers.push(answer.cut(MAX_ANSWER));
            entry.version = version;
            let after = entry.size();
            shelf.bytes = shelf.bytes - before + after;
            shelf.shrink();
            break;
        }
        self.tell(entries);
    }

    pub(super) fn get(&self, number: u64) -> Option<Entry> {
        let entries = self.lock();
        let mut shelves = entries.shelves().into_iter();
        shelves.find_map(|shelf| shelf.find(number)).cloned()
    }

    /// What has changed since a version, without waiting.
    pub(super) fn since(&self, version: u64) -> News {
        let entries = self.lock();
        let kept = entries.shelves().into_iter();
        let mut changed: Vec<Entry> = kept
            .flat_map(|shelf| &shelf.newest_last)
            .filter(|entry| entry.version > version)
            .cloned()
            .collect();
        changed.sort_by_key(|entry| entry.version);
        News {
            version: self.version.borrow().unwrap_or(version),
            oldest_verified: entries.verified.oldest(),
            oldest_refused: entries.refused.oldest(),
            entries: changed,
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
    fn shelves(&self) -> [&Shelf; 2] {
        [&self.verified, &self.refused]
    }

    fn shelves_mut(&mut self) -> [&mut Shelf; 2] {
        [&mut self.verified, &mut self.refused]
    }
}

impl Shelf {
    fn new(room: Room) -> Self {
        Self {
            room,
            newest_last: VecDeque::new(),
            bytes: 0,
        }
    }

    fn push(&mut self, entry: Entry) {
        self.bytes += entry.size();
        self.newest_last.push_back(entry);
        self.shrink();
    }

    fn find(&self, number: u64) -> Option<&Entry> {
        let mut entries = self.newest_last.iter();
        entries.find(|entry| entry.delivery.number == number)
    }

    fn find_mut(&mut self, number: u64) -> Option<&mut Entry> {
        let mut entries = self.newest_last.iter_mut();
        entries.find(|entry| entry.delivery.number == number)
    }

    fn oldest(&self) -> Option<u64> {
        let numbers = self.newest_last.iter().map(|entry| entry.delivery.number);
        numbers.min()
    }

    /// Drops the oldest until the limits hold. The newest one stays, however large.
    fn shrink(&mut self) {
        while self.newest_last.len() > 1
            && (self.newest_last.len() > self.room.deliveries || self.bytes > self.room.bytes)
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
    use gemini_webhooks::{SigningSecret, VerifyErrorKind, testing};
    use gemini_webhooks_cli::{Capture, Setup, verdict};

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

    fn verified(number: u64) -> Delivery {
        let secret: SigningSecret = testing::SECRET.parse().unwrap();
        let capture = Capture::new(testing::sign_v1(&secret, "msg_1", 0, b"{}"), "{}");
        let setup = Setup::new().secret("it", testing::SECRET).unwrap();
        let verdict = verdict(&capture, &setup, SystemTime::UNIX_EPOCH);
        assert!(verdict.is_verified(), "{verdict}");
        Delivery {
            verdict: Verdict::Diagnosed(verdict),
            ..delivery(number, 0)
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
            kept.add(delivery(number, REFUSED.bytes / 4));
        }
        assert_eq!(numbers(&kept), [18, 19, 20]);
        assert_eq!(kept.since(0).oldest_refused, Some(18));
        assert_eq!(kept.since(0).oldest_verified, None);
        for _ in 0..20 {
            kept.add_answer(20, answer(REFUSED.bytes));
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
        let sizes = held.refused.newest_last.iter().map(Entry::size);
        assert_eq!(
            held.refused.bytes,
            sizes.sum::<usize>(),
            "what is counted is what is held"
        );
        drop(held);
        kept.add(delivery(21, REFUSED.bytes + 1));
        assert_eq!(numbers(&kept), [21], "the newest one stays");
    }

    #[test]
    fn what_is_refused_takes_no_room_of_what_is_verified() {
        let kept = Kept::default();
        for number in 1..=2 {
            kept.add(verified(number));
        }
        for number in 3..=500 {
            kept.add(delivery(number, 0));
        }
        kept.add(verified(501));
        let expected: Vec<u64> = [1, 2].into_iter().chain(401..=501).collect();
        assert_eq!(numbers(&kept), expected);
        let news = kept.since(0);
        assert_eq!(
            (news.oldest_verified, news.oldest_refused),
            (Some(1), Some(401))
        );
        for number in 502..=1000 {
            kept.add(verified(number));
        }
        let expected: Vec<u64> = (401..=500).chain(801..=1000).collect();
        assert_eq!(numbers(&kept), expected);
        kept.add_answer(450, answer(1));
        kept.add_answer(900, answer(1));
        assert_eq!(numbers(&kept).split_off(298), [450, 900], "changed last");
        assert_eq!(kept.get(900).unwrap().answers.len(), 1);
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
