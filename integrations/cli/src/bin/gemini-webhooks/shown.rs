//! What people see: colours where the terminal takes them, tables, and foreign text made harmless.
//!
//! `anstream` leaves out colours where the output is no terminal or `NO_COLOR` is set.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::time::{Duration, SystemTime};

use anstyle::{AnsiColor, Style};
use comfy_table::Table;
use comfy_table::presets::NOTHING;

use gemini_webhooks_cli::diagnosis::is_hidden;

use crate::exit::Failure;

pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const FAINT: Style = Style::new().dimmed();

/// Writes a line to standard output, which is for results. A reader that has gone, such as `head`, is no failure.
pub(crate) fn line(text: impl Display) -> Result<(), Failure> {
    match writeln!(anstream::stdout().lock(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written
            .map_err(|error| Failure::new(format!("cannot write to standard output: {error}"))),
    }
}

/// Writes bytes to standard output as they are.
pub(crate) fn raw(bytes: &[u8]) -> Result<(), Failure> {
    match io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written
            .map_err(|error| Failure::new(format!("cannot write to standard output: {error}"))),
    }
}

/// Writes a line to standard error, which is for progress and hints. If that fails there is nobody to tell.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Writes an error to standard error.
pub(crate) fn error(text: impl Display) {
    note(format_args!("{BAD}error:{BAD:#} {text}"));
}

/// Writes a warning to standard error.
pub(crate) fn warning(text: impl Display) {
    let style = AnsiColor::Yellow.on_default().bold();
    note(format_args!("{style}warning:{style:#} {text}"));
}

/// Writes a value as one line of JSON to standard output.
pub(crate) fn json(value: &serde_json::Value) -> Result<(), Failure> {
    line(harmless_json(&value.to_string()))
}

/// Outside of its strings JSON has none of these characters, and in them each may be escaped.
pub(crate) fn harmless_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    let mut units = [0; 2];
    for char in json.chars() {
        if is_hidden(char) {
            for unit in char.encode_utf16(&mut units) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            shown.push(char);
        }
    }
    shown
}

/// A table with these heads, without frame, as wide as the terminal.
pub(crate) fn table(heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(heads.iter().copied());
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
    table
}

/// Text from elsewhere: what could move the cursor or forge a line is escaped.
pub(crate) fn plain(text: impl Display) -> String {
    let mut shown = String::new();
    for char in text.to_string().chars() {
        if is_hidden(char) {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    shown
}

/// An error with its causes. What is said already is not said again.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// A text in which nothing that looks like a signing secret or an API key of Google is left.
pub(crate) fn without_secrets(text: &str) -> String {
    const SECRET: &str = "whsec_";
    const KEY: &str = "AIza";
    const KEY_LENGTH: usize = 39;
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = [SECRET, KEY].iter().filter_map(|it| rest.find(it)).min() {
        let (before, found) = rest.split_at(at);
        shown.push_str(before);
        let is_secret = found.starts_with(SECRET);
        let ends = |char: char| match is_secret {
            // It may have been mistyped, so all that is no end of a word belongs to it.
            true => char.is_whitespace() || char.is_control() || "'\"`".contains(char),
            false => !(char.is_ascii_alphanumeric() || "-_".contains(char)),
        };
        let (whole, after) = found.split_at(found.find(ends).unwrap_or(found.len()));
        if is_secret {
            shown.extend([SECRET, "…"]);
        } else if whole.len() >= KEY_LENGTH {
            shown.extend([KEY, "…"]);
        } else {
            shown.push_str(whole);
        }
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// A duration in seconds, as `9 s` or `1.5 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

/// A time in UTC to the second, as RFC 3339 has it.
pub(crate) fn time(time: SystemTime) -> String {
    match jiff::Timestamp::try_from(time) {
        Ok(time) => format!("{time:.0}"),
        Err(_) => "a time that cannot be written".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_not_shown() {
        const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        // As long as one.
        let key = format!("AIza{}", "Sy-_9".repeat(7));
        for (name, text, expected) in [
            ("nothing", "unexpected argument", "unexpected argument"),
            ("nothing at all", "", ""),
            ("a secret", SECRET, "whsec_…"),
            ("in quotes", &format!("'{SECRET}' found"), "'whsec_…' found"),
            (
                "in colours",
                &format!("\u{1b}[33m{SECRET}\u{1b}[0m"),
                "\u{1b}[33mwhsec_…\u{1b}[0m",
            ),
            (
                "with a slip of the keyboard",
                "whsec_MfKQ§9r8/+= found",
                "whsec_… found",
            ),
            ("two", &format!("{SECRET} {SECRET}"), "whsec_… whsec_…"),
            ("the beginning alone", "give whsec_…", "give whsec_…"),
            (
                "in a path",
                &format!("/tmp/{SECRET}: no file"),
                "/tmp/whsec_… no file",
            ),
            ("a key", &format!("'{key}' found"), "'AIza…' found"),
            ("a key that is too long", &format!("{key}x"), "AIza…"),
            ("no key", "AIzaShort", "AIzaShort"),
            (
                "a key in a secret",
                &format!("whsec_{key} {key}."),
                "whsec_… AIza….",
            ),
        ] {
            assert_eq!(without_secrets(text), expected, "{name}");
        }
    }
}
