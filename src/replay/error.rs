//! The error of a guard.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::error::BoxError;

/// The error when a guard cannot answer.
///
/// A delivery whose claim fails is answered 503, so that Google retries. If settling or releasing
/// fails, the handler's answer is sent and an error is logged.
///
/// ```
/// use gemini_webhooks::replay::{GuardError, GuardErrorKind};
///
/// let error = GuardError::unavailable("connection refused");
/// assert_eq!(error.kind(), GuardErrorKind::Unavailable);
/// ```
#[derive(Clone, Debug)]
pub struct GuardError {
    kind: GuardErrorKind,
    source: Arc<dyn Error + Send + Sync>,
}

/// Whether a guard that cannot answer may recover by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GuardErrorKind {
    /// It may recover: the store cannot be reached, is too slow, or is full.
    Unavailable,
    /// Somebody must repair it: the store is not set up, refuses access, or holds invalid data.
    Broken,
}

impl GuardError {
    /// Makes an error of a guard that may recover by itself.
    #[must_use]
    pub fn unavailable(source: impl Into<BoxError>) -> Self {
        Self::new(GuardErrorKind::Unavailable, source)
    }

    /// Makes an error of a guard that somebody must repair.
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

    /// Returns whether the guard may recover by itself.
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
                "the guard, which remembers events, cannot work until this is fixed"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_who_is_to_act_and_why() {
        for (error, kind, part) in [
            (
                GuardError::unavailable("no route"),
                GuardErrorKind::Unavailable,
                "cannot answer now: no route",
            ),
            (
                GuardError::broken("no table"),
                GuardErrorKind::Broken,
                "cannot work until this is fixed: no table",
            ),
        ] {
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().ends_with(part), "{error}");
            let source = error.source().unwrap().to_string();
            assert!(part.ends_with(&source), "{source}");
        }
    }
}
