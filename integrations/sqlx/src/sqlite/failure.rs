//! What an error of SQLite means for a guard.

use std::error::Error;
use std::fmt;
use std::path::Path;

use gemini_webhooks::replay::{GuardError, GuardErrorKind};

/// An error of sqlx, and what to do about it.
#[derive(Debug)]
pub(super) struct Failure {
    text: String,
    source: sqlx::Error,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.text, self.source)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// What there is to say of an error.
struct Meaning {
    kind: GuardErrorKind,
    text: &'static str,
    /// Whether SQLite has certainly not carried out the statement.
    refused: bool,
}

const fn passes(text: &'static str) -> Meaning {
    Meaning {
        kind: GuardErrorKind::Unavailable,
        text,
        refused: true,
    }
}

const fn broken(text: &'static str) -> Meaning {
    Meaning {
        kind: GuardErrorKind::Broken,
        text,
        refused: true,
    }
}

const BUSY: Meaning = passes(
    "is being written by another connection or process, for longer than this one's busy_timeout; keep write \
     transactions short",
);
const FULL: Meaning = passes(
    "is full; free space on the disk or raise its max_page_count, and run cleanup(), which removes what has expired",
);
const READ_ONLY: Meaning = broken(
    "cannot be written; let this process write to the file and to its folder, and do not open it with mode=ro",
);
const CANNOT_OPEN: Meaning = broken(
    "cannot be opened; create its folder, let this process read and write the folder and the file, and see \
     whether it has run out of file descriptors",
);
const CORRUPT: Meaning = broken("is damaged; restore it from a backup");
const NOT_A_DATABASE: Meaning =
    broken("is no SQLite database, or is encrypted; check the path that this app was given");
const SHAPE: Meaning = broken(
    "does not take the guard's statements; the table gemini_webhooks_claims may have another shape, or SQLite may be \
     older than 3.35",
);
/// It may have been carried out: what was not synced may still be there after a crash.
const BROKEN_OFF: Meaning = Meaning {
    kind: GuardErrorKind::Unavailable,
    text: "cannot be read or written now",
    refused: false,
};
const CLOSED: Meaning =
    broken("is no longer used by this app: the guard's pool is closed; close it after the server");
const NO_CONNECTION: Meaning = passes(
    "has no free connection in this app's pool; give connections back sooner, or allow more of them",
);

/// SQLite's result code, without what it says beyond the category.
pub(super) fn code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<i32>().ok().map(|code| code & 0xff)
}

pub(super) const SQLITE_ERROR: i32 = 1;
pub(super) const SQLITE_BUSY: i32 = 5;
pub(super) const SQLITE_LOCKED: i32 = 6;

/// By the codes alone: texts differ between versions.
fn meaning(error: &sqlx::Error) -> Meaning {
    match (error, code(error)) {
        (_, Some(SQLITE_BUSY | SQLITE_LOCKED)) => BUSY,
        (_, Some(13)) => FULL,
        // Also SQLITE_PERM and SQLITE_AUTH.
        (_, Some(3 | 8 | 23)) => READ_ONLY,
        (_, Some(14)) => CANNOT_OPEN,
        (_, Some(11)) => CORRUPT,
        (_, Some(26)) => NOT_A_DATABASE,
        // SQLITE_ERROR, SQLITE_CONSTRAINT, SQLITE_MISMATCH, SQLITE_RANGE.
        (_, Some(SQLITE_ERROR | 19 | 20 | 25)) => SHAPE,
        (sqlx::Error::PoolClosed, _) => CLOSED,
        (sqlx::Error::PoolTimedOut, _) => NO_CONNECTION,
        (
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::Decode(_)
            | sqlx::Error::TypeNotFound { .. },
            _,
        ) => Meaning {
            // It has been carried out, and its row was not what the guard expects.
            refused: false,
            ..SHAPE
        },
        _ => BROKEN_OFF,
    }
}

/// Whether SQLite has certainly not carried out the statement.
pub(super) fn is_refused(error: &sqlx::Error) -> bool {
    meaning(error).refused
}

/// The error of a guard whose database is in `file`.
pub(super) fn guard_error(file: &Path, error: sqlx::Error) -> GuardError {
    let Meaning { kind, text, .. } = meaning(&error);
    let failure = Failure {
        text: format!("the SQLite database {} {text}", file.display()),
        source: error,
    };
    match kind {
        GuardErrorKind::Broken => GuardError::broken(failure),
        _ => GuardError::unavailable(failure),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use GuardErrorKind::{Broken, Unavailable};
    use sqlx::error::{DatabaseError, ErrorKind};

    use super::*;

    /// An error of SQLite, which only SQLite can make.
    #[derive(Debug)]
    struct Coded(i32);

    impl fmt::Display for Coded {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "(code: {})", self.0)
        }
    }

    impl Error for Coded {}

    impl DatabaseError for Coded {
        fn message(&self) -> &str {
            "a text that may change"
        }

        fn code(&self) -> Option<Cow<'_, str>> {
            Some(self.0.to_string().into())
        }

        fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
            self
        }

        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    #[test]
    fn codes() {
        for (name, code, kind, refused, text) in [
            ("ERROR", 1, Broken, true, "another shape"),
            ("PERM", 3, Broken, true, "cannot be written"),
            ("BUSY", 5, Unavailable, true, "is being written"),
            ("BUSY_SNAPSHOT", 517, Unavailable, true, "is being written"),
            (
                "LOCKED_SHAREDCACHE",
                262,
                Unavailable,
                true,
                "is being written",
            ),
            (
                "NOMEM",
                7,
                Unavailable,
                false,
                "cannot be read or written now",
            ),
            ("READONLY", 8, Broken, true, "cannot be written"),
            (
                "READONLY_DIRECTORY",
                1544,
                Broken,
                true,
                "cannot be written",
            ),
            (
                "IOERR",
                10,
                Unavailable,
                false,
                "cannot be read or written now",
            ),
            (
                "IOERR_FSYNC",
                1034,
                Unavailable,
                false,
                "cannot be read or written now",
            ),
            ("CORRUPT", 11, Broken, true, "is damaged"),
            ("FULL", 13, Unavailable, true, "is full"),
            ("CANTOPEN", 14, Broken, true, "cannot be opened"),
            (
                "PROTOCOL",
                15,
                Unavailable,
                false,
                "cannot be read or written now",
            ),
            ("CONSTRAINT_NOTNULL", 1299, Broken, true, "another shape"),
            ("AUTH", 23, Broken, true, "cannot be written"),
            ("NOTADB", 26, Broken, true, "is no SQLite database"),
        ] {
            let error = sqlx::Error::Database(Box::new(Coded(code)));
            assert_eq!(is_refused(&error), refused, "{name}");
            let error = guard_error(Path::new("claims.db"), error);
            assert_eq!(error.kind(), kind, "{name}");
            let said = error.to_string();
            assert!(
                said.contains("the SQLite database claims.db"),
                "{name}: {said}"
            );
            assert!(said.contains(text), "{name}: {said}");
            assert!(said.contains(&format!("(code: {code})")), "{name}: {said}");
        }
    }

    #[test]
    fn errors_of_the_driver() {
        let row = || sqlx::Error::ColumnIndexOutOfBounds { index: 1, len: 1 };
        for (error, kind, refused, text) in [
            (sqlx::Error::PoolClosed, Broken, true, "pool is closed"),
            (
                sqlx::Error::PoolTimedOut,
                Unavailable,
                true,
                "no free connection",
            ),
            (
                sqlx::Error::WorkerCrashed,
                Unavailable,
                false,
                "cannot be read or written now",
            ),
            (row(), Broken, false, "another shape"),
        ] {
            assert_eq!(is_refused(&error), refused, "{error}");
            let said = guard_error(Path::new("claims.db"), error);
            assert_eq!(said.kind(), kind, "{said}");
            assert!(said.to_string().contains(text), "{said}");
        }
    }
}
