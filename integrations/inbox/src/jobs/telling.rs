//! What the app's operators learn of jobs and webhooks: a repair must not hide the fault. Metrics of these are here.

use std::time::Duration;

use gemini_webhooks::GeminiEvent;
use gemini_webhooks::client::ClientError;
use gemini_webhooks::event::JobId;

use super::watch::{Look, Seen};
use super::{Expectation, Inbox};
use crate::error::InboxError;
use crate::store::Database;

#[cfg(feature = "metrics")]
mod names {
    pub(super) const FOUND: &str = "gemini_webhooks_inbox_found_events_total";
    pub(super) const LOST: &str = "gemini_webhooks_inbox_lost_jobs_total";
    pub(super) const EXPECTED: &str = "gemini_webhooks_inbox_expected_jobs";
    pub(super) const OVERDUE: &str = "gemini_webhooks_inbox_overdue_jobs";
    pub(super) const ENABLED: &str = "gemini_webhooks_endpoint_enabled";
    pub(super) const ENABLED_AGAIN: &str = "gemini_webhooks_endpoint_enabled_again_total";
}

/// Says what the metrics are, to a recorder that wants to know.
pub(super) fn describe() {
    #[cfg(feature = "metrics")]
    {
        use metrics::{Unit::Count, describe_counter, describe_gauge};

        describe_counter!(
            names::FOUND,
            Count,
            "Events that no webhook has brought, and that were found by asking Google"
        );
        describe_counter!(
            names::LOST,
            Count,
            "Expected jobs that became dead letters, because nothing more can be learned of them"
        );
        describe_gauge!(
            names::EXPECTED,
            Count,
            "Jobs that are expected and have no answer"
        );
        describe_gauge!(
            names::OVERDUE,
            Count,
            "Jobs that are expected and have no answer, and whose time is over"
        );
        describe_gauge!(
            names::ENABLED,
            "Whether a registered webhook is enabled, 1 or 0"
        );
        describe_counter!(
            names::ENABLED_AGAIN,
            Count,
            "Webhooks that Google had switched off, and that the watcher has enabled again"
        );
    }
}

pub(super) fn found(
    expectation: &Expectation,
    job: &JobId,
    event: &GeminiEvent,
    overdue: Duration,
) {
    #[cfg(feature = "metrics")]
    metrics::counter!(names::FOUND, "type" => types::label(event)).increment(1);
    tracing::warn!(
        %job,
        r#type = event.type_name(),
        own_id = expectation.announced().id(),
        "no webhook has brought this event: it was found by asking, {overdue:.0?} after the job's time was over"
    );
}

/// No warning: before the inbox was there, nobody has failed.
pub(super) fn backfilled(job: &JobId, event: &GeminiEvent) {
    let name = event.type_name().unwrap_or("none");
    tracing::info!(%job, r#type = name, "a backfill has found how this batch ended");
}

pub(super) fn given_up(expectation: &Expectation, why: &str) {
    #[cfg(feature = "metrics")]
    metrics::counter!(names::LOST, "kind" => expectation.announced().kind().as_str()).increment(1);
    let job = expectation.job().map(JobId::to_string);
    tracing::error!(
        job,
        kind = expectation.announced().kind().as_str(),
        own_id = expectation.announced().id(),
        "an expected job is a dead letter: {why}"
    );
}

/// How many jobs are expected, after a pass.
#[cfg_attr(
    not(feature = "metrics"),
    expect(unused_variables, reason = "nobody counts")
)]
pub(super) async fn awaited<DB: Database>(inbox: &Inbox<DB>) -> Result<(), InboxError> {
    #[cfg(feature = "metrics")]
    {
        let awaited = inbox.awaited().await?;
        for (name, count) in [
            (names::EXPECTED, awaited.open),
            (names::OVERDUE, awaited.overdue),
        ] {
            metrics::gauge!(name).set(count as f64);
        }
    }
    Ok(())
}

/// Another watcher does the work: what this one has told last would stand for ever.
#[cfg_attr(
    not(feature = "metrics"),
    expect(unused_variables, reason = "nobody counts")
)]
pub(super) fn handed_over<'w>(webhooks: impl Iterator<Item = &'w str>) {
    #[cfg(feature = "metrics")]
    {
        for name in [names::EXPECTED, names::OVERDUE] {
            metrics::gauge!(name).set(f64::NAN);
        }
        for webhook in webhooks {
            metrics::gauge!(names::ENABLED, "webhook" => webhook.to_owned()).set(f64::NAN);
        }
    }
}

/// What a look at a webhook has shown, if it is new.
pub(super) fn webhook(id: &str, seen: &Seen, look: Look) {
    #[cfg(feature = "metrics")]
    metrics::gauge!(names::ENABLED, "webhook" => id.to_owned()).set(match seen {
        Seen::Enabled => 1.0,
        _ => 0.0,
    });
    if !look.is_change {
        return;
    }
    match seen {
        Seen::Enabled => tracing::info!(webhook = id, "the webhook is enabled"),
        Seen::Disabled => tracing::warn!(
            webhook = id,
            "somebody has disabled the webhook, so it brings no events; the watcher leaves it so"
        ),
        Seen::Unknown(Some(state)) => tracing::warn!(
            webhook = id,
            "the webhook is {state}, a state that this version does not know; the watcher leaves it so"
        ),
        Seen::Unknown(None) => tracing::warn!(
            webhook = id,
            "Google does not say whether the webhook is enabled; the watcher leaves it so"
        ),
        // They are told at each look.
        Seen::SwitchedOff | Seen::Gone => {}
    }
}

pub(super) fn switched_off(id: &str, look: Look) {
    tracing::error!(
        webhook = id,
        "Google has switched the webhook off, because deliveries failed: it brings no events. The first look that \
         showed this was {} s ago. Make your endpoint answer 2xx within a few seconds, then enable the webhook: by \
         `gemini-webhooks update {id} --state enabled`, or let the watcher do so, by `enable_again_if`",
        look.lasts.as_secs()
    );
}

pub(super) fn gone(id: &str, look: Look, error: &ClientError) {
    tracing::error!(
        webhook = id,
        "the project has no such webhook, so it brings no events. The first look that showed this was {} s ago. \
         Register it again, or give the watcher the id of the one that you have: {error}",
        look.lasts.as_secs()
    );
}

pub(super) fn enabled_again(id: &str) {
    #[cfg(feature = "metrics")]
    metrics::counter!(names::ENABLED_AGAIN).increment(1);
    tracing::warn!(
        webhook = id,
        "the webhook, which Google had switched off, is enabled again"
    );
}

/// Labels for the types of events: a bounded number, whatever Google says.
#[cfg(feature = "metrics")]
mod types {
    use gemini_webhooks::event::{
        BatchCancelled, BatchExpired, BatchFailed, BatchSucceeded, InteractionCancelled,
        InteractionCompleted, InteractionFailed, InteractionRequiresAction, Payload as _,
        VideoGenerated,
    };

    use super::GeminiEvent;

    const KNOWN: [&str; 13] = [
        BatchCancelled::TYPE_NAME,
        BatchExpired::TYPE_NAME,
        BatchFailed::TYPE_NAME,
        BatchSucceeded::TYPE_NAME,
        InteractionCancelled::TYPE_NAME,
        InteractionCompleted::TYPE_NAME,
        InteractionFailed::TYPE_NAME,
        InteractionRequiresAction::TYPE_NAME,
        VideoGenerated::TYPE_NAME,
        // Of `Outcome`'s own.
        "gemini-webhooks.batch.ended",
        "gemini-webhooks.interaction.budget_exceeded",
        "gemini-webhooks.interaction.incomplete",
        "gemini-webhooks.video.failed",
    ];

    pub(super) fn label(event: &GeminiEvent) -> &'static str {
        let mut known = KNOWN.into_iter();
        known.find(|name| event.is(name)).unwrap_or("other")
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_type_has_a_label() {
            for (type_name, expected) in [
                ("batch.succeeded", "batch.succeeded"),
                ("batch.completed", "batch.succeeded"),
                (
                    "gemini-webhooks.video.failed",
                    "gemini-webhooks.video.failed",
                ),
                ("gemini-webhooks.video.lost", "other"),
                ("music.generated", "other"),
                ("", "other"),
            ] {
                let event = GeminiEvent::parse(format!(r#"{{"type":"{type_name}"}}"#));
                assert_eq!(label(&event), expected, "{type_name}");
            }
            assert_eq!(label(&GeminiEvent::parse("[]")), "other");
        }
    }
}
