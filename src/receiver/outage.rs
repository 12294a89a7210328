//! When a guard is not asked, because it has not answered: one delivery tries, the others need not
//! wait for it as well.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::clock::Clock;

/// One answer may be late for its own reasons, such as a row that is locked.
const TOLERATED: u32 = 3;
const MAX_PAUSE: Duration = Duration::from_secs(8);

/// Whether a guard answers, as its last answers show.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// Time-outs with no answer in between. Apart from `until`, so that a guard that answers costs
    /// one read of it.
    timeouts: AtomicU32,
    /// Nobody asks before. There is a time from the last tolerated time-out on.
    until: Mutex<Option<End>>,
}

/// The end of a pause, by both clocks: where a process is suspended between requests, monotonic time
/// stands still.
#[derive(Clone, Copy, Debug)]
struct End {
    monotonic: Option<Instant>,
    wall: Option<SystemTime>,
}

impl End {
    fn after(clock: &dyn Clock, time: Duration) -> Self {
        Self {
            monotonic: clock.monotonic().checked_add(time),
            wall: clock.now().checked_add(time),
        }
    }

    /// What is left of the pause. None if it is over, by either clock.
    fn left(self, clock: &dyn Clock) -> Option<Duration> {
        let monotonic = self.monotonic?.checked_duration_since(clock.monotonic());
        let wall = self.wall?.duration_since(clock.now()).ok();
        let left = monotonic?.min(wall?);
        (!left.is_zero()).then_some(left)
    }
}

impl Outage {
    /// Whether the guard may be asked now. While it does not answer, one delivery may after each
    /// pause, and has `patience` for it.
    ///
    /// # Errors
    ///
    /// How long to wait.
    pub(crate) fn admits(&self, clock: &dyn Clock, patience: Duration) -> Result<(), Duration> {
        if !self.is_on() {
            return Ok(());
        }
        let mut until = self.until();
        match until.and_then(|end| end.left(clock)) {
            Some(left) => Err(left),
            None => {
                *until = Some(End::after(clock, patience));
                Ok(())
            }
        }
    }

    /// Whether the guard has failed to answer lately.
    pub(crate) fn is_on(&self) -> bool {
        self.timeouts() >= TOLERATED
    }

    /// The guard has answered, whatever it said.
    pub(crate) fn answered(&self) {
        if self.timeouts() > 0 {
            let mut until = self.until();
            self.timeouts.store(0, Ordering::Relaxed);
            *until = None;
        }
    }

    /// The guard did not answer in time.
    pub(crate) fn timed_out(&self, clock: &dyn Clock) {
        let mut until = self.until();
        let timeouts = self.timeouts().saturating_add(1);
        // Of many that were asked at the same time, those that are late to say so add nothing.
        if timeouts > TOLERATED && until.is_some_and(|end| end.left(clock).is_some()) {
            return;
        }
        self.timeouts.store(timeouts, Ordering::Relaxed);
        if let Some(more) = timeouts.checked_sub(TOLERATED) {
            let pause = Duration::from_secs(1 << more.min(31)).min(MAX_PAUSE);
            *until = Some(End::after(clock, pause));
        }
    }

    fn timeouts(&self) -> u32 {
        self.timeouts.load(Ordering::Relaxed)
    }

    fn until(&self) -> MutexGuard<'_, Option<End>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    const PATIENCE: Duration = Duration::from_secs(2);

    /// What happens so many seconds after the start.
    enum At {
        /// Whether the guard is asked; else how long it is not.
        Asked(u64, Result<(), u64>),
        Answered,
        TimedOut(u64),
    }

    use At::{Answered, Asked, TimedOut};

    #[test]
    fn who_asks() {
        let open = [Asked(0, Ok(())), TimedOut(2), TimedOut(2), TimedOut(2)];
        for (name, then) in [
            ("refused for a second", vec![Asked(2, Err(1))]),
            (
                "one tries, and the others wait for what it finds",
                vec![Asked(3, Ok(())), Asked(3, Err(2)), Asked(4, Err(1))],
            ),
            (
                "what it finds holds for all",
                vec![
                    Asked(3, Ok(())),
                    Answered,
                    Asked(3, Ok(())),
                    Asked(3, Ok(())),
                ],
            ),
            (
                "pauses double, to a bound",
                vec![
                    Asked(3, Ok(())),
                    TimedOut(5),
                    Asked(6, Err(1)),
                    Asked(7, Ok(())),
                    TimedOut(9),
                    Asked(9, Err(4)),
                    Asked(13, Ok(())),
                    TimedOut(15),
                    Asked(15, Err(8)),
                    Asked(23, Ok(())),
                    TimedOut(25),
                    Asked(25, Err(8)),
                ],
            ),
            (
                "of many at once one counts",
                vec![
                    TimedOut(2),
                    TimedOut(2),
                    Asked(2, Err(1)),
                    Asked(3, Ok(())),
                    TimedOut(4),
                    Asked(4, Err(1)),
                ],
            ),
            (
                "one that tries and leaves does not hold up the next",
                vec![Asked(3, Ok(())), Asked(5, Ok(()))],
            ),
            (
                "an answer forgets all time-outs",
                vec![
                    Answered,
                    TimedOut(3),
                    TimedOut(3),
                    Asked(3, Ok(())),
                    TimedOut(3),
                    Asked(3, Err(1)),
                ],
            ),
        ] {
            check(name, open.iter().chain(&then));
        }
        check(
            "some are tolerated",
            &[TimedOut(1), TimedOut(1), Asked(1, Ok(())), Asked(1, Ok(()))],
        );
    }

    /// At so many seconds of each time.
    #[derive(Debug)]
    struct Times {
        start: (Instant, SystemTime),
        monotonic: u64,
        wall: u64,
    }

    impl Clock for Times {
        fn now(&self) -> SystemTime {
            self.start.1 + Duration::from_secs(self.wall)
        }

        fn monotonic(&self) -> Instant {
            self.start.0 + Duration::from_secs(self.monotonic)
        }
    }

    fn check<'a>(name: &str, steps: impl IntoIterator<Item = &'a At>) {
        let start = (SystemClock.monotonic(), SystemClock.now());
        let outage = Outage::default();
        let at = |seconds| Times {
            start,
            monotonic: seconds,
            wall: seconds,
        };
        for step in steps {
            match *step {
                Answered => outage.answered(),
                TimedOut(seconds) => outage.timed_out(&at(seconds)),
                Asked(seconds, expected) => {
                    let admitted = outage.admits(&at(seconds), PATIENCE);
                    let expected = expected.map_err(Duration::from_secs);
                    assert_eq!(admitted, expected, "{name}, at {seconds} s");
                }
            }
        }
    }

    /// As on AWS Lambda, where a process runs for some milliseconds a request.
    #[test]
    fn a_pause_ends_where_the_process_is_suspended() {
        let start = (SystemClock.monotonic(), SystemClock.now());
        let outage = Outage::default();
        let at = |monotonic, wall| Times {
            start,
            monotonic,
            wall,
        };
        for _ in 0..3 {
            outage.timed_out(&at(0, 0));
        }
        assert!(outage.admits(&at(0, 0), PATIENCE).is_err());
        assert_eq!(outage.admits(&at(0, 30), PATIENCE), Ok(()));
        // A wall clock that is set back does not prolong it.
        assert!(outage.admits(&at(1, 0), PATIENCE).is_err());
        assert_eq!(outage.admits(&at(3, 0), PATIENCE), Ok(()));
    }
}
