//! The end of a run: it is written down before anything else.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use apalis_core::error::BoxDynError;
use apalis_core::task::ExecutionContext;
use tokio::time::sleep;
use tower::timeout::error::Elapsed;

use super::backoff::{pause, random};
use super::queue::Queue;
use super::routes::Failure;
use super::work::{Held, Then};
use crate::entry::{State, What};
use crate::metrics;
use crate::store::Database;

/// Writes down how runs end.
pub(crate) struct Acknowledge<DB: Database> {
    queue: Arc<Queue<DB>>,
}

impl<DB: Database> Acknowledge<DB> {
    pub(crate) fn new(queue: &Arc<Queue<DB>>) -> Self {
        Self {
            queue: Arc::clone(queue),
        }
    }
}

impl<DB: Database> Clone for Acknowledge<DB> {
    fn clone(&self) -> Self {
        Self::new(&self.queue)
    }
}

impl<DB: Database> apalis_core::worker::ext::ack::Acknowledge<()> for Acknowledge<DB> {
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<(), Infallible>> + Send>>;

    fn ack(&mut self, ended: &Result<(), BoxDynError>, context: &ExecutionContext) -> Self::Future {
        let queue = Arc::clone(&self.queue);
        let held = context.data().get::<Held>().cloned();
        let timeout = queue.settings.timeout;
        let failed = ended.as_ref().err().map(|error| failure(error, timeout));
        Box::pin(async move {
            if let Some(held) = held {
                end(&queue, &held, failed).await;
                queue.ended(&held);
            }
            Ok(())
        })
    }
}

/// How a run has failed: as its handler says, or by a time-out or a panic of a layer.
fn failure(error: &BoxDynError, timeout: Duration) -> Failure {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.clone();
    }
    let why = if error.is::<Elapsed>() {
        format!("the run took longer than {timeout:?}")
    } else {
        error.to_string()
    };
    Failure {
        why,
        then: Then::Again,
    }
}

async fn end<DB: Database>(queue: &Queue<DB>, held: &Held, failed: Option<Failure>) {
    let (webhook_id, attempt) = (&*held.webhook_id, held.attempts);
    let settings = &queue.settings;
    held.begun.ended();
    if held.committed.is_done() {
        match failed {
            Some(failed) => tracing::warn!(
                webhook_id,
                attempt,
                "the handler failed after the commit that ended its work, which stands: {}",
                failed.why
            ),
            None => tracing::debug!(webhook_id, attempt, "the event is worked off"),
        }
        metrics::ran("done");
        return;
    }
    let (state, after, what, why) = match failed {
        None => (State::Done, Duration::ZERO, What::Done, String::new()),
        Some(Failure {
            why,
            then: Then::Dead,
        }) => (State::Dead, Duration::ZERO, What::Dead, why),
        Some(Failure { why, .. }) if attempt >= settings.max_attempts => {
            (State::Dead, Duration::ZERO, What::Dead, why)
        }
        Some(Failure { why, then }) => {
            let after = match then {
                Then::AgainAfter(after) => after,
                _ => pause(
                    attempt,
                    settings.first_pause,
                    settings.longest_pause,
                    random(),
                ),
            };
            (State::Waiting, after, What::Failed, why)
        }
    };
    match what {
        What::Dead => {
            tracing::error!(webhook_id, attempt, "the event is a dead letter: {why}");
        }
        What::Failed => {
            tracing::warn!(
                webhook_id,
                attempt,
                "the run failed, and is tried again in {after:.1?}: {why}"
            );
        }
        _ => tracing::debug!(webhook_id, attempt, "the event is worked off"),
    }
    let is_held = write_down(queue, held, state, after, what, &why).await;
    metrics::ran(match what {
        _ if !is_held => "lost",
        What::Dead => "dead",
        What::Failed => "failed",
        _ => "done",
    });
}

/// Goes on trying: without its end the event would be run again. The worker's end, or the end of its hold
/// on the event, ends this: then it returns false.
async fn write_down<DB: Database>(
    queue: &Queue<DB>,
    held: &Held,
    state: State,
    after: Duration,
    what: What,
    why: &str,
) -> bool {
    const LONGEST: Duration = Duration::from_secs(5);
    let (webhook_id, attempt) = (&*held.webhook_id, held.attempts);
    let mut failures = 0_u32;
    loop {
        let values = held.end(state, after, what, why);
        match queue.shared.write(DB::STATEMENTS.end, values).await {
            Ok(rows) if !rows.is_empty() || failures > 0 => return true,
            Ok(_) => {
                tracing::warn!(
                    webhook_id,
                    attempt,
                    "the run ended after its hold on the event, which another worker may run by now"
                );
                return false;
            }
            Err(error) => {
                if failures == 0 {
                    tracing::error!(
                        webhook_id,
                        attempt,
                        "cannot write down how the run ended, and goes on trying: {error}"
                    );
                }
                failures = failures.saturating_add(1);
                sleep(Duration::from_millis(50 << failures.min(7)).min(LONGEST)).await;
            }
        }
    }
}
