//! Texts of an event, without copies.

use std::borrow::Cow;
use std::fmt;

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
