//! How many events may still be stored, without a count for each.

use std::time::{Duration, Instant};

/// A count holds for so long: meanwhile other processes may store as well.
const FRESH: Duration = Duration::from_secs(1);

/// So long after a count was begun, another begins at the earliest: a count reads all that wait, and many
/// at once would hold up what they are made for.
const PAUSE: Duration = Duration::from_millis(100);

/// What is left of the inbox's bound, as of the last count.
#[derive(Debug)]
pub(crate) struct Room {
    limit: u64,
    left: Option<u64>,
    counted: Option<Instant>,
    begun: Option<Instant>,
}

/// Whether there is room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Free,
    Full,
    /// It is to be counted.
    Unknown,
}

impl Room {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            left: None,
            counted: None,
            begun: None,
        }
    }

    /// Who is told that it is to be counted, counts, and tells [`counted`](Self::counted).
    pub(crate) fn ask(&mut self, now: Instant) -> Answer {
        let within = |time: Option<Instant>, limit| {
            time.is_some_and(|time| now.saturating_duration_since(time) < limit)
        };
        match self.left {
            Some(1..) if within(self.counted, FRESH) => Answer::Free,
            Some(left) if within(self.begun, PAUSE) => match left {
                0 => Answer::Full,
                _ => Answer::Free,
            },
            _ => {
                self.begun = Some(now);
                Answer::Unknown
            }
        }
    }

    /// Takes in a count of those that wait. Returns whether there is room.
    pub(crate) fn counted(&mut self, waiting: u64, now: Instant) -> bool {
        let left = self.limit.saturating_sub(waiting);
        self.left = Some(left);
        self.counted = Some(now);
        left > 0
    }

    pub(crate) fn stored(&mut self) {
        self.left = self.left.map(|left| left.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use gemini_webhooks::{Clock as _, SystemClock};

    use super::Answer::{Free, Full, Unknown};
    use super::*;

    #[test]
    fn it_is_counted_anew_when_it_is_used_up_and_each_second() {
        let now = SystemClock.monotonic();
        let mut room = Room::new(3);
        assert_eq!(room.ask(now), Unknown, "nothing is known yet");
        assert_eq!(room.ask(now), Unknown, "nor for who comes meanwhile");
        assert!(room.counted(1, now));
        for _ in 0..2 {
            assert_eq!(room.ask(now), Free);
            room.stored();
        }
        let later = now + PAUSE;
        assert_eq!(room.ask(later), Unknown, "it is used up");
        assert!(!room.counted(3, later));
        let later = later + PAUSE;
        assert_eq!(room.ask(later), Unknown, "some may have been worked off");
        assert!(!room.counted(4, later), "others may have stored more");
        assert!(room.counted(2, later));
        let late = later + FRESH - Duration::from_millis(1);
        assert_eq!(room.ask(late), Free);
        assert_eq!(room.ask(later + FRESH), Unknown);
    }

    #[test]
    fn one_counts_and_the_others_go_by_what_was_known() {
        for (waiting, meanwhile) in [(1, Free), (3, Full)] {
            let now = SystemClock.monotonic();
            let mut room = Room::new(3);
            room.counted(waiting, now);
            let later = now + FRESH;
            assert_eq!(room.ask(later), Unknown);
            assert_eq!(room.ask(later), meanwhile);
            let much_later = later + PAUSE;
            assert_eq!(room.ask(much_later), Unknown, "the count was given up");
        }
    }
}
