//! Why a backfill ends early.

use std::error::Error;
use std::fmt;

use gemini_webhooks::client::ClientError;

use super::Backfilled;
use super::walk::PAGES;
use crate::error::InboxError;
#[cfg(doc)]
use crate::error::InboxErrorKind;

/// Why a backfill did not come to its end.
///
/// What it has stored stays. Run it again to go on.
#[derive(Debug)]
pub struct BackfillError {
    source: Source,
    so_far: Box<Backfilled>,
}

#[derive(Debug)]
pub(super) enum Source {
    Inbox(InboxError),
    Google(ClientError),
    Endless,
}

impl BackfillError {
    pub(super) fn new(source: Source, so_far: Backfilled) -> Self {
        Self {
            source,
            so_far: Box::new(so_far),
        }
    }

    /// Returns the error of the inbox, if it was that: of its database, of a [setting](InboxErrorKind::Invalid), or that it
    /// is [full](InboxErrorKind::Full).
    #[must_use]
    pub fn inbox_error(&self) -> Option<&InboxError> {
        match &self.source {
            Source::Inbox(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the error of Google's API, if it was that.
    #[must_use]
    pub fn client_error(&self) -> Option<&ClientError> {
        match &self.source {
            Source::Google(error) => Some(error),
            _ => None,
        }
    }

    /// Returns what was done until then.
    #[must_use]
    pub fn so_far(&self) -> &Backfilled {
        &self.so_far
    }
}

impl From<InboxError> for Source {
    fn from(error: InboxError) -> Self {
        Self::Inbox(error)
    }
}

impl From<ClientError> for Source {
    fn from(error: ClientError) -> Self {
        Self::Google(error)
    }
}

impl fmt::Display for BackfillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Backfilled { listed, found, .. } = *self.so_far;
        match listed {
            0 => f.write_str("the backfill has looked at no batch: ")?,
            _ => write!(
                f,
                "the backfill has ended early (batches that it looked at: {listed}, found: {found}); run it again to go \
                 on: "
            )?,
        }
        match &self.source {
            Source::Inbox(error) => error.fmt(f),
            Source::Google(error) => error.fmt(f),
            Source::Endless => write!(f, "Google's list of batches has more than {PAGES} pages"),
        }
    }
}

impl Error for BackfillError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.source {
            Source::Inbox(error) => Some(error),
            Source::Google(error) => Some(error),
            Source::Endless => None,
        }
    }
}
