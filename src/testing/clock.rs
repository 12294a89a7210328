use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::clock::{Clock, SystemClock};

/// A clock that stands still until you move it.
///
/// Give it to [`WebhookReceiverBuilder::clock`](crate::WebhookReceiverBuilder::clock). Clones share
/// one time. The default starts at 2026-01-22 12:00:00 UTC.
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
    /// Makes a clock that starts at `now`.
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

    /// Moves wall time and monotonic time forward.
    pub fn advance(&self, by: Duration) {
        self.with(|time| {
            time.wall += by;
            time.monotonic += by;
        });
    }

    /// Sets the wall time, as an administrator would. Monotonic time does not change.
    pub fn set(&self, now: SystemTime) {
        self.with(|time| time.wall = now);
    }

    /// Returns the wall time in seconds since the Unix epoch, as in `webhook-timestamp`.
    ///
    /// It is 0 before 1970.
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
