//! The line that tells of a successful run.

use std::io::{self, Write as _};

use serde::Serialize;

/// What `fault` reads from the app.
#[derive(Serialize)]
pub(crate) struct Line<'a> {
    pub(crate) webhook_id: &'a str,
    pub(crate) scheme: &'a str,
    pub(crate) r#type: Option<&'a str>,
    /// The work and the mark that it is done were committed together.
    pub(crate) once: bool,
    /// Where jobs are expected.
    #[serde(flatten)]
    pub(crate) job: Option<JobLine>,
}

/// Which job the event is about, and who brought it.
#[derive(Serialize)]
pub(crate) struct JobLine {
    /// Kind and id, such as `batch/8kq2`.
    pub(crate) job: String,
    /// The watcher did, and not a webhook.
    pub(crate) found: bool,
}

impl Line<'_> {
    /// After the work. Fails if nobody reads, and the event is then tried again.
    pub(crate) fn print(&self) -> io::Result<()> {
        let mut line = serde_json::to_string(self)?;
        line.push('\n');
        // All at once, so that a process that is killed leaves whole lines.
        let mut stdout = io::stdout().lock();
        stdout.write_all(line.as_bytes())?;
        stdout.flush()
    }
}
