//! The only reader of time.

use std::fmt;
use std::time::{Instant, SystemTime};

/// Where a receiver gets the time from.
///
/// The window of a delivery and the end of a secret go by [wall time](Clock::now), since they
/// are compared with times that others wrote down. Durations go by
/// [monotonic time](Clock::monotonic), which nobody can set back.
///
/// [`SystemClock`] is the default; a test passes a clock of its own, such as
/// `testing::ManualClock`.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Wall time.
    fn now(&self) -> SystemTime;

    /// Monotonic time.
    fn monotonic(&self) -> Instant;
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a name to write where a clock is wanted"
)]
pub struct SystemClock;

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the clock"
)]
impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}
