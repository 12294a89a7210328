//! How long a response may be used without asking again (RFC 9111), for a cache of our own.

use std::time::{Duration, SystemTime};

/// However soon a response says that it expires, keys are not fetched more often than this.
pub(super) const MIN_AGE: Duration = Duration::from_secs(60);

/// However late it says that, a key that was withdrawn is not used longer. Also what counts where a
/// response says nothing.
pub(super) const MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// What the headers of a response say. Where they contradict each other, the sooner end counts
/// (RFC 9111, 4.2.1).
#[derive(Clone, Debug, Default)]
pub(super) struct Freshness {
    /// By `Cache-Control`, in seconds.
    lifetime: Option<u64>,
    expires: Option<Expires>,
    /// How long caches on the way have held it, in seconds.
    age: u64,
    /// When its origin made it.
    date: Option<SystemTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Expires {
    /// What is no date, `0` above all (RFC 9111, 5.3).
    Already,
    At(SystemTime),
}

impl Freshness {
    /// Takes a header into account; most say nothing of freshness.
    pub(super) fn note(&mut self, name: &str, value: &str) {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("cache-control") {
            let stated = value.split(',').filter_map(lifetime);
            self.lifetime = stated.chain(self.lifetime).min();
        } else if is("age") {
            let stated = value.split(',').filter_map(seconds);
            self.age = stated.chain([self.age]).max().unwrap_or_default();
        } else if is("date") {
            let stated = httpdate::parse_http_date(value.trim()).ok();
            self.date = stated.into_iter().chain(self.date).min();
        } else if is("expires") {
            let stated = httpdate::parse_http_date(value.trim());
            let stated = stated.map_or(Expires::Already, Expires::At);
            self.expires = self.expires.into_iter().chain([stated]).min();
        }
    }

    /// For how long after `asked`, when the response was asked for, by the wall clock.
    pub(super) fn fresh_for(&self, asked: SystemTime) -> Duration {
        let lifetime = match (self.lifetime, self.expires) {
            (Some(seconds), _) => Duration::from_secs(seconds),
            (None, Some(Expires::At(end))) => since(self.date.unwrap_or(asked), end),
            (None, Some(Expires::Already)) => Duration::ZERO,
            (None, None) => MAX_AGE,
        };
        // A cache on the way may count wrongly or not at all, and our clock may be wrong: whatever
        // makes the response older counts. That costs a fetch a minute at most.
        let age = Duration::from_secs(self.age)
            .max(self.date.map(|date| since(date, asked)).unwrap_or_default());
        lifetime.saturating_sub(age).clamp(MIN_AGE, MAX_AGE)
    }
}

fn since(earlier: SystemTime, later: SystemTime) -> Duration {
    later.duration_since(earlier).unwrap_or_default()
}

/// What a directive of `Cache-Control` says of the lifetime. `s-maxage` is for shared caches.
fn lifetime(directive: &str) -> Option<u64> {
    let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
    match name.trim().to_ascii_lowercase().as_str() {
        "no-store" | "no-cache" => Some(0),
        // What cannot be read counts as stale (RFC 9111, 4.2.1).
        "max-age" => Some(seconds(value.trim().trim_matches('"')).unwrap_or(0)),
        _ => None,
    }
}

/// Seconds as RFC 9111, 1.2.2 has them. What is too large for a number is still large.
fn seconds(digits: &str) -> Option<u64> {
    let digits = digits.trim();
    let number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-22 12:00:00 UTC.
    const NOW: u64 = 1_769_083_200;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn fresh_for(headers: &[(&str, &str)]) -> u64 {
        let mut freshness = Freshness::default();
        for (name, value) in headers {
            freshness.note(name, value);
        }
        freshness.fresh_for(at(NOW)).as_secs()
    }

    #[test]
    fn cache_control() {
        for (value, seconds) in [
            ("max-age=600", 600),
            ("public, max-age=600, must-revalidate", 600),
            ("Public,MAX-AGE=\"600\"", 600),
            ("max-age = 600", 600),
            ("max-age=59", 60),
            ("max-age=61", 61),
            ("max-age=3599", 3599),
            ("max-age=3601", 3600),
            ("max-age=0", 60),
            ("no-store", 60),
            ("No-Cache", 60),
            ("no-cache=\"set-cookie\", max-age=600", 60),
            ("no-cache, max-age=600", 60),
            ("max-age=600, max-age=120", 120),
            ("max-age=120, max-age=600", 120),
            ("max-age=99999999999999999999", 3600),
            // What cannot be read counts as stale.
            ("max-age=-1", 60),
            ("max-age=1.5", 60),
            ("max-age=+600", 60),
            ("max-age", 60),
            ("max-age=x, max-age=600", 60),
            // A directive for shared caches, and others that do not speak of freshness.
            ("s-maxage=600", 3600),
            ("s-maxage=600, max-age=900", 900),
            (
                "immutable, stale-while-revalidate=60, stale-if-error=60",
                3600,
            ),
            ("max-ages=600", 3600),
            ("", 3600),
        ] {
            assert_eq!(fresh_for(&[("Cache-Control", value)]), seconds, "{value}");
        }
        let two = [
            ("cache-control", "max-age=900"),
            ("cache-control", "max-age=600"),
        ];
        assert_eq!(fresh_for(&two), 600);
        assert_eq!(fresh_for(&[two[1], two[0]]), 600);
    }

    #[test]
    fn age() {
        for (ages, seconds) in [
            (&["3000"][..], 600),
            (&["3590"], 60),
            (&["3600"], 60),
            (&["3601"], 60),
            (&["0"], 3600),
            (&[" 3000 "], 600),
            (&["99999999999999999999"], 60),
            // Several: the oldest.
            (&["100", "3000"], 600),
            (&["3000", "100"], 600),
            (&["100, 3000"], 600),
            // What cannot be read says nothing.
            (&["-1"], 3600),
            (&["3000.5"], 3600),
            (&["old"], 3600),
            (&[""], 3600),
            (&["x", "3000"], 600),
        ] {
            for lifetime in [&[("cache-control", "max-age=3600")][..], &[]] {
                let mut headers: Vec<_> = ages.iter().map(|age| ("AGE", *age)).collect();
                headers.extend(lifetime);
                assert_eq!(fresh_for(&headers), seconds, "{headers:?}");
            }
        }
        // It is taken from what the origin said, not from the hour that we would keep it.
        let long = ("cache-control", "max-age=86400");
        assert_eq!(fresh_for(&[long, ("age", "3600")]), 3600);
        assert_eq!(fresh_for(&[long, ("age", "86000")]), 400);
        assert_eq!(
            fresh_for(&[("cache-control", "no-cache"), ("age", "1")]),
            60
        );
    }

    #[test]
    fn expires_and_date() {
        const NOW: &str = "Thu, 22 Jan 2026 12:00:00 GMT";
        const IN_TEN_MINUTES: &str = "Thu, 22 Jan 2026 12:10:00 GMT";
        const TEN_MINUTES_AGO: &str = "Thu, 22 Jan 2026 11:50:00 GMT";
        const YESTERDAY: &str = "Wed, 21 Jan 2026 12:00:00 GMT";
        const TOMORROW: &str = "Fri, 23 Jan 2026 12:00:00 GMT";
        for (headers, seconds) in [
            (&[("expires", IN_TEN_MINUTES)][..], 600),
            (&[("expires", IN_TEN_MINUTES), ("date", NOW)], 600),
            (&[("expires", "Thursday, 22-Jan-26 12:10:00 GMT")], 600),
            (&[("expires", "Thu Jan 22 12:10:00 2026")], 600),
            (&[("expires", TOMORROW)], 3600),
            (&[("expires", YESTERDAY)], 60),
            (&[("expires", "0")], 60),
            (&[("expires", "-1")], 60),
            (&[("expires", "")], 60),
            (&[("expires", "2026-01-22T12:10:00Z")], 60),
            (&[("expires", TOMORROW), ("expires", IN_TEN_MINUTES)], 600),
            (&[("expires", IN_TEN_MINUTES), ("expires", "0")], 60),
            // `max-age` goes before it, whichever is longer (RFC 9111, 5.3).
            (&[("expires", "0"), ("cache-control", "max-age=900")], 900),
            (
                &[
                    ("expires", IN_TEN_MINUTES),
                    ("cache-control", "max-age=900"),
                ],
                900,
            ),
            (
                &[
                    ("expires", IN_TEN_MINUTES),
                    ("cache-control", "s-maxage=900"),
                ],
                600,
            ),
            (
                &[("expires", IN_TEN_MINUTES), ("cache-control", "no-store")],
                60,
            ),
            // Held on the way, whether or not an `Age` says so.
            (&[("date", TEN_MINUTES_AGO)], 3000),
            (&[("date", TEN_MINUTES_AGO), ("age", "1200")], 2400),
            (&[("date", TEN_MINUTES_AGO), ("age", "10")], 3000),
            (
                &[("date", TEN_MINUTES_AGO), ("expires", IN_TEN_MINUTES)],
                600,
            ),
            (&[("expires", IN_TEN_MINUTES), ("age", "300")], 300),
            // The clock of the origin, or ours, is far off.
            (
                &[("date", YESTERDAY), ("cache-control", "max-age=3600")],
                60,
            ),
            (&[("date", TOMORROW), ("cache-control", "max-age=900")], 900),
            (&[("date", TOMORROW), ("expires", IN_TEN_MINUTES)], 60),
            (&[("date", "Thu, 01 Jan 1970 00:00:00 GMT")], 60),
            (&[("date", "Fri, 31 Dec 9999 23:59:59 GMT")], 3600),
            // No date at all says nothing.
            (&[("date", "today"), ("expires", IN_TEN_MINUTES)], 600),
            (&[("date", NOW), ("date", TEN_MINUTES_AGO)], 3000),
            (
                &[("last-modified", YESTERDAY), ("pragma", "no-cache")],
                3600,
            ),
        ] {
            assert_eq!(fresh_for(headers), seconds, "{headers:?}");
        }
    }
}
