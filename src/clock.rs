//! The clock of a receiver: [`Clock`], and [`SystemClock`], which is the default.

use std::fmt;
use std::time::{Instant, SystemTime};

/// Tells a receiver what time it is.
///
/// [`SystemClock`] is the default. In tests, pass a clock that you control, such as
/// `testing::ManualClock` (feature `testing`), to
/// [`WebhookReceiverBuilder::clock`](crate::WebhookReceiverBuilder::clock).
///
/// A receiver reads [wall time](Clock::now) for what it compares with times that others wrote
/// down: the timestamp of a delivery and the end of a secret. It reads
/// [monotonic time](Clock::monotonic), which nobody can set back, for durations.
///
/// ```
/// use std::time::{Instant, SystemTime};
/// use gemini_webhooks::{Clock, SystemClock};
///
/// /// Wall time that stands still.
/// #[derive(Debug)]
/// struct At(SystemTime);
///
/// impl Clock for At {
///     fn now(&self) -> SystemTime {
///         self.0
///     }
///
///     fn monotonic(&self) -> Instant {
///         SystemClock.monotonic()
///     }
/// }
/// # assert_eq!(At(SystemTime::UNIX_EPOCH).now(), SystemTime::UNIX_EPOCH);
/// ```
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the wall time, which can be set forward and back.
    fn now(&self) -> SystemTime;

    /// Returns the monotonic time, which never goes back.
    fn monotonic(&self) -> Instant;
}

/// The clock of the operating system, which a receiver uses by default.
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
