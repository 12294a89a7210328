//! What follows from a look at a registered webhook: plain rules, which are told the time.

use std::time::{Duration, Instant};

use gemini_webhooks::client::{Webhook, WebhookState};

/// What a look has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Enabled,
    /// By Google, because deliveries failed.
    SwitchedOff,
    /// By a person.
    Disabled,
    /// The project has no such webhook.
    Gone,
    /// In a state that this version does not know, or in none.
    Unknown(Option<WebhookState>),
}

impl Seen {
    pub(super) fn of(webhook: &Webhook) -> Self {
        match webhook.state() {
            Some(WebhookState::Enabled) => Self::Enabled,
            Some(WebhookState::DisabledDueToFailedDeliveries) => Self::SwitchedOff,
            Some(WebhookState::Disabled) => Self::Disabled,
            other => Self::Unknown(other.cloned()),
        }
    }
}

/// What follows from a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// It is not as it was at the look before. The first look is a change, too.
    pub(crate) is_change: bool,
    /// For how long each look has shown the same.
    pub(crate) lasts: Duration,
    /// Google has switched it off, and no pause is to be kept any more.
    pub(crate) may_enable: bool,
}

/// What is remembered of a webhook.
#[derive(Debug, Default)]
pub(super) struct Health {
    looked: Option<Instant>,
    /// With the first look that has shown it.
    seen: Option<(Seen, Instant)>,
    /// How often it was enabled without staying so.
    attempts: u32,
    attempted: Option<Instant>,
}

/// After it was enabled once and is switched off again.
const FIRST_PAUSE: Duration = Duration::from_secs(5 * 60);

const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// What has stayed enabled for so long is healthy.
const HEALTHY: Duration = Duration::from_secs(60 * 60);

impl Health {
    pub(super) fn is_due(&self, now: Instant, interval: Duration) -> bool {
        self.looked
            .is_none_or(|looked| now.saturating_duration_since(looked) >= interval)
    }

    /// A look begins. It counts also if it shows nothing: one webhook that cannot be read must not use up the quota.
    pub(super) fn begin(&mut self, now: Instant) {
        self.looked = Some(now);
    }

    pub(super) fn look(&mut self, seen: &Seen, now: Instant) -> Look {
        let since = match &self.seen {
            Some((before, since)) if before == seen => Some(*since),
            _ => None,
        };
        let is_change = since.is_none();
        let since = since.unwrap_or(now);
        self.seen = Some((seen.clone(), since));
        let lasts = now.saturating_duration_since(since);
        if *seen == Seen::Enabled && lasts >= HEALTHY {
            self.attempts = 0;
        }
        let waited_from = self
            .attempted
            .map_or(since, |attempted| attempted.max(since));
        let waited = now.saturating_duration_since(waited_from);
        Look {
            is_change,
            lasts,
            may_enable: *seen == Seen::SwitchedOff && waited >= self.pause(),
        }
    }

    /// It was enabled, or may have been.
    pub(super) fn attempted(&mut self, now: Instant) {
        self.attempts = self.attempts.saturating_add(1);
        self.attempted = Some(now);
    }

    fn pause(&self) -> Duration {
        let Some(doublings) = self.attempts.checked_sub(1) else {
            return Duration::ZERO;
        };
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(doublings));
        pause.min(LONGEST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn off() -> Seen {
        Seen::SwitchedOff
    }

    fn unknown(state: &str) -> Seen {
        Seen::Unknown(Some(WebhookState::from(state)))
    }

    #[test]
    fn it_is_looked_at_now_and_then() {
        let start = crate::jobs::watch::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let interval = Duration::from_secs(300);
        let mut health = Health::default();
        assert!(health.is_due(start, interval), "never looked at");
        health.begin(start);
        for (seconds, is_due) in [(0, false), (299, false), (300, true), (9_000, true)] {
            assert_eq!(health.is_due(at(seconds), interval), is_due, "{seconds}");
        }
        assert!(health.is_due(start, Duration::ZERO), "in each pass");
    }

    #[test]
    fn what_a_look_says() {
        let start = crate::jobs::watch::now();
        let mut health = Health::default();
        for (name, second, seen, is_change, lasts, may_enable) in [
            ("the first look", 0, Seen::Enabled, true, 0, false),
            ("the same", 300, Seen::Enabled, false, 300, false),
            ("switched off", 600, off(), true, 0, true),
            ("still", 900, off(), false, 300, true),
            ("by a person", 1_200, Seen::Disabled, true, 0, false),
            ("still", 1_500, Seen::Disabled, false, 300, false),
            ("gone", 1_800, Seen::Gone, true, 0, false),
            ("unknown", 2_100, unknown("paused"), true, 0, false),
            ("unknown", 2_400, unknown("paused"), false, 300, false),
            ("another", 2_700, unknown("asleep"), true, 0, false),
            ("without", 3_000, Seen::Unknown(None), true, 0, false),
            ("off again", 3_300, off(), true, 0, true),
            ("an earlier time", 3_000, off(), false, 0, true),
        ] {
            let look = health.look(&seen, start + Duration::from_secs(second));
            let expected = Look {
                is_change,
                lasts: Duration::from_secs(lasts),
                may_enable,
            };
            assert_eq!(look, expected, "{name}, {second}");
        }
    }

    /// Switched off, enabled as soon as that may be, switched off again a minute later, and so on.
    #[test]
    fn the_pause_doubles_up_to_an_hour() {
        let mut now = crate::jobs::watch::now();
        let mut health = Health::default();
        let minute = Duration::from_secs(60);
        for minutes in [0, 5, 10, 20, 40, 60, 60] {
            assert!(health.look(&off(), now).is_change);
            if minutes > 0 {
                now += minutes * minute - Duration::from_secs(1);
                assert!(!health.look(&off(), now).may_enable, "{minutes}");
                now += Duration::from_secs(1);
            }
            assert!(health.look(&off(), now).may_enable, "{minutes}");
            health.attempted(now);
            health.look(&Seen::Enabled, now);
            now += minute;
        }
    }

    #[test]
    fn the_pause_is_forgotten_after_an_hour() {
        let start = crate::jobs::watch::now();
        let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
        for (name, enabled, then_off, may_enable) in [
            ("it stayed enabled", [30, 60].as_slice(), 61, true),
            ("not for so long", &[30, 59], 60, false),
            ("nobody has looked", &[], 90, false),
        ] {
            let mut health = Health::default();
            for _ in 0..3 {
                health.attempted(start);
            }
            health.look(&Seen::Enabled, start);
            for minutes in enabled {
                health.look(&Seen::Enabled, at(*minutes));
            }
            let look = health.look(&off(), at(then_off));
            assert_eq!(look.may_enable, may_enable, "{name}");
        }
    }

    /// The answer was lost, and it was not carried out.
    #[test]
    fn an_attempt_without_effect_is_followed_by_a_pause() {
        let start = crate::jobs::watch::now();
        let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
        let mut health = Health::default();
        assert!(health.look(&off(), at(0)).may_enable);
        health.attempted(at(60));
        for (minutes, may_enable) in [(61, false), (64, false), (65, true)] {
            let look = health.look(&off(), at(minutes));
            assert_eq!((look.is_change, look.may_enable), (false, may_enable));
        }
    }
}
