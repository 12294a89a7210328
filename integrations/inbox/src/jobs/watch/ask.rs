//! Asking after one job, and what follows from the answer.

use gemini_webhooks::GeminiEvent;
use gemini_webhooks::client::{ClientError, ClientErrorKind, Outcome, WebhookService};
use gemini_webhooks::event::{JobId, JobKind};
use serde_json::{Map, Value as Json};

use super::pass::Due;
use super::{Pass, Watcher, now};
use crate::error::InboxError;
use crate::inbox::Stored;
use crate::jobs::{Progress, telling};
use crate::store::Database;

/// A new job may not be visible at once, and nobody's word ends a job that is asked about once.
const DENIALS: u32 = 2;

pub(super) async fn ask(
    service: &WebhookService,
    job: &JobId,
    metadata: &Map<String, Json>,
) -> Result<Outcome, ClientError> {
    Ok(match job.kind() {
        JobKind::Batch => service.batches().get(job.id()).await?.outcome(metadata),
        JobKind::Interaction => {
            let interaction = service.interactions().get(job.id()).await?;
            interaction.outcome(metadata)
        }
        _ => service.videos().get(job.id()).await?.outcome(metadata),
    })
}

impl<DB: Database> Watcher<DB> {
    pub(super) async fn learn(
        &self,
        due: &Due,
        job: &JobId,
        answer: Result<Outcome, ClientError>,
        pass: &mut Pass,
    ) -> Result<(), InboxError> {
        let shared = &self.inbox.shared;
        let why = format!(
            "found by asking Google, {:.0?} after its time was over",
            due.overdue()
        );
        match answer {
            Ok(Outcome::Ended(event)) => {
                let stored = shared.put_found(job, &event, &why).await?;
                self.found(due, job, &event, stored, pass).await
            }
            Ok(Outcome::RequiresAction(event)) => {
                let expectation = &due.expectation;
                let stored = shared
                    .put_call_to_act(expectation, job, &event, &why)
                    .await?;
                self.found(due, job, &event, stored, pass).await
            }
            Ok(_) => {
                pass.running += 1;
                if due.overdue() <= self.settings.give_up_after {
                    return self.ask_again(due).await;
                }
                let why = format!(
                    "it still runs {:.0?} after its time was over",
                    due.overdue()
                );
                self.give_up(due, &why, pass).await
            }
            Err(error) => self.no_answer(due, job, error, pass).await,
        }
    }

    async fn found(
        &self,
        due: &Due,
        job: &JobId,
        event: &GeminiEvent,
        stored: Stored,
        pass: &mut Pass,
    ) -> Result<(), InboxError> {
        // Else a webhook has come while it was asked about.
        if stored == Stored::New {
            pass.found += 1;
            telling::found(&due.expectation, job, event, due.overdue());
        }
        self.end(due, Progress::Answered).await
    }

    async fn no_answer(
        &self,
        due: &Due,
        job: &JobId,
        error: ClientError,
        pass: &mut Pass,
    ) -> Result<(), InboxError> {
        if error.means_no_such_job() {
            let denied = due.denied.saturating_add(1);
            if denied < DENIALS {
                return self.postpone(due, self.settings.first_pause, denied).await;
            }
            let why = format!("Google says that this project has no such job: {error}");
            return self.give_up(due, &why, pass).await;
        }
        if error.status().is_none() && error.kind() == ClientErrorKind::InvalidArgument {
            return self
                .give_up(due, &format!("it cannot be asked about: {error}"), pass)
                .await;
        }
        pass.failed += 1;
        if due.overdue() > self.settings.give_up_after {
            let why = format!("Google has not said what became of it: {error}");
            return self.give_up(due, &why, pass).await;
        }
        tracing::warn!(%job, "cannot ask after a job, and goes on trying: {error}");
        if self.tell_quota(&error) {
            return Ok(());
        }
        self.ask_again(due).await
    }

    /// Returns whether it was the quota, and not the job.
    pub(super) fn tell_quota(&self, error: &ClientError) -> bool {
        let is_limited = error.kind() == ClientErrorKind::RateLimited;
        let is_outage = matches!(
            error.kind(),
            ClientErrorKind::Server
                | ClientErrorKind::Transport
                | ClientErrorKind::Timeout
                | ClientErrorKind::Auth
        );
        if is_limited || is_outage {
            self.quota().pause(now(), error.retry_after());
        }
        is_limited
    }

    /// Nothing more can be learned.
    pub(super) async fn give_up(
        &self,
        due: &Due,
        why: &str,
        pass: &mut Pass,
    ) -> Result<(), InboxError> {
        let stored = self
            .inbox
            .shared
            .put_dead_letter(&due.expectation, why)
            .await?;
        if stored == Stored::New {
            telling::given_up(&due.expectation, why);
        }
        pass.given_up += 1;
        self.end(due, Progress::GivenUp).await
    }

    async fn end(&self, due: &Due, progress: Progress) -> Result<(), InboxError> {
        let values = vec![due.number.into(), progress.number().into()];
        let shared = &self.inbox.shared;
        shared
            .write(DB::STATEMENTS.jobs.watching.end, values)
            .await?;
        Ok(())
    }
}
