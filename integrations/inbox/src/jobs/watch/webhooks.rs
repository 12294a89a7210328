//! Looking at registered webhooks: whether Google still delivers, and enabling what Google has switched off.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gemini_webhooks::client::{ClientError, ClientErrorKind, Webhook, WebhookState, WebhookUpdate};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::health::{Health, Look, Seen};
use super::{Pass, Watcher, now};
use crate::error::InboxError;
use crate::jobs::telling;
use crate::store::Database;

/// The app's code has so long.
const PATIENCE: Duration = Duration::from_secs(10);

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Told = Arc<dyn Fn(Webhook) -> Boxed<()> + Send + Sync>;
/// Its error is text already, because the code that makes the text is the app's, too.
type Check = Arc<dyn Fn(Webhook) -> Boxed<Result<bool, String>> + Send + Sync>;

/// The webhooks that a watcher looks at, and what the app wants then.
#[derive(Default)]
pub(super) struct Webhooks {
    watched: Vec<Watched>,
    on_switched_off: Option<Told>,
    enable_again_if: Option<Check>,
}

struct Watched {
    id: String,
    health: Mutex<Health>,
}

impl Watched {
    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, seen: &Seen) -> Look {
        let look = self.health().look(seen, now());
        telling::webhook(&self.id, seen, look);
        look
    }
}

impl Webhooks {
    /// What is wrong with them.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let has_use = self.on_switched_off.is_some() || self.enable_again_if.is_some();
        if self.watched.iter().any(|webhook| webhook.id.is_empty()) {
            return Err("the id of a webhook that the watcher is to look at is empty");
        }
        if self.watched.is_empty() && has_use {
            return Err(
                "on_switched_off or enable_again_if is set, but the watcher looks at no webhook: name it by `webhook`",
            );
        }
        Ok(())
    }

    /// Another watcher does the work: what this one has seen is old when it does it again.
    pub(super) fn forget(&self) {
        for webhook in &self.watched {
            *webhook.health() = Health::default();
        }
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.watched.iter().map(|webhook| &*webhook.id)
    }
}

impl<DB: Database> Watcher<DB> {
    /// Looks at this registered webhook, too, every [5 minutes](Self::webhook_interval): whether it is enabled. Call it
    /// again for each further webhook.
    ///
    /// Google switches a webhook off after deliveries have failed again and again (`disabled_due_to_failed_deliveries`;
    /// after how many is not known), and then sends nothing more. Each look that shows this is an error in the log.
    ///
    /// | The webhook | what is done |
    /// |---|---|
    /// | is enabled | nothing |
    /// | was switched off by Google | an error at each look; [`on_switched_off`](Self::on_switched_off), [`enable_again_if`](Self::enable_again_if) |
    /// | was disabled by a person | one warning. It is never enabled |
    /// | is in a state that this version does not know | one warning. Nothing is changed |
    /// | is not there any more | an error at each look |
    /// | cannot be read | a warning, and the next look |
    ///
    /// Each look is a request, which counts against the [quota](Self::per_minute). What was seen is kept in memory: after
    /// a restart, or when another replica takes the work over, the first look tells what it shows as if it were new.
    ///
    /// ```no_run
    /// # #[cfg(feature = "sqlite")]
    /// # async fn f(
    /// #     inbox: gemini_webhooks_inbox::Inbox<gemini_webhooks_inbox::sqlx::Sqlite>,
    /// #     service: gemini_webhooks::client::WebhookService,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// use gemini_webhooks::client::Webhook;
    ///
    /// async fn is_up(webhook: &Webhook) -> Result<bool, std::io::Error> {
    ///     // Ask your endpoint from the outside, as Google does, such as by its health check.
    /// #   let _ = webhook;
    /// #   Ok(true)
    /// }
    ///
    /// let watcher = inbox
    ///     .watch(service)
    ///     .webhook("my-webhook-id")
    ///     .on_switched_off(async |webhook: Webhook| println!("wake somebody up: {}", webhook.id()))
    ///     .enable_again_if(|webhook: Webhook| async move { Ok(is_up(&webhook).await?) });
    /// watcher.run_until(std::future::pending()).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn webhook(mut self, id: impl Into<String>) -> Self {
        let id = id.into();
        if self.webhooks.ids().all(|known| known != id) {
            let health = Mutex::default();
            self.webhooks.watched.push(Watched { id, health });
        }
        self
    }

    /// Looks so often at each [webhook](Self::webhook). 5 minutes if it is not set, and in each pass if it is 0.
    pub fn webhook_interval(mut self, interval: Duration) -> Self {
        self.settings.webhook_interval = interval;
        self
    }

    /// Calls this when a look shows that Google has switched a [webhook](Self::webhook) off: once each time that it
    /// happens, and not at each look.
    ///
    /// It runs in a task of its own and has 10 seconds, after which it is dropped. If it panics or takes longer, a warning
    /// says so, and the watcher goes on. Another call replaces it.
    ///
    /// A process that ends forgets whom it has told. So it is called again after a restart if the webhook is still off,
    /// and in each new process that calls [`pass`](Self::pass).
    pub fn on_switched_off<F, Fut>(mut self, told: F) -> Self
    where
        F: Fn(Webhook) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.webhooks.on_switched_off = Some(Arc::new(move |webhook| Box::pin(told(webhook))));
        self
    }

    /// Enables a [webhook](Self::webhook) again that Google has switched off, if this check says that your endpoint is up.
    ///
    /// The check runs at each look that shows the webhook switched off, in a task of its own. `false` leaves the webhook
    /// as it is until the next look. An error, a panic, or 10 seconds without an answer count as `false`, and are a warning.
    /// After `true` the state is read again, and only `disabled_due_to_failed_deliveries` is set to `enabled`. So what a
    /// person has disabled while the check ran stays so. Google has no call that does both at once: who disables a webhook
    /// between these two requests is not noticed.
    ///
    /// If it is switched off again, the next try waits for 5 minutes, then 10, 20, 40 and 60 from when that was seen. This
    /// is forgotten when it has stayed enabled for an hour, and when the process ends.
    ///
    /// What was not delivered meanwhile is not lost: jobs that are [expected](crate::Inbox::expect) and overdue are asked
    /// about anyway, whether the webhook is enabled or not. Events of jobs that are not expected may be lost, because
    /// whether Google sends them after it has switched a webhook off is not known.
    ///
    /// Another call replaces the check.
    pub fn enable_again_if<F, Fut>(mut self, check: F) -> Self
    where
        F: Fn(Webhook) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<bool, Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        self.webhooks.enable_again_if = Some(Arc::new(move |webhook| {
            let answer = check(webhook);
            Box::pin(async move { answer.await.map_err(|error| error.to_string()) })
        }));
        self
    }

    /// Returns whether the work is still this watcher's.
    pub(super) async fn look_at_webhooks(&self, pass: &mut Pass) -> Result<bool, InboxError> {
        for webhook in &self.webhooks.watched {
            let interval = self.settings.webhook_interval;
            if !webhook.health().is_due(now(), interval) {
                continue;
            }
            if self.quota().take(now()).is_err() {
                break;
            }
            self.look_at(webhook, pass).await?;
            // The app's code may have taken its time.
            if !self.lead().await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn look_at(&self, watched: &Watched, pass: &mut Pass) -> Result<(), InboxError> {
        watched.health().begin(now());
        pass.asked += 1;
        let id = &*watched.id;
        let webhook = match self.service.get(id).await {
            Ok(webhook) => webhook,
            // A gateway's 404 says nothing about the webhook.
            Err(error) if error.means_no_such_job() => {
                let look = watched.look(&Seen::Gone);
                telling::gone(id, look, &error);
                return Ok(());
            }
            Err(error) => {
                pass.failed += 1;
                tracing::warn!(
                    webhook = id,
                    "cannot look at a webhook, and goes on trying: {error}"
                );
                // Jobs find out by themselves whether Google can be reached.
                if error.kind() == ClientErrorKind::RateLimited {
                    self.tell_quota(&error);
                }
                return Ok(());
            }
        };
        let seen = Seen::of(&webhook);
        let look = watched.look(&seen);
        if seen != Seen::SwitchedOff {
            return Ok(());
        }
        pass.switched_off += 1;
        telling::switched_off(id, look);
        if look.is_change
            && let Some(told) = self.webhooks.on_switched_off.clone()
        {
            let webhook = webhook.clone();
            if let Err(why) = apart(async move { told(webhook).await }).await {
                tracing::warn!(webhook = id, "on_switched_off has failed: {why}");
            }
        }
        if look.may_enable && self.is_up(id, webhook).await {
            self.enable_again(watched, pass).await?;
        }
        Ok(())
    }

    /// What the app's check says.
    async fn is_up(&self, id: &str, webhook: Webhook) -> bool {
        let Some(check) = self.webhooks.enable_again_if.clone() else {
            return false;
        };
        let answer = apart(async move { check(webhook).await }).await;
        match answer.and_then(|answer| answer) {
            Ok(true) => true,
            Ok(false) => {
                tracing::info!(
                    webhook = id,
                    "the app's check says that its endpoint is not up, so the webhook stays off"
                );
                false
            }
            Err(why) => {
                tracing::warn!(
                    webhook = id,
                    "the app's check has failed, so the webhook stays off: {why}"
                );
                false
            }
        }
    }

    async fn enable_again(&self, watched: &Watched, pass: &mut Pass) -> Result<(), InboxError> {
        // For both requests now, so that nothing comes between them.
        for _ in 0..2 {
            if !self.wait_for_quota().await? {
                return Ok(());
            }
        }
        if !self.lead().await? {
            return Ok(());
        }
        let id = &*watched.id;
        pass.asked += 1;
        let changed = match self.service.get(id).await {
            Ok(webhook) if watched.look(&Seen::of(&webhook)).may_enable => {
                pass.asked += 1;
                let enable = WebhookUpdate::new().state(WebhookState::Enabled);
                let changed = self.service.update(id, &enable).await;
                let lost = changed.as_ref().err();
                if lost.is_none_or(ClientError::may_have_been_carried_out) {
                    watched.health().attempted(now());
                }
                changed
            }
            // Whoever has disabled it while the check ran is right.
            Ok(_) => return Ok(()),
            Err(error) => Err(error),
        };
        match changed.map(|webhook| Seen::of(&webhook)) {
            Ok(seen) => {
                watched.look(&seen);
                if seen == Seen::Enabled {
                    pass.enabled_again += 1;
                    telling::enabled_again(id);
                } else {
                    tracing::warn!(
                        webhook = id,
                        ?seen,
                        "Google was asked to enable the webhook and has not done so"
                    );
                }
            }
            Err(error) => {
                pass.failed += 1;
                tracing::warn!(
                    webhook = id,
                    "cannot enable the webhook, and tries again at a later look: {error}"
                );
                self.tell_quota(&error);
            }
        }
        Ok(())
    }
}

/// Runs code of the app in a task of its own, for so long.
async fn apart<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, String> {
    let task = AbortOnDropHandle::new(tokio::spawn(work));
    match timeout(PATIENCE, task).await {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(error)) if error.is_panic() => Err("it has panicked".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!(
            "it has not ended after {PATIENCE:?}, and was dropped"
        )),
    }
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_apps_code_is_apart() {
        assert_eq!(apart(std::future::ready(7)).await, Ok(7));
        let panics = apart(async { panic!("the app fails") }).await;
        let panics: Result<(), String> = panics;
        assert_eq!(panics, Err("it has panicked".to_owned()));
        let hangs = apart(std::future::pending::<()>()).await;
        assert_eq!(
            hangs,
            Err("it has not ended after 10s, and was dropped".to_owned())
        );
    }
}
