//! What can go wrong, and what to do about it.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::store::{Database, Migration, VERSION};

/// What kind of error an [`InboxError`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InboxErrorKind {
    /// The database cannot answer now. It may later.
    Unavailable,
    /// As many events wait as [may](crate::Opening::max_waiting).
    Full,
    /// A newer version of this crate has changed the tables.
    NewerTables,
    /// A setting or an argument is wrong.
    Invalid,
    /// Another worker has the event by now, because this one's hold on it has ended.
    Lost,
    /// What the database returns is not what the inbox has stored.
    Damaged,
}

/// Why the inbox could not do something.
///
/// Its text says what to do. It shows no password.
#[derive(Clone)]
pub struct InboxError {
    kind: InboxErrorKind,
    text: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl InboxError {
    pub(crate) fn new(kind: InboxErrorKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            source: None,
        }
    }

    fn caused(kind: InboxErrorKind, text: String, source: Arc<sqlx::Error>) -> Self {
        Self {
            kind,
            text: format!("{text}: {source}"),
            source: Some(Arc::new(Caused(source))),
        }
    }

    pub(crate) fn unavailable<DB: Database>(link: &DB::Link, error: Arc<sqlx::Error>) -> Self {
        let kind = match &*error {
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::Decode(_) => InboxErrorKind::Damaged,
            _ => InboxErrorKind::Unavailable,
        };
        let text = format!("the inbox cannot use {}", DB::name(link));
        Self::caused(kind, text, error)
    }

    pub(crate) fn too_slow<DB: Database>(link: &DB::Link) -> Self {
        let text = format!("{} has not answered in time", DB::name(link));
        Self::new(InboxErrorKind::Unavailable, text)
    }

    pub(crate) fn migration<DB: Database>(link: &DB::Link, error: Migration) -> Self {
        let name = DB::name(link);
        match error {
            Migration::Newer(found) => Self::new(
                InboxErrorKind::NewerTables,
                format!(
                    "the inbox's tables in {name} are of version {found}, and this program knows version {VERSION} at \
                     most; run a newer version of gemini-webhooks-inbox"
                ),
            ),
            Migration::Failed(error) => Self::caused(
                InboxErrorKind::Unavailable,
                format!("the inbox's tables cannot be made in {name}"),
                Arc::new(error),
            ),
        }
    }

    pub(crate) fn lost(webhook_id: &str) -> Self {
        Self::new(
            InboxErrorKind::Lost,
            format!(
                "another worker has the event {webhook_id} by now, because this one's hold on it had ended; nothing was \
                 committed"
            ),
        )
    }

    /// Returns what kind of error it is.
    #[must_use]
    pub fn kind(&self) -> InboxErrorKind {
        self.kind
    }
}

impl fmt::Display for InboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for InboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboxError")
            .field("kind", &self.kind)
            .field("text", &self.text)
            .finish_non_exhaustive()
    }
}

impl Error for InboxError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}

/// An error of sqlx that several share.
#[derive(Debug)]
struct Caused(Arc<sqlx::Error>);

impl fmt::Display for Caused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Caused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
