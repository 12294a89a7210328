//! Why it is not known whose job it is.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::job::Job;
use super::state::MAX_ASKING;
use crate::client::error::ClientError;
use crate::error::Plain;

/// The error when it is not known whether a job belongs to this project.
///
/// A receiver answers 503 then, so Google sends the event again. `Display` says why it is not known, and what to do.
#[derive(Clone)]
pub struct OwnershipError {
    job: String,
    why: Why,
}

#[derive(Clone, Debug)]
pub(super) enum Why {
    Call(Arc<ClientError>),
    PerMinute(u32),
    Busy,
    Paused(Duration),
    Ended,
}

impl Why {
    pub(super) fn call(error: ClientError) -> Self {
        Self::Call(Arc::new(error))
    }
}

impl OwnershipError {
    pub(super) fn new(job: &Job, why: Why) -> Self {
        let job = Plain::new(job).at_most(128).to_string();
        Self { job, why }
    }

    /// Returns the error of the call, if Google was asked or the job's name cannot be asked for.
    ///
    /// `None` if a limit was reached.
    #[must_use]
    pub fn client_error(&self) -> Option<&ClientError> {
        match &self.why {
            Why::Call(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for OwnershipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let job = &self.job;
        write!(
            f,
            "it is not known whether {job} is a job of this project: "
        )?;
        match &self.why {
            Why::Call(error) => write!(f, "{error}"),
            Why::PerMinute(limit) => write!(
                f,
                "Google was asked {limit} times within a minute, which is the limit; if the jobs are yours, raise `per_minute`, and if they are strangers', replace the endpoint token"
            ),
            Why::Busy => write!(
                f,
                "too many jobs are being asked about (at most {MAX_ASKING}), or Google answers too slowly; if this goes on, look whether Google's API can be reached, and whether the jobs are yours"
            ),
            Why::Paused(left) => write!(
                f,
                "Google answered a question with 429, so nothing is asked for another {} s; if this goes on, look at the quota of the project",
                left.as_secs().saturating_add(1)
            ),
            Why::Ended => f.write_str(
                "there is no tokio runtime to ask in, or it has ended; ask in one that runs",
            ),
        }
    }
}

/// Shows the text of `Display`.
impl fmt::Debug for OwnershipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnershipError({self})")
    }
}

impl Error for OwnershipError {
    // The call's error is in the text already.
}
