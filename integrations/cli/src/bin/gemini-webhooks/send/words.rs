//! How numbers and answers are written.

use std::time::Duration;

use reqwest::StatusCode;

use super::answer::{Answer, Outcome, Reply, Trouble};
use crate::shown;

/// How many characters of a body are shown.
const BODY: usize = 200;

pub(super) fn deliveries(number: u64) -> String {
    match number {
        1 => "1 delivery".to_owned(),
        number => format!("{number} deliveries"),
    }
}

/// The status with its usual name, or why there is none.
pub(super) fn name(answer: &Answer) -> String {
    match &answer.outcome {
        Outcome::Answered(reply) => StatusCode::from_u16(reply.status)
            .map_or_else(|_| reply.status.to_string(), |status| status.to_string()),
        Outcome::None(trouble, _) => trouble_name(*trouble).replace('_', " "),
    }
}

pub(super) fn trouble_name(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::NothingListens => "nothing_listens",
        Trouble::NotReached => "not_reached",
        Trouble::TimedOut => "timed_out",
        Trouble::BrokeOff => "broke_off",
    }
}

pub(super) fn beginning(reply: &Reply) -> String {
    let shown: String = reply.body.chars().take(BODY).collect();
    let dots = if shown.len() < reply.body.len() || reply.is_cut {
        "…"
    } else {
        ""
    };
    format!("{}{dots}", shown::plain(shown.trim_end()))
}

pub(super) fn as_milliseconds(took: Duration) -> f64 {
    (took.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

pub(super) fn milliseconds(took: Duration) -> String {
    let milliseconds = as_milliseconds(took);
    if milliseconds < 10.0 {
        format!("{milliseconds:.1} ms")
    } else {
        format!("{milliseconds:.0} ms")
    }
}

/// The value of a sorted list that this many hundredths do not exceed.
pub(super) fn percentile(sorted: &[Duration], hundredth: usize) -> Option<Duration> {
    let rank = (sorted.len() * hundredth).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let list = |number: u64| (1..=number).map(Duration::from_millis).collect::<Vec<_>>();
        for (number, hundredth, is) in [
            (0, 50, None),
            (1, 50, Some(1)),
            (1, 95, Some(1)),
            (2, 50, Some(1)),
            (3, 50, Some(2)),
            (20, 95, Some(19)),
            (21, 95, Some(20)),
            (100, 50, Some(50)),
            (100, 95, Some(95)),
            (100, 100, Some(100)),
        ] {
            let found = percentile(&list(number), hundredth);
            assert_eq!(found, is.map(Duration::from_millis), "{number} {hundredth}");
        }
    }

    #[test]
    fn foreign_bodies_are_shown_in_part_and_harmless() {
        for (body, is_cut, shown) in [
            ("{}", false, "{}".to_owned()),
            ("{}\n", false, "{}".to_owned()),
            ("{}", true, "{}…".to_owned()),
            ("a\u{1b}[2J\nb", false, "a\\u{1b}[2J\\nb".to_owned()),
            (&"é".repeat(201), false, "é".repeat(200) + "…"),
        ] {
            let reply = Reply {
                body: body.to_owned(),
                is_cut,
                ..Reply::default()
            };
            assert_eq!(beginning(&reply), shown);
        }
    }
}
