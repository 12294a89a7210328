//! Times as the service writes them.

use std::time::{Duration, SystemTime};

/// From RFC 3339, such as `2026-01-22T12:00:00.123456Z`. A fraction finer than nanoseconds is cut.
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse().ok())?
    };
    let is = |at: usize, chars: &str| {
        let found = text.get(at..=at);
        found.is_some_and(|found| chars.contains(found))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let separated = is(4, "-") && is(7, "-") && is(10, "Tt ") && is(13, ":") && is(16, ":");
    let in_range = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !separated || !in_range {
        return None;
    }
    let rest = text.get(19..)?;
    let (nanos, zone) = match rest.strip_prefix('.') {
        Some(rest) => {
            let end = rest.find(|char: char| !char.is_ascii_digit())?;
            let (digits, zone) = rest.split_at(end);
            let nanos: String = digits.chars().chain("000000000".chars()).take(9).collect();
            (nanos.parse().ok().filter(|_| end > 0)?, zone)
        }
        None => (0, rest),
    };
    let seconds =
        days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset(zone)?;
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(whole)?
    } else {
        SystemTime::UNIX_EPOCH.checked_add(whole)?
    };
    time.checked_add(Duration::from_nanos(nanos))
}

/// Seconds east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let sign = match zone.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let part = |digits: &str, below: i64| -> Option<i64> {
        let is_two = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|part| is_two && *part < below)
    };
    Some(sign * (part(hours, 24)? * 3600 + part(minutes, 60)? * 60))
}

/// Days since 1970-01-01, in the Gregorian calendar (Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms"). Years begin in March, so that the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        // Seconds by GNU date.
        for (text, seconds, nanos) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2026-01-22T12:00:00Z", 1_769_083_200, 0),
            ("2026-01-22T12:00:00.5Z", 1_769_083_200, 500_000_000),
            (
                "2026-01-22t12:00:00.123456789123z",
                1_769_083_200,
                123_456_789,
            ),
            ("2026-01-22 14:30:00+02:30", 1_769_083_200, 0),
            ("2026-01-22T07:00:00.000001-05:00", 1_769_083_200, 1000),
            ("2000-02-29T23:59:59Z", 951_868_799, 0),
            ("2024-12-31T23:59:60Z", 1_735_689_600, 0),
            ("2100-03-01T00:00:00Z", 4_107_542_400, 0),
        ] {
            let expected = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        let before = SystemTime::UNIX_EPOCH - Duration::from_millis(500);
        assert_eq!(parse("1969-12-31T23:59:59.5Z"), Some(before));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "2026",
            "2026-01-22",
            "2026-01-22T12:00:00",
            "2026-01-22T12:00Z",
            "2026-13-22T12:00:00Z",
            "2026-00-22T12:00:00Z",
            "2026-01-32T12:00:00Z",
            "2026-01-22T24:00:00Z",
            "2026-01-22T12:60:00Z",
            "2026-01-22T12:00:61Z",
            "2026-01-22T12:00:00.Z",
            "2026-01-22T12:00:00.5",
            "2026-01-22T12:00:00+0200",
            "2026-01-22T12:00:00+02:60",
            "2026-01-22T12:00:00+2:00",
            "2026-01-22T12:00:00ZZ",
            "+026-01-22T12:00:00Z",
            "2026_01_22T12:00:00Z",
            "２026-01-22T12:00:00Z",
            "1769083200",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
