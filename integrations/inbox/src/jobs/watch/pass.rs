//! One pass: what is due, a few jobs at a time, as long as the quota lasts.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use gemini_webhooks::client::{ClientError, Outcome};
use gemini_webhooks::event::JobId;
use tokio::task::JoinSet;

use super::{Expectation, Pass, Watcher, ask::ask, now};
use crate::entry::time;
use crate::error::InboxError;
use crate::jobs::telling;
use crate::opening::milliseconds;
use crate::store::Database;
use crate::worker::backoff::{pause, random};
use crate::worker::upkeep::mark_answered;

/// A job that is due.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) expectation: Expectation,
    pub(super) number: i64,
    /// How often it was asked about before.
    pub(super) asked: u32,
    /// How often in a row Google has said that there is none.
    pub(super) denied: u32,
    /// By the database's clock, as all of its times.
    now: SystemTime,
}

impl Due {
    /// In the order of `due!`.
    fn read<DB: Database>(row: &DB::Row) -> Result<Self, sqlx::Error> {
        let number = |column| DB::int(row, column).map(Option::unwrap_or_default);
        Ok(Self {
            expectation: Expectation::read::<DB>(row)?,
            number: number(7)?,
            asked: number(8)?.try_into().unwrap_or(u32::MAX),
            denied: number(9)?.try_into().unwrap_or(u32::MAX),
            now: time(number(10)?),
        })
    }

    /// For how long its time has been over.
    pub(super) fn overdue(&self) -> Duration {
        let over = self.now.duration_since(self.expectation.answer_by());
        over.unwrap_or_default()
    }

    /// How long until its time is over.
    pub(super) fn left(&self) -> Duration {
        let left = self.expectation.answer_by().duration_since(self.now);
        left.unwrap_or_default()
    }
}

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
            if jobs.is_empty() || !self.ask_after(jobs, pass).await? || !self.lead().await? {
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
        let due: Result<_, _> = rows.iter().map(Due::read::<DB>).collect();
        due.map_err(|error| shared.unavailable(error))
    }

    /// Returns whether the quota allows more.
    async fn ask_after(&self, jobs: Vec<Due>, pass: &mut Pass) -> Result<bool, InboxError> {
        let mut asking: JoinSet<(Due, JobId, Result<Outcome, ClientError>)> = JoinSet::new();
        let mut is_allowed = true;
        for due in jobs {
            let Some(job) = due.expectation.job().cloned() else {
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
    pub(super) async fn ask_again(&self, due: &Due) -> Result<(), InboxError> {
        let settings = &self.settings;
        let pause = pause(
            due.asked.saturating_add(1),
            settings.first_pause,
            settings.longest_pause,
            random(),
        );
        self.postpone(due, pause, 0).await
    }

    pub(super) async fn postpone(
        &self,
        due: &Due,
        pause: Duration,
        denied: u32,
    ) -> Result<(), InboxError> {
        let values = vec![
            due.number.into(),
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
