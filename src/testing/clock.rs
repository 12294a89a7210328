use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::clock::{Clock, SystemClock};

/// A clock that stands still until it is told to move. Clones share one time.
///
/// Starts at 2026-01-22 12:00:00 UTC.
///
/// ```
/// use std::time::Duration;
/// use gemini_webhooks::{Clock, testing::ManualClock};
///
/// let clock = ManualClock::default();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now(), before + Duration::from_secs(60));
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock {
    time: Arc<Mutex<Time>>,
}

#[derive(Debug)]
struct Time {
    wall: SystemTime,
    monotonic: Instant,
}

impl ManualClock {
    /// Starts at `now`.
    #[must_use]
    pub fn new(now: SystemTime) -> Self {
        let time = Time {
            wall: now,
            monotonic: SystemClock.monotonic(),
        };
        Self {
            time: Arc::new(Mutex::new(time)),
        }
    }

    /// Lets time pass, both wall and monotonic.
    pub fn advance(&self, by: Duration) {
        self.with(|time| {
            time.wall += by;
            time.monotonic += by;
        });
    }

    /// Steps the wall clock, as an administrator would; monotonic time does not follow.
    pub fn set(&self, now: SystemTime) {
        self.with(|time| time.wall = now);
    }

    /// Wall time in seconds since the Unix epoch, as `webhook-timestamp` has it; 0 before 1970.
    #[must_use]
    pub fn unix_seconds(&self) -> u64 {
        self.now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    }

    fn with<T>(&self, f: impl FnOnce(&mut Time) -> T) -> T {
        f(&mut self.time.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_769_083_200))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        self.with(|time| time.wall)
    }

    fn monotonic(&self) -> Instant {
        self.with(|time| time.monotonic)
    }
}
