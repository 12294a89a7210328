//! Asking after one job, and what follows from the answer.

use gemini_webhooks::GeminiEvent;
use gemini_webhooks::client::{ClientError, ClientErrorKind, Outcome, WebhookService};
use gemini_webhooks::event::{JobId, JobKind};
use serde_json::{Map, Value as Json};

use super::{Due, Pass, Watcher, now};
use crate::error::InboxError;
use crate::inbox::Stored;
use crate::jobs::{Progress, telling};
use crate::store::Database;

/// A new job may not be visible at once, and a wrong API key knows no job. The last two are an hour apart, so that somebody
/// can set it right.
const DENIALS: u32 = 3;

/// So often it is asked about before errors make a dead letter of it, which takes most of a day.
const ATTEMPTS: u32 = 20;

/// What Google has answered about a job.
#[derive(Debug)]
pub(super) enum Heard {
    Outcome(Outcome),
    /// The answer is about this one, which nobody has asked about.
    Another(String),
}

pub(super) async fn ask(
    service: &WebhookService,
    job: &JobId,
    metadata: &Map<String, Json>,
) -> Result<Heard, ClientError> {
    let (answered, outcome) = match job.kind() {
        JobKind::Batch => {
            let batch = service.batches().get(job.id()).await?;
            (batch.job(), batch.outcome(metadata))
        }
        JobKind::Interaction => {
            let interaction = service.interactions().get(job.id()).await?;
            (interaction.job(), interaction.outcome(metadata))
        }
        _ => {
            let video = service.videos().get(job.id()).await?;
            (video.job(), video.outcome(metadata))
        }
    };
    Ok(match answered {
        Some(answered) if answered == *job => Heard::Outcome(outcome),
        answered => Heard::Another(answered.map_or_else(String::new, |job| job.to_string())),
    })
}

impl<DB: Database> Watcher<DB> {
    pub(super) async fn learn(
        &self,
        due: &Due,
        job: &JobId,
        answer: Result<Heard, ClientError>,
        pass: &mut Pass,
    ) -> Result<(), InboxError> {
        let shared = &self.inbox.shared;
        let overdue = due.overdue();
        let why = format!("found by asking Google, {overdue:.0?} after its time was over");
        match answer {
            Ok(Heard::Outcome(Outcome::Ended(event))) => {
                let stored = shared.put_found(job, &event, &why).await?;
                self.found(due, job, &event, stored, pass).await
            }
            Ok(Heard::Outcome(Outcome::RequiresAction(event))) => {
                let stored = shared.put_call_to_act(due, job, &event, &why).await?;
                self.found(due, job, &event, stored, pass).await
            }
            Ok(Heard::Outcome(_)) => {
                pass.running += 1;
                tracing::debug!(%job, "the job still runs, {overdue:.0?} after its time was over");
                if overdue <= self.settings.give_up_after {
                    return self.ask_again(due, 0).await;
                }
                let why = format!("it still runs {overdue:.0?} after its time was over");
                self.give_up(due, &why, pass).await
            }
            Ok(Heard::Another(other)) => {
                let why = format!("Google was asked about it, and answered about {other:?}");
                self.no_answer(due, job, &why, pass).await
            }
            Err(error) => self.refused(due, job, error, pass).await,
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

    async fn refused(
        &self,
        due: &Due,
        job: &JobId,
        error: ClientError,
        pass: &mut Pass,
    ) -> Result<(), InboxError> {
        if error.means_no_such_job() {
            let denied = due.denied.saturating_add(1);
            let why = format!("Google says that this project has no such job: {error}");
            if denied >= DENIALS {
                return self.give_up(due, &why, pass).await;
            }
            let pause = match denied {
                1 => self.settings.first_pause,
                _ => self.settings.longest_pause,
            };
            tracing::warn!(%job, "{why}; it is asked about again in {pause:.0?}");
            return self.postpone(due, pause, denied).await;
        }
        if error.status().is_none() && error.kind() == ClientErrorKind::InvalidArgument {
            let why = format!("it cannot be asked about: {error}");
            return self.give_up(due, &why, pass).await;
        }
        self.tell_quota(&error);
        self.no_answer(due, job, &error.to_string(), pass).await
    }

    /// The job is not at fault, as far as is known.
    async fn no_answer(
        &self,
        due: &Due,
        job: &JobId,
        why: &str,
        pass: &mut Pass,
    ) -> Result<(), InboxError> {
        pass.failed += 1;
        if self.is_in_vain(due) {
            let why = format!("Google has not said what became of it: {why}");
            return self.give_up(due, &why, pass).await;
        }
        tracing::warn!(%job, "cannot ask after a job, and goes on trying: {why}");
        self.ask_again(due, due.denied).await
    }

    /// Whether it was asked about long enough, and often enough: the watcher may not have run all the time.
    pub(super) fn is_in_vain(&self, due: &Due) -> bool {
        due.overdue() > self.settings.give_up_after && due.asked >= ATTEMPTS
    }

    /// Asks nothing for a while, if it is not about one job that Google does not answer.
    pub(super) fn tell_quota(&self, error: &ClientError) {
        let is_for_all = matches!(
            error.kind(),
            ClientErrorKind::RateLimited
                | ClientErrorKind::Server
                | ClientErrorKind::Transport
                | ClientErrorKind::Timeout
                | ClientErrorKind::Auth
        );
        if is_for_all {
            self.quota().pause(now(), error.retry_after());
        }
    }

    /// Nothing more can be learned.
    pub(super) async fn give_up(
        &self,
        due: &Due,
        why: &str,
        pass: &mut Pass,
    ) -> Result<(), InboxError> {
        let stored = self.inbox.shared.put_dead_letter(due, why).await?;
        // Else it is expected anew, or another watcher has done so.
        if stored == Stored::New {
            pass.given_up += 1;
            telling::given_up(&due.expectation, why);
        }
        self.end(due, Progress::GivenUp).await
    }

    async fn end(&self, due: &Due, progress: Progress) -> Result<(), InboxError> {
        let values = vec![
            due.number.into(),
            due.round.into(),
            progress.number().into(),
        ];
        let shared = &self.inbox.shared;
        shared
            .write(DB::STATEMENTS.jobs.watching.end, values)
            .await?;
        Ok(())
    }
}
