//! The error of a mock.

use std::error::Error;
use std::fmt;

/// The error when the mock cannot do what a test asks for.
///
/// There is no such job, or the job has ended. The text says which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MockError(String);

impl MockError {
    pub(super) fn unknown(what: &str, id: &str) -> Self {
        Self(format!(
            "there is no {what} {id}; create it first, through the API"
        ))
    }

    pub(super) fn ended(what: &str, id: &str) -> Self {
        Self(format!("the {what} {id} has ended; create another"))
    }
}

impl fmt::Display for MockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for MockError {}
