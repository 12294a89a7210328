//! The values of options: durations, addresses and URLs.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use jiff::SignedDuration;
use reqwest::Url;

const HOUR: u64 = 3600;

/// A duration with units, such as `-10m`, or in seconds.
pub(crate) fn offset(text: &str) -> Result<SignedDuration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(SignedDuration::from_secs(seconds));
    }
    // Of 24 hours: a library that knows of clocks being set refuses to say how long a day is.
    let days = text
        .strip_suffix('d')
        .and_then(|days| days.parse::<i32>().ok());
    if let Some(days) = days {
        return Ok(SignedDuration::from_hours(24 * i64::from(days)));
    }
    text.parse().map_err(|_| {
        "write a duration, such as 30s, 10m, 1h or 3d, or a number of seconds".to_owned()
    })
}

/// A duration that is longer than zero.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration = Duration::try_from(offset(text)?).unwrap_or_default();
    if duration.is_zero() {
        return Err("it must be longer than zero".to_owned());
    }
    Ok(duration)
}

/// Reads a duration from one second to this many hours.
pub(crate) fn up_to_hours(
    hours: u64,
) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync + 'static {
    let range = Duration::from_secs(1)..=Duration::from_secs(hours.saturating_mul(HOUR));
    move |text| {
        let read = Duration::try_from(offset(text)?);
        match read {
            Ok(duration) if range.contains(&duration) => Ok(duration),
            _ => Err(format!("{text} is not in the range from 1s to {hours}h")),
        }
    }
}

/// An address and a port. A port alone is one of this machine.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<u16>() {
        Ok(port) => Ok((Ipv4Addr::LOCALHOST, port).into()),
        Err(_) => text.parse().map_err(|_| {
            "give a port, such as 8080, or an address with a port, such as 127.0.0.1:8080"
                .to_owned()
        }),
    }
}

/// The URL of an app. The error does not repeat it, for it may hold an endpoint token.
pub(crate) fn app_url(text: &str) -> Result<Url, String> {
    const EXAMPLE: &str = "such as http://127.0.0.1:8000/gemini-callback";
    let begins_with = |scheme: &str| {
        let start = text.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    if !begins_with("http://") && !begins_with("https://") {
        return Err(format!(
            "the URL must begin with http:// or https://, {EXAMPLE}"
        ));
    }
    Url::parse(text)
        .map_err(|error| format!("the URL cannot be used ({error}): give one {EXAMPLE}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in [
            ("30", Some(30)),
            ("30s", Some(30)),
            ("10m", Some(600)),
            ("-10m", Some(-600)),
            ("-600", Some(-600)),
            ("+1h", Some(3600)),
            ("1h 30m", Some(5400)),
            ("3d", Some(259_200)),
            ("10", Some(10)),
            ("", None),
            ("soon", None),
            ("5 moons", None),
        ] {
            let read = offset(text).ok().map(|read| read.as_secs());
            assert_eq!(read, seconds, "{text:?}");
        }
        for text in ["0", "0s", "-1m", "x"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
        assert_eq!(duration("1500ms").unwrap(), Duration::from_millis(1500));
    }

    #[test]
    fn durations_within_limits() {
        let read = up_to_hours(24);
        for (text, expected) in [
            ("1", Ok(1)),
            ("5m", Ok(300)),
            ("24h", Ok(86400)),
            ("86400", Ok(86400)),
            ("0", Err("0 is not in the range from 1s to 24h")),
            ("999ms", Err("from 1s to 24h")),
            ("-5m", Err("from 1s to 24h")),
            ("86401", Err("from 1s to 24h")),
            ("9223372036854775807", Err("from 1s to 24h")),
            ("5 moons", Err("such as 30s")),
        ] {
            match (read(text), expected) {
                (Ok(read), Ok(seconds)) => assert_eq!(read.as_secs(), seconds, "{text}"),
                (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
                (got, expected) => panic!("{text}: {got:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("8787", Some("127.0.0.1:8787")),
            ("0", Some("127.0.0.1:0")),
            ("127.0.0.1:8787", Some("127.0.0.1:8787")),
            ("[::1]:8787", Some("[::1]:8787")),
            ("0.0.0.0:80", Some("0.0.0.0:80")),
            ("70000", None),
            ("127.0.0.1", None),
            ("localhost:8787", None),
            (":8787", None),
            ("", None),
        ] {
            match (address(text), expected) {
                (Ok(read), Some(expected)) => assert_eq!(read.to_string(), expected, "{text}"),
                (Err(error), None) => assert!(error.contains("such as 8080"), "{text}: {error}"),
                (got, expected) => panic!("{text}: {got:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn urls() {
        for (text, expected) in [
            ("http://127.0.0.1:8000/x", Ok("http://127.0.0.1:8000/x")),
            ("HTTPS://Example.com", Ok("https://example.com/")),
            ("127.0.0.1:8000/x", Err("must begin with http://")),
            ("localhost:8000/x", Err("must begin with http://")),
            ("/hook?token=hidden", Err("must begin with http://")),
            ("ftp://example.com/x", Err("must begin with http://")),
            ("http:/x", Err("must begin with http://")),
            ("é", Err("must begin with http://")),
            ("", Err("must begin with http://")),
            ("http://", Err("cannot be used (empty host)")),
            (
                "http://a:x/?token=hidden",
                Err("cannot be used (invalid port"),
            ),
        ] {
            match (app_url(text), expected) {
                (Ok(url), Ok(expected)) => assert_eq!(url.as_str(), expected),
                (Err(error), Err(part)) => {
                    assert!(
                        error.contains(part) && !error.contains("hidden"),
                        "{text}: {error}"
                    );
                    assert!(
                        error.contains("such as http://127.0.0.1:8000/"),
                        "{text}: {error}"
                    );
                }
                (got, expected) => panic!("{text}: {got:?}, not {expected:?}"),
            }
        }
    }
}
