//! The watcher: it asks Google after jobs whose event has not come in time.

use std::fmt;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gemini_webhooks::client::WebhookService;
use gemini_webhooks::replay::ClaimToken;
use gemini_webhooks::{Clock as _, SystemClock};
use tokio::time::sleep;

use super::{Expectation, Inbox, telling};
use crate::error::{InboxError, InboxErrorKind};
use crate::opening::milliseconds;
use crate::store::{Database, Value};

mod ask;
mod health;
mod pass;
pub(super) mod quota;
mod unnamed;
mod webhooks;

pub(super) use health::{Look, Seen};
use quota::Quota;
use webhooks::Webhooks;

/// What a watcher is set to.
#[derive(Clone, Debug)]
struct Settings {
    interval: Duration,
    concurrency: u32,
    per_minute: u32,
    first_pause: Duration,
    longest_pause: Duration,
    give_up_after: Duration,
    lease: Duration,
    webhook_interval: Duration,
}

/// Asks Google after jobs that were [expected](Inbox::expect), whose time is over, and of which no event has come.
///
/// It also [looks](Self::webhook) whether Google still delivers to your registered webhooks.
///
/// It may run in every replica: one at a time does the work. What it finds is stored as an event, which a worker handles
/// as any other, and is marked ([`Work::found`](crate::Work::found)). A found event is also a warning in the log: a
/// webhook has failed that should have brought it.
///
/// | Google says | what becomes of the job |
/// |---|---|
/// | it has ended | its event is stored: the one that a webhook should have brought, or one of a [type of our own](gemini_webhooks::client::Outcome) |
/// | it waits for the app (`requires_action`) | its event is stored, and the job is not asked about again |
/// | it still runs | it is asked about again, after a minute, two, four and so on up to an hour |
/// | there is no such job in this project | asked again after a minute; then a dead letter says so |
/// | nothing, or an error | it is asked about again |
///
/// ```no_run
/// # #[cfg(feature = "sqlite")]
/// # async fn f(
/// #     inbox: gemini_webhooks_inbox::Inbox<gemini_webhooks_inbox::sqlx::Sqlite>,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// use gemini_webhooks::client::WebhookService;
///
/// let watcher = inbox.watch(WebhookService::from_env()?);
/// watcher.run_until(std::future::pending()).await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "it does nothing until it is run"]
pub struct Watcher<DB: Database> {
    inbox: Inbox<DB>,
    service: WebhookService,
    settings: Settings,
    /// By which the database knows this watcher.
    holder: [u8; 16],
    quota: Mutex<Quota>,
    webhooks: Webhooks,
}

/// What a watcher has done in one pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pass {
    /// Another watcher does the work, and this one did nothing.
    pub is_elsewhere: bool,
    /// Requests that were made.
    pub asked: u64,
    /// Events that were stored.
    pub found: u64,
    /// Jobs that still run.
    pub running: u64,
    /// Jobs that were announced, and whose name was found in a list.
    pub named: u64,
    /// Jobs that became dead letters.
    pub given_up: u64,
    /// Questions that got no answer. They are asked again.
    pub failed: u64,
    /// Webhooks that were looked at, and that Google had switched off because deliveries failed.
    pub switched_off: u64,
    /// Webhooks that Google had switched off and that are enabled again.
    pub enabled_again: u64,
}

impl<DB: Database> Inbox<DB> {
    /// Returns a watcher that asks Google after jobs whose event has not come in time.
    ///
    /// The service's API key must be of the project that starts the jobs.
    pub fn watch(&self, service: WebhookService) -> Watcher<DB> {
        let per_minute = 60;
        Watcher {
            inbox: self.clone(),
            // It counts requests, and knows when to ask again.
            service: service.without_retries(),
            settings: Settings {
                interval: Duration::from_secs(10),
                concurrency: 4,
                per_minute,
                first_pause: Duration::from_secs(60),
                longest_pause: Duration::from_secs(60 * 60),
                give_up_after: Duration::from_secs(7 * 24 * 60 * 60),
                lease: Duration::from_secs(60),
                webhook_interval: Duration::from_secs(5 * 60),
            },
            holder: ClaimToken::generate().to_bytes(),
            quota: Mutex::new(Quota::new(per_minute)),
            webhooks: Webhooks::default(),
        }
    }
}

impl<DB: Database> Watcher<DB> {
    /// Looks so often for jobs whose time is over. 10 seconds if it is not set.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.settings.interval = interval;
        self
    }

    /// Asks after so many jobs at the same time. 4 if it is not set.
    pub fn concurrency(mut self, jobs: u32) -> Self {
        self.settings.concurrency = jobs;
        self
    }

    /// Makes so many requests in any minute at most. 60 if it is not set.
    ///
    /// They count against the quota of your project. After a 429 it asks nothing for as long as `Retry-After` says, at
    /// most 10 minutes, and after an error for 10 seconds.
    pub fn per_minute(mut self, requests: u32) -> Self {
        self.settings.per_minute = requests;
        self.quota = Mutex::new(Quota::new(requests));
        self
    }

    /// Sets the pause before a job that still runs is asked about again, and the longest pause. Each is twice as long as
    /// the one before, give or take a quarter. A minute and an hour if it is not set.
    pub fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        self.settings.first_pause = first;
        self.settings.longest_pause = longest;
        self
    }

    /// Makes a dead letter of a job that still runs so long after its time, or cannot be asked about. 7 days if it is not
    /// set.
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.settings.give_up_after = time;
        self
    }

    /// Sets after which time another replica takes the work over from a watcher that gives no sign of life. A minute if
    /// it is not set.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    fn check(&self) -> Result<(), InboxError> {
        let settings = &self.settings;
        let wrong = if settings.interval.is_zero() {
            "the watcher's interval is 0, so that the database would be asked without a pause"
        } else if settings.concurrency == 0 || settings.per_minute == 0 {
            "concurrency or per_minute is 0, so that Google would never be asked"
        } else if settings.concurrency > 1_000 {
            "the watcher's concurrency is above 1,000, more than Google takes"
        } else if settings.first_pause.is_zero() {
            "the watcher's first pause is 0, so that Google would be asked without a pause"
        } else if settings.first_pause > settings.longest_pause {
            "the watcher's first pause is longer than the longest"
        } else if settings.lease <= settings.interval {
            "the watcher's lease is not longer than its interval, so that it would lose the work each time it waits"
        } else if let Err(wrong) = self.webhooks.check() {
            wrong
        } else {
            return Ok(());
        };
        Err(InboxError::new(InboxErrorKind::Invalid, wrong))
    }

    /// Asks after jobs until `shutdown` is done.
    ///
    /// If the database or Google cannot be reached, it goes on trying. What it is about to do when it ends, another
    /// watcher does, or this one after its restart.
    ///
    /// # Errors
    ///
    /// A setting is wrong.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), InboxError> {
        self.check()?;
        telling::describe();
        let link = &self.inbox.shared.link;
        let namespace = &*self.inbox.shared.settings.namespace;
        tracing::info!(namespace, "the watcher runs, on {link:?}");
        tokio::select! {
            biased;
            () = shutdown => {}
            () = self.passes() => {}
        }
        telling::handed_over(self.webhooks.ids());
        // Another need not wait for the end of the lease.
        if let Err(error) = self.leave().await {
            tracing::warn!("the watcher ends, and another waits for the end of its lease: {error}");
        }
        Ok(())
    }

    async fn passes(&self) {
        let mut failed = false;
        loop {
            match self.one_pass().await {
                Ok(pass) => {
                    if pass.asked > 0 {
                        tracing::debug!(?pass, "the watcher has asked after jobs");
                    }
                    failed = false;
                }
                Err(error) => {
                    if !failed {
                        tracing::warn!(
                            "the watcher cannot do its work, and goes on trying: {error}"
                        );
                    }
                    failed = true;
                }
            }
            sleep(self.settings.interval).await;
        }
    }

    /// Asks once after all jobs that are due, and returns what came of it.
    ///
    /// Use it in the place of [`run_until`](Self::run_until) if something else starts it now and then, such as cron. It
    /// ends without asking further if the [quota](Self::per_minute) is used up.
    ///
    /// # Errors
    ///
    /// A setting is wrong, the database cannot be used, or the inbox is full.
    pub async fn pass(&self) -> Result<Pass, InboxError> {
        self.check()?;
        telling::describe();
        let pass = self.one_pass().await;
        let left = self.leave().await;
        pass.and_then(|pass| left.map(|()| pass))
    }

    /// Takes or keeps the work, unless another watcher has it.
    async fn lead(&self) -> Result<bool, InboxError> {
        let mut values = self.lease_values();
        values.push(milliseconds(self.settings.lease).into());
        let shared = &self.inbox.shared;
        let led = shared
            .write(DB::STATEMENTS.jobs.watching.lead, values)
            .await?;
        Ok(!led.is_empty())
    }

    async fn leave(&self) -> Result<(), InboxError> {
        let shared = &self.inbox.shared;
        let leave = DB::STATEMENTS.jobs.watching.leave;
        shared.write(leave, self.lease_values()).await?;
        Ok(())
    }

    fn lease_values(&self) -> Vec<Value> {
        let namespace = self.inbox.shared.namespace();
        vec![namespace, "watch".into(), self.holder.to_vec().into()]
    }

    /// Waits until the quota has a request, and takes it. Returns whether the work is still this watcher's.
    async fn wait_for_quota(&self) -> Result<bool, InboxError> {
        loop {
            let taken = self.quota().take(now());
            let Err(wait) = taken else {
                return Ok(true);
            };
            sleep(wait.min(self.settings.interval)).await;
            if !self.lead().await? {
                return Ok(false);
            }
        }
    }

    fn quota(&self) -> MutexGuard<'_, Quota> {
        self.quota.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn now() -> Instant {
    SystemClock.monotonic()
}

impl<DB: Database> fmt::Debug for Watcher<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher")
            .field("inbox", &self.inbox)
            .field("service", &self.service)
            .field("settings", &self.settings)
            .field("webhooks", &self.webhooks)
            .finish_non_exhaustive()
    }
}
