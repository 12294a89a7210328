//! Time as Google writes it.

use std::time::{Instant, SystemTime};

use crate::clock::Clock;

/// One reading of the clock: what others compare goes by `wall`, what is waited for by `monotonic`.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(super) wall: SystemTime,
    pub(super) monotonic: Instant,
}

impl Now {
    pub(super) fn of(clock: &dyn Clock) -> Self {
        Self {
            wall: clock.now(),
            monotonic: clock.monotonic(),
        }
    }

    pub(super) fn rfc3339(self) -> String {
        rfc3339(self.wall)
    }

    pub(super) fn unix_seconds(self) -> u64 {
        let since = self.wall.duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs())
    }
}

/// `2026-01-22T12:00:00Z`, by the calendar of `httpdate`: `Thu, 22 Jan 2026 12:00:00 GMT`.
pub(super) fn rfc3339(time: SystemTime) -> String {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let date = httpdate::fmt_http_date(time);
    let part = |range| date.get(range).unwrap_or_default();
    let month = MONTHS.find(part(8..11)).unwrap_or_default() / 3 + 1;
    let (day, year, clock) = (part(5..7), part(12..16), part(17..25));
    format!("{year}-{month:02}-{day}T{clock}Z")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rfc_3339_is_what_date_prints() {
        // From `date --utc --date=@… +%FT%TZ`.
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_769_083_200, "2026-01-22T12:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
        ] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(rfc3339(time), expected);
        }
    }
}
