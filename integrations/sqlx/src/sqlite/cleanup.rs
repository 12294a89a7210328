//! Deleting what has expired.

use std::time::Duration;

use gemini_webhooks::replay::GuardError;
use tokio::time::sleep;

use super::SqliteGuard;
use super::statements::CLEAN_UP;

/// So many rows are deleted in a statement: claims wait for it.
const BATCH: u32 = 200;
/// After each full batch. Other processes try again only now and then while the database is locked.
const PAUSE: Duration = Duration::from_millis(10);
const SHORTEST_PERIOD: Duration = Duration::from_secs(1);

impl SqliteGuard {
    /// Deletes expired rows, and returns how many.
    ///
    /// Expired rows do no harm but take space: claims treat them as absent. Run this now and then, such as
    /// each hour, in one of the processes or in all. It deletes 200 rows at a time, each time in a
    /// transaction of its own, so that claims wait for a moment only. The file does not get smaller: new
    /// rows use the space.
    ///
    /// It can be dropped at any time.
    ///
    /// # Errors
    ///
    /// The database cannot be written. What was deleted until then stays deleted.
    pub async fn cleanup(&self) -> Result<u64, GuardError> {
        let mut deleted = 0;
        loop {
            let batch = self.delete_some().await?;
            deleted += batch;
            if batch < u64::from(BATCH) {
                return Ok(deleted);
            }
            sleep(PAUSE).await;
        }
    }

    async fn delete_some(&self) -> Result<u64, GuardError> {
        let _turn = self.turn().await;
        let mut connection = self.connection(&self.pool).await?;
        let query = sqlx::query(CLEAN_UP).bind(BATCH);
        match query.execute(&mut *connection).await {
            Ok(done) => Ok(done.rows_affected()),
            Err(error) => Err(self.explain(&mut connection, error).await),
        }
    }

    /// Returns a future that calls [`cleanup`](Self::cleanup) at once, and again after each `period`.
    ///
    /// It never ends: spawn it, and abort its task to stop it. If a clean-up fails, it logs a warning
    /// through `tracing`, and tries again after the next `period`, which is at least a second.
    ///
    /// ```no_run
    /// # async fn example(guard: gemini_webhooks_sqlx::SqliteGuard) {
    /// use std::time::Duration;
    ///
    /// let hour = Duration::from_secs(60 * 60);
    /// let cleanup = tokio::spawn(guard.cleanup_every(hour));
    /// // When the app stops:
    /// cleanup.abort();
    /// # }
    /// ```
    pub fn cleanup_every(&self, period: Duration) -> impl Future<Output = ()> + Send + use<> {
        let guard = self.clone();
        let period = period.max(SHORTEST_PERIOD);
        async move {
            loop {
                match guard.cleanup().await {
                    Ok(deleted) => tracing::debug!(deleted, "deleted expired rows of the guard"),
                    Err(error) => tracing::warn!(
                        "cannot delete expired rows of the guard, which take space; the next try is in {period:?}: \
                         {error}"
                    ),
                }
                sleep(period).await;
            }
        }
    }
}
