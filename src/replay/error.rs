//! What a guard could not do.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::error::BoxError;

/// A guard cannot answer.
#[derive(Clone, Debug)]
pub struct GuardError {
    kind: GuardErrorKind,
    source: Arc<dyn Error + Send + Sync>,
}

/// What sort of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GuardErrorKind {
    /// For now: the store cannot be reached, is too slow, or is full. Later it may answer.
    Unavailable,
    /// Until somebody mends it: it is not set up, refuses us, or holds what makes no sense.
    Broken,
}

impl GuardError {
    /// It may answer later.
    #[must_use]
    pub fn unavailable(source: impl Into<BoxError>) -> Self {
        Self::new(GuardErrorKind::Unavailable, source)
    }

    /// Somebody must mend it.
    #[must_use]
    pub fn broken(source: impl Into<BoxError>) -> Self {
        Self::new(GuardErrorKind::Broken, source)
    }

    fn new(kind: GuardErrorKind, source: impl Into<BoxError>) -> Self {
        Self {
            kind,
            source: source.into().into(),
        }
    }

    /// What sort of trouble.
    #[must_use]
    pub fn kind(&self) -> GuardErrorKind {
        self.kind
    }
}

impl fmt::Display for GuardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            GuardErrorKind::Unavailable => "the guard, which remembers events, cannot answer now",
            GuardErrorKind::Broken => {
                "the guard, which remembers events, is broken until somebody repairs it"
            }
        };
        write!(f, "{what}: {}", self.source)
    }
}

impl Error for GuardError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}
