//! One pass: what is due, a few jobs at a time, as long as the quota lasts.

use std::collections::HashSet;
use std::time::Duration;

use gemini_webhooks::client::ClientError;
use gemini_webhooks::event::JobId;
use tokio::task::JoinSet;

use super::ask::{Heard, ask};
use super::{Due, Pass, Watcher, now};
use crate::error::InboxError;
use crate::jobs::telling;
use crate::opening::milliseconds;
use crate::store::{Database, Value};
use crate::worker::backoff::{pause, random};
use crate::worker::upkeep::mark_answered;

impl<DB: Database> Watcher<DB> {
    pub(super) async fn one_pass(&self) -> Result<Pass, InboxError> {
        let mut pass = Pass::default();
        if !self.lead().await? {
            pass.is_elsewhere = true;
            self.webhooks.forget();
            telling::handed_over(self.webhooks.ids());
            return Ok(pass);
        }
        mark_answered(&self.inbox.shared).await?;
        // One request now and then, which many jobs must not put off.
        if !self.look_at_webhooks(&mut pass).await? {
            return Ok(pass);
        }
        // What could not be asked about is still due: once in a pass is enough.
        let mut seen = HashSet::new();
        self.ask_after_all(&mut seen, &mut pass).await?;
        // It may take many requests, and so comes last.
        if self.look_for_unnamed(&mut pass).await? {
            self.ask_after_all(&mut seen, &mut pass).await?;
        }
        telling::awaited(&self.inbox).await?;
        Ok(pass)
    }

    async fn ask_after_all(
        &self,
        seen: &mut HashSet<i64>,
        pass: &mut Pass,
    ) -> Result<(), InboxError> {
        let due = DB::STATEMENTS.jobs.watching.due;
        loop {
            let mut jobs = self.due(due, self.settings.concurrency).await?;
            jobs.retain(|job| seen.insert(job.number));
            if jobs.is_empty() {
                return Ok(());
            }
            // Else what is found could not be stored, and would be asked about time and again.
            self.inbox.shared.has_room().await?;
            if !self.ask_after(jobs, pass).await? || !self.lead().await? {
                return Ok(());
            }
        }
    }

    pub(super) async fn due(
        &self,
        statement: &'static str,
        limit: u32,
    ) -> Result<Vec<Due>, InboxError> {
        let shared = &self.inbox.shared;
        let values = vec![shared.namespace(), i64::from(limit).into()];
        let rows = shared.read(statement, values).await?;
        let mut jobs = Vec::with_capacity(rows.len());
        for row in &rows {
            match Due::read::<DB>(row) {
                Ok(due) => jobs.push(due),
                Err(error) => self.put_off(row, error).await?,
            }
        }
        Ok(jobs)
    }

    /// What cannot be read must not hold up the rest. A later version of this crate may be able to read it.
    async fn put_off(&self, row: &DB::Row, error: sqlx::Error) -> Result<(), InboxError> {
        let shared = &self.inbox.shared;
        let [number, round] = Due::place::<DB>(row).map_err(|error| shared.unavailable(error))?;
        tracing::error!(
            number,
            "cannot read what was written down about a job: {error}"
        );
        let pause = milliseconds(self.settings.longest_pause);
        let values = [number, round, pause, 0, 0].map(Value::from).to_vec();
        let postpone = DB::STATEMENTS.jobs.watching.postpone;
        shared.write(postpone, values).await?;
        Ok(())
    }

    /// Returns whether the quota allows more.
    async fn ask_after(&self, jobs: Vec<Due>, pass: &mut Pass) -> Result<bool, InboxError> {
        let mut asking: JoinSet<(Due, JobId, Result<Heard, ClientError>)> = JoinSet::new();
        let mut is_allowed = true;
        for due in jobs {
            let Some(job) = due.expectation.job().cloned() else {
                let why = "its name is none that a job has, so it cannot be asked about";
                self.give_up(&due, why, pass).await?;
                continue;
            };
            is_allowed = self.quota().take(now()).is_ok();
            if !is_allowed {
                break;
            }
            pass.asked += 1;
            let service = self.service.clone();
            asking.spawn(async move {
                let metadata = due.expectation.user_metadata();
                let answer = ask(&service, &job, &metadata).await;
                (due, job, answer)
            });
        }
        while let Some(answered) = asking.join_next().await {
            match answered {
                Ok((due, job, answer)) => self.learn(&due, &job, answer, pass).await?,
                Err(error) => {
                    pass.failed += 1;
                    tracing::error!("the watcher has failed to ask after a job: {error}");
                }
            }
        }
        Ok(is_allowed)
    }

    /// Asks again after a pause, which grows with the times that it was asked about.
    pub(super) async fn ask_again(&self, due: &Due, denied: u32) -> Result<(), InboxError> {
        let settings = &self.settings;
        let pause = pause(
            due.asked.saturating_add(1),
            settings.first_pause,
            settings.longest_pause,
            random(),
        );
        self.postpone(due, pause, denied).await
    }

    pub(super) async fn postpone(
        &self,
        due: &Due,
        pause: Duration,
        denied: u32,
    ) -> Result<(), InboxError> {
        let values = vec![
            due.number.into(),
            due.round.into(),
            milliseconds(pause).into(),
            i64::from(due.asked.saturating_add(1)).into(),
            i64::from(denied).into(),
        ];
        let shared = &self.inbox.shared;
        let postpone = DB::STATEMENTS.jobs.watching.postpone;
        shared.write(postpone, values).await?;
        Ok(())
    }
}
