//! Removing what has expired.

use std::time::Duration;

use gemini_webhooks::replay::GuardError;
use tokio::time::sleep;

use super::SqliteGuard;
use super::statements::CLEAN_UP;

/// So many at a time: claims wait meanwhile.
const BATCH: u32 = 200;

impl SqliteGuard {
    /// Removes the claims that have expired, some hundred at a time, and returns how many it removed.
    ///
    /// # Errors
    ///
    /// The database cannot be written. What was removed until then stays removed.
    pub async fn cleanup(&self) -> Result<u64, GuardError> {
        let mut removed = 0;
        loop {
            let batch = self.clean_up_some().await?;
            removed += batch;
            if batch < u64::from(BATCH) {
                return Ok(removed);
            }
        }
    }

    async fn clean_up_some(&self) -> Result<u64, GuardError> {
        let _turn = self.turn().await;
        let mut connection = self.connection(&self.pool).await?;
        let query = sqlx::query(CLEAN_UP).bind(BATCH);
        match query.execute(&mut *connection).await {
            Ok(done) => Ok(done.rows_affected()),
            Err(error) => Err(self.explain(&mut connection, error).await),
        }
    }

    /// Cleans up now and then, until the future is dropped.
    pub async fn cleanup_every(&self, pause: Duration) {
        loop {
            if let Err(error) = self.cleanup().await {
                tracing::warn!(%error, "expired claims cannot be removed now; the next try is in {pause:?}");
            }
            sleep(pause).await;
        }
    }
}
