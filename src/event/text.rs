//! Texts of an event, without copies.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;

/// A text of an event: a part of its body, or what escapes in it stand for.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Text(Bytes);

impl Text {
    /// `text` is borrowed from `body`, or owned.
    pub(super) fn new(body: &Bytes, text: Cow<'_, str>) -> Self {
        Self(match text {
            Cow::Borrowed(part) => body.slice_ref(part.as_bytes()),
            Cow::Owned(text) => text.into(),
        })
    }

    pub(super) fn as_str(&self) -> &str {
        // It was made of a `str`.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// As [`Text`], for who has the body at hand: it is not counted as another holder of it.
pub(super) enum Span {
    Within(Range<usize>),
    Unescaped(Box<str>),
}

impl Span {
    /// `text` is borrowed from `body`, or owned.
    pub(super) fn new(body: &str, text: Cow<'_, str>) -> Self {
        match text {
            Cow::Borrowed(part) => {
                let start = part.as_ptr().addr().wrapping_sub(body.as_ptr().addr());
                Self::Within(start..start.saturating_add(part.len()))
            }
            Cow::Owned(text) => Self::Unescaped(text.into()),
        }
    }

    /// From the body that it was made with.
    pub(super) fn of<'a>(&'a self, body: &'a [u8]) -> &'a str {
        match self {
            Self::Within(range) => {
                let part = body.get(range.clone()).unwrap_or_default();
                str::from_utf8(part).unwrap_or_default()
            }
            Self::Unescaped(text) => text,
        }
    }
}
