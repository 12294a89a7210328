//! How many events may still be stored, without a count for each.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A count holds for so long: meanwhile other processes may store as well.
const FRESH: Duration = Duration::from_secs(1);

/// After a count that found no room there is none for so long, or senders who come again and again would
/// have all events counted each time.
const PAUSE: Duration = Duration::from_millis(100);

/// What is left of the inbox's bound, as of the last count.
#[derive(Debug)]
pub(crate) struct Room {
    limit: u64,
    known: Mutex<Known>,
    /// Held by who counts.
    pub(crate) counting: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    left: u64,
    /// Places of events that are being stored.
    taken: u64,
    /// Events that were stored since this process began.
    stored: u64,
    counted: Option<Instant>,
    was_full: bool,
}

/// Whether there is room.
#[derive(Debug)]
pub(crate) enum Answer<'a> {
    Free(Place<'a>),
    Full,
    /// It is to be counted. The place is one as of the last count, if there was one.
    Unknown(Option<Place<'a>>),
}

/// Room for one event. It is free again unless the event is stored.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    room: &'a Room,
    is_used: bool,
}

impl Room {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            known: Mutex::default(),
            counting: tokio::sync::Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ask(&self, now: Instant) -> Answer<'_> {
        let mut known = self.known();
        let within = |limit| {
            let age = known
                .counted
                .map(|counted| now.saturating_duration_since(counted));
            age.is_some_and(|age| age < limit)
        };
        let (is_fresh, pauses) = (within(FRESH), known.was_full && within(PAUSE));
        if known.left == 0 {
            return if pauses {
                Answer::Full
            } else {
                Answer::Unknown(None)
            };
        }
        known.left -= 1;
        known.taken += 1;
        let place = Place {
            room: self,
            is_used: false,
        };
        if is_fresh {
            Answer::Free(place)
        } else {
            Answer::Unknown(Some(place))
        }
    }

    /// Before those that wait are counted. What this returns is for [`counted`](Self::counted).
    pub(crate) fn count(&self) -> u64 {
        self.known().stored
    }

    /// Takes in a count of those that wait. Those that were stored meanwhile may not be among them.
    pub(crate) fn counted(&self, waiting: u64, stored_before: u64, now: Instant) {
        let mut known = self.known();
        let meanwhile = known.stored - stored_before;
        let left = self.limit.saturating_sub(waiting);
        known.left = left.saturating_sub(known.taken + meanwhile);
        known.was_full = known.left == 0;
        known.counted = Some(now);
    }
}

impl Place<'_> {
    pub(crate) fn keep(mut self) {
        self.is_used = true;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut known = self.room.known();
        known.taken -= 1;
        if self.is_used {
            known.stored += 1;
        } else {
            known.left += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use gemini_webhooks::{Clock as _, SystemClock};

    use super::Answer::{Free, Full, Unknown};
    use super::*;

    fn place(answer: Answer<'_>) -> Place<'_> {
        match answer {
            Free(place) => place,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_is_counted_when_it_is_used_up_and_each_second() {
        let now = SystemClock.monotonic();
        let room = Room::new(3);
        assert!(
            matches!(room.ask(now), Unknown(None)),
            "nothing is known yet"
        );
        room.counted(1, room.count(), now);
        place(room.ask(now)).keep();
        place(room.ask(now)).keep();
        assert!(
            matches!(room.ask(now), Unknown(None)),
            "some may have been worked off"
        );
        room.counted(4, room.count(), now);
        assert!(matches!(room.ask(now), Full));
        assert!(matches!(room.ask(now + PAUSE), Unknown(None)));
        room.counted(2, room.count(), now);
        drop(place(room.ask(now + FRESH - Duration::from_millis(1))));
        assert!(matches!(room.ask(now + FRESH), Unknown(Some(_))));
    }

    #[test]
    fn what_is_being_stored_has_its_place() {
        let now = SystemClock.monotonic();
        let room = Room::new(3);
        room.counted(1, room.count(), now);
        let (first, second) = (place(room.ask(now)), place(room.ask(now)));
        assert!(matches!(room.ask(now), Unknown(None)));
        room.counted(1, room.count(), now);
        assert!(matches!(room.ask(now), Full), "both may still come");
        drop(first);
        let third = place(room.ask(now));
        let before = room.count();
        second.keep();
        third.keep();
        room.counted(1, before, now);
        assert!(
            matches!(room.ask(now), Full),
            "they came after it was counted"
        );
        assert!(matches!(room.ask(now), Full));
        room.counted(2, room.count(), now);
        place(room.ask(now)).keep();
    }
}
