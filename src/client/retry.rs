//! Whether a call that failed is sent again, and when.

use std::time::{Duration, SystemTime};

/// As Google's SDK: four times, after 500 ms, doubling, at most 8 s.
pub(super) const MAX_RETRIES: u32 = 4;
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(8);
/// A longer `Retry-After` is told, and not waited for, whatever the deadline is.
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 60 * 60);
/// What a call that makes another needs at most to come to its answer.
const TO_ANSWER: Duration = Duration::from_secs(10);
/// As Google's SDK: up to a quarter is taken off, so that those who failed together do not come back
/// together.
const JITTER: f64 = 0.25;

/// Whether a call does harm when it is carried out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// The outcome is the same.
    Harmless,
    /// A second webhook, secret or job would be made. It is sent again only where it cannot have
    /// been carried out.
    MakesAnother,
}

/// How a try failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// There was no connection, so nothing was sent.
    Unsent,
    /// It was sent, and the answer did not come, or not to its end.
    Lost,
    /// It was carried out, and the answer is of no use.
    Unusable,
    /// It was answered with another status than 2xx.
    Status {
        status: u16,
        retry_after: Option<Duration>,
    },
}

impl Failure {
    /// Whether the service may have done what it was asked for.
    ///
    /// A 5xx may come from a proxy that lost the service in the middle of the call, also a 503, and
    /// also one with `Retry-After`; a 408 from one that gave up waiting for it. A 429 is the service
    /// declining to begin, and any other 4xx an answer that it will not do it.
    pub(super) fn may_be_carried_out(self) -> bool {
        match self {
            Self::Unsent => false,
            Self::Lost | Self::Unusable => true,
            Self::Status { status, .. } => status == 408 || status >= 500,
        }
    }

    /// Whether it may go better next time.
    fn is_temporary(self) -> bool {
        match self {
            Self::Unsent | Self::Lost => true,
            Self::Unusable => false,
            Self::Status { status, .. } => matches!(status, 408 | 409 | 429 | 500..=599),
        }
    }
}

/// How often and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) max_retries: u32,
    /// For all tries of a call and the waiting between them.
    pub(super) deadline: Duration,
}

impl Policy {
    /// How long to wait before the call is sent again, or `None` if it is not. It has been sent again
    /// `retries` times and has taken `elapsed`. `random` is from 0 to 1.
    pub(super) fn wait(
        self,
        failure: Failure,
        repeat: Repeat,
        retries: u32,
        elapsed: Duration,
        random: f64,
    ) -> Option<Duration> {
        let makes_another = repeat == Repeat::MakesAnother
            && (failure.may_be_carried_out()
                // "Conflict" may be with the first of two copies of this very call.
                || matches!(failure, Failure::Status { status: 409, .. }));
        if retries >= self.max_retries || !failure.is_temporary() || makes_another {
            return None;
        }
        let wait = match failure {
            Failure::Status {
                retry_after: Some(wait),
                ..
            } if !wait.is_zero() => wait,
            _ => backoff(retries).mul_f64(1.0 - JITTER * random.clamp(0.0, 1.0)),
        };
        // What would come after the deadline need not be waited for. One that makes another must not
        // be cut off before its answer: the secret in it would be lost.
        let to_answer = match repeat {
            Repeat::Harmless => Duration::ZERO,
            Repeat::MakesAnother => TO_ANSWER.min(self.deadline / 3),
        };
        let left = self.deadline.saturating_sub(elapsed);
        (wait < left.saturating_sub(to_answer) && wait <= LONGEST_ASKED).then_some(wait)
    }
}

fn backoff(retries: u32) -> Duration {
    FIRST
        .saturating_mul(2_u32.saturating_pow(retries))
        .min(LONGEST)
}

/// What the header `Retry-After` says: seconds, or a date of HTTP.
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More than fits is for ever.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use Repeat::{Harmless, MakesAnother};

    const POLICY: Policy = Policy {
        max_retries: MAX_RETRIES,
        deadline: Duration::from_secs(60),
    };

    fn status(status: u16) -> Failure {
        Failure::Status {
            status,
            retry_after: None,
        }
    }

    fn after(status: u16, seconds: u64) -> Failure {
        Failure::Status {
            status,
            retry_after: Some(Duration::from_secs(seconds)),
        }
    }

    #[test]
    fn what_is_sent_again() {
        for (failure, harmless, makes_another) in [
            (Failure::Unsent, true, true),
            (Failure::Lost, true, false),
            (Failure::Unusable, false, false),
            (status(429), true, true),
            (after(429, 1), true, true),
            (status(408), true, false),
            (status(409), true, false),
            (status(500), true, false),
            (status(502), true, false),
            (status(503), true, false),
            (after(503, 1), true, false),
            (status(504), true, false),
            (status(599), true, false),
            (status(301), false, false),
            (status(400), false, false),
            (status(401), false, false),
            (status(403), false, false),
            (status(404), false, false),
            (status(425), false, false),
            (status(600), false, false),
        ] {
            let again = |repeat| {
                POLICY
                    .wait(failure, repeat, 0, Duration::ZERO, 0.5)
                    .is_some()
            };
            assert_eq!(again(Harmless), harmless, "{failure:?}");
            assert_eq!(again(MakesAnother), makes_another, "{failure:?}");
        }
    }

    #[test]
    fn what_may_have_been_carried_out() {
        for (failure, may) in [
            (Failure::Unsent, false),
            (Failure::Lost, true),
            (Failure::Unusable, true),
            (status(302), false),
            (status(400), false),
            (status(404), false),
            (status(408), true),
            (status(409), false),
            (status(429), false),
            (status(499), false),
            (status(500), true),
            (after(503, 1), true),
        ] {
            assert_eq!(failure.may_be_carried_out(), may, "{failure:?}");
        }
    }

    #[test]
    fn how_long_is_waited() {
        let ms = |wait: Option<Duration>| wait.map(|wait| wait.as_millis());
        for (failure, retries, elapsed, random, expected) in [
            // 500 ms, doubling, four times.
            (status(500), 0, 0, 0.0, Some(500)),
            (status(500), 1, 0, 0.0, Some(1000)),
            (status(500), 2, 0, 0.0, Some(2000)),
            (status(500), 3, 0, 0.0, Some(4000)),
            (status(500), 4, 0, 0.0, None),
            // Up to a quarter less.
            (Failure::Lost, 0, 0, 1.0, Some(375)),
            (Failure::Unsent, 3, 0, 1.0, Some(3000)),
            (Failure::Unsent, 3, 0, 0.5, Some(3500)),
            (status(500), 0, 0, 7.0, Some(375)),
            // As told; 0 tells nothing.
            (after(429, 3), 0, 0, 1.0, Some(3000)),
            (after(503, 20), 3, 0, 1.0, Some(20_000)),
            (after(429, 0), 0, 0, 0.0, Some(500)),
            // Within the deadline.
            (after(429, 59), 0, 0, 0.0, Some(59_000)),
            (after(429, 60), 0, 0, 0.0, None),
            (after(429, u64::MAX), 0, 0, 0.0, None),
            (after(429, 20), 0, 40, 0.0, None),
            (status(500), 0, 60, 0.0, None),
            (status(500), 0, 600, 0.0, None),
        ] {
            let elapsed = Duration::from_secs(elapsed);
            let wait = POLICY.wait(failure, Harmless, retries, elapsed, random);
            assert_eq!(ms(wait), expected, "{failure:?} {retries} {elapsed:?}");
        }
        let many = Policy {
            max_retries: 100,
            ..POLICY
        };
        for retries in [4, 5, 40, 99] {
            let wait = many.wait(status(500), Harmless, retries, Duration::ZERO, 0.0);
            assert_eq!(ms(wait), Some(8000), "{retries}");
        }
        let never = Policy {
            max_retries: 0,
            ..POLICY
        };
        assert_eq!(
            never.wait(Failure::Unsent, Harmless, 0, Duration::ZERO, 0.0),
            None
        );
    }

    #[test]
    fn what_makes_another_is_begun_only_with_time_for_its_answer() {
        for (deadline, asked, again) in [
            (60, 49, true),
            (60, 50, false),
            (60, 59, false),
            (3, 1, true),
            (3, 2, false),
        ] {
            let policy = Policy {
                deadline: Duration::from_secs(deadline),
                ..POLICY
            };
            let wait = |repeat| policy.wait(after(429, asked), repeat, 0, Duration::ZERO, 0.0);
            assert_eq!(wait(MakesAnother).is_some(), again, "{deadline} {asked}");
            assert!(wait(Harmless).is_some(), "{deadline} {asked}");
        }
        let patient = Policy {
            deadline: Duration::MAX,
            ..POLICY
        };
        for (asked, again) in [(86_400, true), (86_401, false), (u64::MAX, false)] {
            let wait = patient.wait(after(429, asked), Harmless, 0, Duration::ZERO, 0.0);
            assert_eq!(wait.is_some(), again, "{asked}");
        }
    }

    #[test]
    fn what_the_header_says() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, expected) in [
            ("0", Some(0)),
            ("17", Some(17)),
            (" 17 ", Some(17)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sunday, 06-Nov-94 08:49:47 GMT", Some(10)),
            ("Sun Nov  6 08:49:47 1994", Some(10)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("Tue, 06 Nov 1984 08:49:37 GMT", Some(0)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("1994-11-06T08:49:47Z", None),
        ] {
            let seconds = retry_after(value, now).map(|wait| wait.as_secs());
            assert_eq!(seconds, expected, "{value:?}");
        }
    }
}
