//! How often Google may be asked.

use std::time::{Duration, Instant};

/// Requests in any minute, and pauses that Google has asked for.
#[derive(Debug)]
pub(in crate::jobs) struct Quota {
    per_minute: u32,
    minute: Option<Instant>,
    asked: u32,
    paused_until: Option<Instant>,
}

const MINUTE: Duration = Duration::from_secs(60);

/// After an error that says nothing about how long to wait.
const PAUSE: Duration = Duration::from_secs(10);

/// No pause is longer, whatever an answer says.
const LONGEST: Duration = Duration::from_secs(10 * 60);

impl Quota {
    pub(in crate::jobs) fn new(per_minute: u32) -> Self {
        Self {
            per_minute,
            minute: None,
            asked: 0,
            paused_until: None,
        }
    }

    /// Takes a request, or says for how long there is none.
    pub(in crate::jobs) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        if let Some(end) = self.paused_until {
            let left = end.saturating_duration_since(now);
            if !left.is_zero() {
                return Err(left);
            }
            self.paused_until = None;
        }
        let minute = *self.minute.get_or_insert(now);
        let gone = now.saturating_duration_since(minute);
        if gone >= MINUTE {
            self.minute = Some(now);
            self.asked = 0;
        } else if self.asked >= self.per_minute {
            return Err(MINUTE.saturating_sub(gone));
        }
        self.asked = self.asked.saturating_add(1);
        Ok(())
    }

    /// Asks nothing for so long, or for a while that suits an outage.
    pub(super) fn pause(&mut self, now: Instant, time: Option<Duration>) {
        let end = now.checked_add(time.unwrap_or(PAUSE).min(LONGEST));
        self.paused_until = self.paused_until.max(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_requests_are_made_in_a_minute() {
        let start = crate::jobs::watch::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut quota = Quota::new(2);
        for (second, wait) in [
            (0, None),
            (10, None),
            (20, Some(40)),
            (59, Some(1)),
            (60, None),
            (61, None),
            (62, Some(58)),
            (500, None),
        ] {
            let taken = quota.take(at(second)).err().map(|wait| wait.as_secs());
            assert_eq!(taken, wait, "second {second}");
        }
    }

    #[test]
    fn a_pause_holds_and_is_bounded() {
        let start = crate::jobs::watch::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for (name, time, seconds) in [
            ("as Google says", Some(Duration::from_secs(30)), 30),
            ("it says nothing", None, 10),
            ("a year", Some(Duration::from_secs(31_536_000)), 600),
        ] {
            let mut quota = Quota::new(100);
            quota.pause(start, time);
            assert_eq!(
                quota.take(at(0)),
                Err(Duration::from_secs(seconds)),
                "{name}"
            );
            quota.pause(start, Some(Duration::ZERO));
            assert_eq!(
                quota.take(at(seconds - 1)),
                Err(Duration::from_secs(1)),
                "{name}: a shorter pause takes nothing from a longer one"
            );
            assert_eq!(quota.take(at(seconds)), Ok(()), "{name}");
        }
    }
}
