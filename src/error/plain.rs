//! Text of others in a line of the log.

use std::fmt::{self, Write as _};

const MAX_BYTES: usize = 1024;

/// Shows text of others so that it fits into one line of a log: what a terminal or a parser of logs
/// would act on is escaped (line breaks, escape and other control characters, invisible and
/// bidirectional ones), and all beyond 1 KiB is cut and said to be. It does not allocate.
pub(crate) struct Plain<T> {
    text: T,
    max_bytes: usize,
    quoted: bool,
}

impl<T: fmt::Display> Plain<T> {
    pub(crate) fn new(text: T) -> Self {
        Self {
            text,
            max_bytes: MAX_BYTES,
            quoted: false,
        }
    }

    /// In quotes, and with those inside escaped: so it cannot be taken for more than one value of a line
    /// whose fields are `name=value`.
    #[cfg(any(test, feature = "receiver"))]
    pub(crate) fn quoted(self) -> Self {
        Self {
            quoted: true,
            ..self
        }
    }

    /// Cut after this many bytes instead of 1 KiB.
    pub(crate) fn at_most(self, max_bytes: usize) -> Self {
        Self { max_bytes, ..self }
    }
}

impl<T: fmt::Display> fmt::Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = if self.quoted { "\"" } else { "" };
        f.write_str(quote)?;
        let mut line = Line {
            out: f,
            left: self.max_bytes,
            is_cut: false,
            quoted: self.quoted,
        };
        let written = write!(line, "{}", self.text);
        // The text is asked to stop by an error. It may take that as its own, or ignore it.
        if line.is_cut {
            f.write_str("… (cut)")?;
        } else {
            written?;
        }
        f.write_str(quote)
    }
}

impl<T: fmt::Display> fmt::Debug for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Takes what a text writes, for as long as there is room.
struct Line<'a, 'f> {
    out: &'a mut fmt::Formatter<'f>,
    left: usize,
    is_cut: bool,
    quoted: bool,
}

impl Line<'_, '_> {
    fn put(&mut self, text: impl fmt::Display, bytes: usize) -> fmt::Result {
        match self.left.checked_sub(bytes) {
            Some(left) if !self.is_cut => {
                self.left = left;
                write!(self.out, "{text}")
            }
            _ => {
                self.is_cut = true;
                Err(fmt::Error)
            }
        }
    }
}

impl fmt::Write for Line<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|char| match char {
            // `escape_debug` is for what stands in quotes.
            '\'' => self.put(char, 1),
            '"' | '\\' if !self.quoted => self.put(char, 1),
            _ => {
                let escaped = char.escape_debug();
                let bytes = escaped.clone().map(char::len_utf8).sum();
                self.put(escaped, bytes)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line() {
        for (text, shown) in [
            ("", ""),
            (
                "it says \"no\", it's C:\\temp",
                "it says \"no\", it's C:\\temp",
            ),
            ("größer als 東京", "größer als 東京"),
            ("a\nb\r\tc\0", r"a\nb\r\tc\0"),
            ("\u{1b}[31mred", r"\u{1b}[31mred"),
            ("\u{85}\u{9b}\u{7f}", r"\u{85}\u{9b}\u{7f}"),
            (
                "\u{2028}\u{202e}\u{200b}\u{feff}",
                r"\u{2028}\u{202e}\u{200b}\u{feff}",
            ),
        ] {
            assert_eq!(Plain::new(text).to_string(), shown, "{text:?}");
            assert_eq!(format!("{:?}", Plain::new(text)), shown, "{text:?}");
        }
    }

    #[test]
    fn a_value_in_quotes_stays_one_value() {
        for (text, shown) in [
            ("", r#""""#),
            ("it's plain", r#""it's plain""#),
            (r#"a" outcome="handled"#, r#""a\" outcome=\"handled""#),
            (r"a\", r#""a\\""#),
            ("a\nb", r#""a\nb""#),
        ] {
            assert_eq!(Plain::new(text).quoted().to_string(), shown, "{text:?}");
        }
        let cut = Plain::new("12345\"789").quoted().at_most(6).to_string();
        assert_eq!(cut, "\"12345… (cut)\"");
    }

    #[test]
    fn a_line_has_an_end() {
        let cut = |text: &str| Plain::new(text).at_most(8).to_string();
        assert_eq!(cut("12345678"), "12345678");
        assert_eq!(cut("123456789"), "12345678… (cut)");
        assert_eq!(cut("1234567é"), "1234567… (cut)");
        assert_eq!(cut("1234567\n"), "1234567… (cut)");
        assert_eq!(cut("123456\n"), "123456\\n");
        // What is shorter than what did not fit does not slip in behind it.
        assert_eq!(cut("1234567é8"), "1234567… (cut)");

        let long = "x".repeat(50_000);
        assert_eq!(Plain::new(&long[..1024]).to_string(), long[..1024]);
        assert_eq!(
            Plain::new(&long).to_string(),
            format!("{}… (cut)", &long[..1024])
        );
    }

    #[test]
    fn a_text_that_does_not_stop_when_asked_is_cut_all_the_same() {
        struct Deaf;
        impl fmt::Display for Deaf {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                for part in ["123", "456789", "0", "\n"] {
                    let _ = f.write_str(part);
                }
                Ok(())
            }
        }
        assert_eq!(Plain::new(Deaf).at_most(8).to_string(), "12345678… (cut)");
    }
}
