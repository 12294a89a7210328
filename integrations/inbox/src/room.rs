//! How many events may still be stored, without a count for each.

use std::time::{Duration, Instant};

/// A count holds for so long: meanwhile other processes may store as well.
const FRESH: Duration = Duration::from_secs(1);

/// What is left of the inbox's bound, as of the last count.
#[derive(Debug)]
pub(crate) struct Room {
    limit: u64,
    left: u64,
    counted: Option<Instant>,
}

impl Room {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            left: 0,
            counted: None,
        }
    }

    /// Returns whether there is room for sure. If not, it is to be counted.
    pub(crate) fn take(&self, now: Instant) -> bool {
        let is_fresh = |counted| now.saturating_duration_since(counted) < FRESH;
        self.left > 0 && self.counted.is_some_and(is_fresh)
    }

    /// Takes in a count of those that wait. Returns whether there is room.
    pub(crate) fn counted(&mut self, waiting: u64, now: Instant) -> bool {
        self.left = self.limit.saturating_sub(waiting);
        self.counted = Some(now);
        self.left > 0
    }

    pub(crate) fn stored(&mut self) {
        self.left = self.left.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use gemini_webhooks::{Clock as _, SystemClock};

    use super::*;

    #[test]
    fn it_is_counted_anew_when_it_is_used_up_and_each_second() {
        let now = SystemClock.monotonic();
        let mut room = Room::new(3);
        assert!(!room.take(now), "nothing is known yet");
        assert!(room.counted(1, now));
        for _ in 0..2 {
            assert!(room.take(now));
            room.stored();
        }
        assert!(!room.take(now), "it is used up");
        assert!(!room.counted(3, now));
        assert!(!room.counted(4, now), "others may have stored more");
        assert!(room.counted(2, now));
        assert!(room.take(now + FRESH - Duration::from_millis(1)));
        assert!(!room.take(now + FRESH));
    }
}
