//! What a worker does beside its work: signs of life, and cleaning up.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::queue::Queue;
use crate::entry::State;
use crate::error::InboxError;
#[cfg(feature = "metrics")]
use crate::inbox::Inbox;
use crate::inbox::Shared;
#[cfg(feature = "metrics")]
use crate::metrics;
use crate::opening::milliseconds;
use crate::store::Database;

/// Tells the database that this worker lives, three times in the time of the heartbeat.
pub(crate) async fn beat<DB: Database>(queue: Arc<Queue<DB>>) {
    let heartbeat = queue.settings.heartbeat;
    let mut unknown = HashSet::new();
    let mut failed = false;
    loop {
        // Soon again if it failed: the last sign of life is old already.
        sleep(heartbeat / if failed { 30 } else { 3 }).await;
        let values = vec![queue.holder.to_vec().into(), milliseconds(heartbeat).into()];
        let held = match queue.shared.write(DB::STATEMENTS.beat, values).await {
            Ok(held) => held,
            Err(error) => {
                if !failed {
                    tracing::warn!(
                        "the worker cannot give a sign of life, and goes on trying; another may run its events after \
                         {heartbeat:?}: {error}"
                    );
                }
                failed = true;
                continue;
            }
        };
        failed = false;
        // If the answer was lost when events were taken, nobody here knows of them, and they would be held
        // for ever. The first time they may be on their way.
        let numbers = held.iter().filter_map(|row| DB::int(row, 0).ok().flatten());
        let still = queue.unknown(numbers);
        for number in still.intersection(&unknown) {
            tracing::warn!(
                number,
                "gives an event back that was taken while the database did not answer"
            );
            if let Err(error) = queue.give_back(Some(*number), 1).await {
                tracing::warn!(number, "cannot give it back yet: {error}");
            }
        }
        unknown = still;
    }
}

/// Tells the metrics how much there is to do, now and then: to count is work for the database.
#[cfg(feature = "metrics")]
pub(crate) async fn measure<DB: Database>(inbox: Inbox<DB>) {
    const PERIOD: Duration = Duration::from_secs(15);
    let _unknown_again = UnknownAgain;
    loop {
        let depth = inbox.depth().await;
        if let Err(error) = &depth {
            tracing::warn!("cannot count the events in the inbox for the metrics: {error}");
        }
        metrics::depth(depth.ok().as_ref());
        sleep(PERIOD).await;
    }
}

/// Once nobody counts any more, what was told last would stand for ever.
#[cfg(feature = "metrics")]
struct UnknownAgain;

#[cfg(feature = "metrics")]
impl Drop for UnknownAgain {
    fn drop(&mut self) {
        metrics::depth(None);
    }
}

/// So many are removed in a statement: others wait for it.
const BATCH: i64 = 200;
const PAUSE: Duration = Duration::from_millis(20);
const PERIOD: Duration = Duration::from_secs(60);

/// Removes what need not be kept any longer.
pub(crate) async fn clean_up<DB: Database>(shared: Arc<Shared<DB>>) {
    loop {
        match remove(&shared).await {
            Ok(0) => {}
            Ok(removed) => tracing::debug!(removed, "removed old events from the inbox"),
            Err(error) => {
                tracing::warn!(
                    "cannot remove old events from the inbox, which take space: {error}"
                );
            }
        }
        sleep(PERIOD).await;
    }
}

async fn remove<DB: Database>(shared: &Shared<DB>) -> Result<usize, InboxError> {
    let settings = &shared.settings;
    let mut removed = clean_up_jobs(shared).await?;
    for (state, kept) in [
        (State::Done, settings.keep_done),
        (State::Dead, settings.keep_dead),
    ] {
        removed += in_batches(|| {
            let values = vec![
                shared.namespace(),
                state.number().into(),
                milliseconds(kept).into(),
                BATCH.into(),
            ];
            shared.write(DB::STATEMENTS.clean_up, values)
        })
        .await?;
    }
    Ok(removed)
}

/// Jobs are kept as long as their events, so that a delivery that comes again is still about a job that is known.
async fn clean_up_jobs<DB: Database>(shared: &Shared<DB>) -> Result<usize, InboxError> {
    mark_answered(shared).await?;
    let settings = &shared.settings;
    let [done, dead] = [settings.keep_done, settings.keep_dead].map(milliseconds);
    in_batches(|| {
        let values = vec![shared.namespace(), done.into(), BATCH.into(), dead.into()];
        shared.write(DB::STATEMENTS.jobs.clean_up, values)
    })
    .await
}

/// Notes which jobs have their answer in the inbox, of those whose time is over. It goes on where it was, because those
/// without an answer stay.
pub(crate) async fn mark_answered<DB: Database>(shared: &Shared<DB>) -> Result<(), InboxError> {
    let mut from = i64::MIN;
    loop {
        let values = vec![shared.namespace(), BATCH.into(), from.into()];
        let marked = shared
            .write(DB::STATEMENTS.jobs.mark_answered, values)
            .await?;
        if i64::try_from(marked.len()).unwrap_or(BATCH) < BATCH {
            return Ok(());
        }
        for row in &marked {
            let at = DB::int(row, 0).map_err(|error| shared.unavailable(error))?;
            from = from.max(at.unwrap_or(from));
        }
        sleep(PAUSE).await;
    }
}

/// Repeats a statement that changes a batch of rows until there is less to do. Returns how many were changed.
async fn in_batches<Row, F>(mut statement: impl FnMut() -> F) -> Result<usize, InboxError>
where
    F: Future<Output = Result<Vec<Row>, InboxError>>,
{
    let mut changed = 0;
    loop {
        let batch = statement().await?.len();
        changed += batch;
        if i64::try_from(batch).unwrap_or(BATCH) < BATCH {
            return Ok(changed);
        }
        sleep(PAUSE).await;
    }
}
