//! The job that is asked about.

use std::fmt;
use std::sync::Arc;

use crate::client::error::ClientError;
use crate::client::http::Call;
use crate::client::jobs::{get_batch, get_interaction};
use crate::client::videos::get_video;
use crate::event::{GeminiEvent, JobKind};

/// A longer name is none of Google's, and would be remembered.
const MAX_NAME: usize = 1024;

/// A job by what Google has to be asked for. It is more than a [`JobId`](crate::event::JobId): videos of two models may
/// have the same last part, and belong to two projects.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Job {
    kind: JobKind,
    name: Box<str>,
}

impl Job {
    /// `None` if the event names no job.
    pub(super) fn of(event: &GeminiEvent) -> Option<Arc<Self>> {
        let job = event.job()?;
        let name = match job.kind() {
            JobKind::Video => event.job_name()?,
            JobKind::Batch | JobKind::Interaction => job.id(),
        };
        (name.len() <= MAX_NAME).then(|| {
            Arc::new(Self {
                kind: job.kind(),
                name: name.into(),
            })
        })
    }

    /// The call that reads it.
    pub(super) fn call(&self) -> Result<Call, ClientError> {
        match self.kind {
            JobKind::Batch => get_batch(&self.name),
            JobKind::Interaction => get_interaction(&self.name),
            JobKind::Video => get_video(&self.name),
        }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}
