//! What people see: colours where the terminal takes them, tables, and foreign text made harmless.
//!
//! `anstream` leaves out colours where the output is no terminal or `NO_COLOR` is set.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::time::SystemTime;

use anstyle::{AnsiColor, Style};
use comfy_table::Table;
use comfy_table::presets::NOTHING;

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
    line(value)
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
        let is_hidden = char.is_control()
            || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if is_hidden {
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
