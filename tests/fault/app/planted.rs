//! Two mistakes that many receivers make. `fault` has to find the events that they lose.

use std::time::Duration;

use gemini_webhooks::replay::{ClaimKey, ClaimToken, Claimed, GuardFuture, ReplayGuard, Settled};
use gemini_webhooks::{Delivery, GeminiEvent};
use gemini_webhooks_inbox::{Database, Inbox};
use gemini_webhooks_redis::RedisGuard;
use tokio::time::sleep;
use tracing::error;

/// Marks an event as handled before its handler runs. If the handler fails, the retry is taken for a
/// repeat, and the event is lost.
#[derive(Debug)]
pub(crate) struct MarksFirst(RedisGuard);

impl MarksFirst {
    pub(crate) fn new(guard: RedisGuard) -> Self {
        Self(guard)
    }
}

impl ReplayGuard for MarksFirst {
    fn claim(&self, key: &ClaimKey, token: ClaimToken, lease: Duration) -> GuardFuture<Claimed> {
        let claim = self.0.claim(key, token, lease);
        let (guard, key) = (self.0.clone(), key.clone());
        GuardFuture::boxed(async move {
            let claimed = claim.await?;
            if matches!(claimed, Claimed::Claimed) {
                let day = Duration::from_secs(24 * 60 * 60);
                guard.settle(&key, token, day).await?;
            }
            Ok(claimed)
        })
    }

    fn settle(
        &self,
        key: &ClaimKey,
        token: ClaimToken,
        retention: Duration,
    ) -> GuardFuture<Settled> {
        self.0.settle(key, token, retention)
    }

    fn release(&self, key: &ClaimKey, token: ClaimToken) -> GuardFuture<()> {
        self.0.release(key, token)
    }

    fn ready(&self) -> GuardFuture<Vec<String>> {
        self.0.ready()
    }
}

/// Stores an event after it was answered. If the process dies meanwhile, or the database does not take it,
/// the event is lost.
pub(crate) fn store_later<DB: Database>(inbox: Inbox<DB>, delivery: Delivery, event: GeminiEvent) {
    tokio::spawn(async move {
        sleep(Duration::from_millis(100)).await;
        if let Err(error) = inbox.put(&delivery, &event).await {
            error!("an event that was answered is lost: {error}");
        }
    });
}
