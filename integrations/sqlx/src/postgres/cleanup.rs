//! Deleting what has expired.

use std::time::Duration;

use gemini_webhooks::replay::{GuardError, GuardErrorKind, Reach};
use sqlx::postgres::PgRow;
use sqlx::{Row as _, query};
use tokio::time::{sleep, timeout};

use super::PostgresGuard;
use super::ask::ask;
use super::fault::Fault;
use super::statements::CLEANUP;

/// So many rows are looked at in a statement, and so many are deleted at most.
const BATCH: i64 = 500;
/// After each statement that deletes: claims must not wait for the disk behind a row of deletes.
const PAUSE: Duration = Duration::from_millis(10);
/// How long a step may take. It takes some milliseconds.
const STEP: Duration = Duration::from_secs(10);
const SHORTEST_PERIOD: Duration = Duration::from_secs(1);

impl PostgresGuard {
    /// Deletes expired rows, and returns how many.
    ///
    /// Expired rows do no harm but take space: claims treat them as absent. Run this now and then, such as
    /// each hour, in one of the replicas or in all: they do not get in each other's way. It goes through
    /// the whole table, 500 rows at a time, each time in a transaction of its own. It waits for no row that
    /// is locked, and no claim waits for it for longer than such a step.
    ///
    /// It can be dropped at any time.
    ///
    /// # Errors
    ///
    /// The server cannot be reached, does not answer for 10 seconds, or refuses. What was deleted until then stays deleted.
    pub async fn cleanup(&self) -> Result<u64, GuardError> {
        let (mut deleted, reach) = (0, Reach::default());
        let mut from = Some(Place::default());
        while let Some(place) = from {
            let row = ask(&self.pool, &reach, || {
                query(CLEANUP)
                    .bind(place.born)
                    .bind(&*place.key)
                    .bind(BATCH)
            });
            // Nobody else limits the time, and the next attempt may have a better connection.
            let Ok(row) = timeout(STEP, row).await else {
                let what = format!("it has not answered a step of the clean-up in {STEP:?}");
                return Err(Fault::found(&self.pool, GuardErrorKind::Unavailable, what));
            };
            let Some(row) = row? else { break };
            let step = Step::of(&row).map_err(|error| Fault::of(&self.pool, error))?;
            deleted += step.deleted;
            from = step.next;
            if step.deleted > 0 {
                sleep(PAUSE).await;
            }
        }
        Ok(deleted)
    }

    /// Returns a future that calls [`cleanup`](Self::cleanup) at once, and again after each `period`.
    ///
    /// It never ends: spawn it, and abort its task to stop it. If a clean-up fails, it logs a warning
    /// through `tracing`, and tries again after the next `period`, which is at least a second.
    ///
    /// ```no_run
    /// # async fn example(guard: gemini_webhooks_sqlx::PostgresGuard) {
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

/// A place in the order of `born`.
#[derive(Default)]
struct Place {
    /// In microseconds since the Unix epoch.
    born: i64,
    key: Vec<u8>,
}

struct Step {
    deleted: u64,
    /// None at the end of the table.
    next: Option<Place>,
}

impl Step {
    fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        let (deleted, looked_at): (i64, i64) = (row.try_get("deleted")?, row.try_get("looked_at")?);
        let next = if looked_at < BATCH {
            None
        } else {
            Some(Place {
                born: row.try_get("born")?,
                key: row.try_get("key")?,
            })
        };
        Ok(Self {
            deleted: deleted.unsigned_abs(),
            next,
        })
    }
}
