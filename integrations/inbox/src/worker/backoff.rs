//! How long a failed event waits for its next run.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// No pause is longer, whatever is set: nothing overflows.
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The pause after this many attempts: each is twice as long as the one before, give or take a quarter, so
/// that events that failed together do not come back together. `random` is any number.
pub(crate) fn pause(attempts: u32, first: Duration, longest: Duration, random: u64) -> Duration {
    let doublings = attempts.saturating_sub(1).min(30);
    let pause = first.saturating_mul(1 << doublings);
    let pause = pause.min(longest).min(YEAR);
    let part = (random % 1024) as f64 / 1024.0;
    pause.mul_f64(0.75 + part / 2.0)
}

/// A number that nobody can foresee.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let (first, longest) = (Duration::from_secs(1), Duration::from_secs(3600));
        for (attempts, seconds) in [
            (0, 1.0),
            (1, 1.0),
            (2, 2.0),
            (5, 16.0),
            (13, 3600.0),
            (u32::MAX, 3600.0),
        ] {
            let middle = pause(attempts, first, longest, 512);
            assert_eq!(middle.as_secs_f64(), seconds, "{attempts}");
            let (least, most) = (
                pause(attempts, first, longest, 0),
                pause(attempts, first, longest, 1023),
            );
            assert_eq!(least.as_secs_f64(), seconds * 0.75, "{attempts}");
            assert!(most.as_secs_f64() < seconds * 1.25, "{attempts}");
        }
        assert!(pause(9, Duration::MAX, Duration::MAX, 1023) < YEAR * 2);
    }
}
