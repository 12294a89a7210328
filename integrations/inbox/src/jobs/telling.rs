//! What the app's operators learn: a repair must not hide the fault.

use std::time::Duration;

use gemini_webhooks::GeminiEvent;
use gemini_webhooks::event::JobId;

use super::Expectation;

pub(super) fn found(
    expectation: &Expectation,
    job: &JobId,
    event: &GeminiEvent,
    overdue: Duration,
) {
    let name = event.type_name().unwrap_or("none");
    tracing::warn!(
        %job,
        r#type = name,
        own_id = expectation.announced().id(),
        "no webhook has told how this job ended: {name} was found by asking, {overdue:.0?} after its time was over"
    );
}

/// No warning: before the inbox was there, nobody has failed.
pub(super) fn backfilled(job: &JobId, event: &GeminiEvent) {
    let name = event.type_name().unwrap_or("none");
    tracing::info!(%job, r#type = name, "a backfill has found how this batch ended");
}

pub(super) fn given_up(expectation: &Expectation, why: &str) {
    let job = expectation.job().map(JobId::to_string);
    tracing::error!(
        job,
        own_id = expectation.announced().id(),
        "an expected job is a dead letter: {why}"
    );
}
