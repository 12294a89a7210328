//! What people see: colours where the terminal takes them, tables, and foreign text made harmless.
//!
//! `anstream` leaves out colours where the output is no terminal or `NO_COLOR` is set.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::time::SystemTime;

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

/// A time in UTC to the second, as RFC 3339 has it.
pub(crate) fn time(time: SystemTime) -> String {
    match jiff::Timestamp::try_from(time) {
        Ok(time) => format!("{time:.0}"),
        Err(_) => "a time that cannot be written".to_owned(),
    }
}
