//! How long ago something was.

use std::time::{Duration, Instant, SystemTime};

use crate::clock::Clock;

/// A time by both clocks. Monotonic time stands still while the machine is suspended, and wall time
/// can be set: so what was is as long ago as the one says that says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) wall: SystemTime,
    monotonic: Instant,
}

impl Moment {
    pub(super) fn now(clock: &dyn Clock) -> Self {
        Self {
            wall: clock.now(),
            monotonic: clock.monotonic(),
        }
    }

    pub(super) fn since(self, earlier: Self) -> Duration {
        // Where the wall clock was set back, it says nothing.
        let by_wall = self.wall.duration_since(earlier.wall).unwrap_or_default();
        let monotonic = self.monotonic.saturating_duration_since(earlier.monotonic);
        by_wall.max(monotonic)
    }
}
