//! What is left to do with the guard once no request waits for it: claims to give up, and handled
//! events to mark. It is bounded, so that an outage of the store does not outlast itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::claims::{Claims, within};
use super::{Delivery, WebhookReceiver};
use crate::contained::contained;
use crate::replay::{Claim, Claimed, GuardError, GuardFuture, Settled};
use crate::trace;

/// So many may be left at a time; the lease ends the claims of the others.
const MAX_LEFT: usize = 1024;
/// So many ask the guard at a time: the connections of a pool are for new deliveries.
const AT_ONCE: usize = 4;
/// An attempt that takes longer is made anew, perhaps on a better connection.
const ATTEMPT: Duration = Duration::from_secs(10);
/// A claim that takes longer gives back its connection, which may be dead, and is released without
/// its answer.
const LANDING: Duration = Duration::from_secs(20);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(16);

/// One thing to do. What has been sent already is waited for first.
pub(crate) enum Leftover {
    /// A claim that nobody wants any more: release it once it is made. None if its answer was an
    /// error, after which it may be made or not.
    Claim(Option<GuardFuture<Claimed>>),
    Release(Option<GuardFuture<()>>),
    Settle(Option<GuardFuture<Settled>>),
}

/// Claims that are given up do not stand in the way of events that were handled.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    claims: Lane,
    settles: Lane,
}

#[derive(Debug)]
struct Lane {
    places: Arc<Semaphore>,
    turns: Semaphore,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MAX_LEFT)),
            turns: Semaphore::new(AT_ONCE),
        }
    }
}

impl Leftovers {
    fn lane(&self, settles: bool) -> &Lane {
        if settles { &self.settles } else { &self.claims }
    }
}

impl Leftovers {
    /// Does it in the background, while the lease lasts. Without a runtime, and where there is no
    /// place, the lease ends the claim.
    pub(crate) fn add(&self, receiver: &WebhookReceiver, delivery: &Delivery, leftover: Leftover) {
        let Ok(runtime) = Handle::try_current() else {
            contained(|| drop(leftover));
            return;
        };
        let settles = matches!(leftover, Leftover::Settle(_));
        let places = Arc::clone(&self.lane(settles).places);
        let Ok(place) = places.try_acquire_owned() else {
            trace::left_to_its_lease(delivery.who());
            contained(|| drop(leftover));
            return;
        };
        let (receiver, delivery) = (receiver.clone(), delivery.clone());
        let at_work = receiver.shared.at_work.clone();
        runtime.spawn(async move {
            if let Some((claims, claim)) = receiver.claims().zip(delivery.claim()) {
                let work = Work {
                    claims,
                    claim,
                    delivery: &delivery,
                    lane: claims.leftovers.lane(settles),
                };
                work.through(leftover).await;
            }
            drop((place, at_work));
        });
    }
}

struct Work<'a> {
    claims: &'a Claims,
    claim: &'a Claim,
    delivery: &'a Delivery,
    lane: &'a Lane,
}

impl Work<'_> {
    async fn through(&self, leftover: Leftover) {
        let (operation, done) = match leftover {
            Leftover::Claim(made) => ("release", self.give_up(made).await),
            Leftover::Release(sent) => {
                let ask = || self.claims.release(self.claim);
                ("release", self.until_done(sent, ask).await.map(drop))
            }
            Leftover::Settle(sent) => {
                let ask = || self.claims.settle(self.claim);
                let settled = self.until_done(sent, ask).await;
                let done = settled.map(|settled| match settled {
                    Settled::Settled => trace::settled_late(self.delivery.who()),
                    Settled::Lost => trace::claim_lost(self.delivery.who()),
                });
                ("settle", done)
            }
        };
        if let Err(error) = done {
            trace::guard_failed(operation, &error, self.delivery.who());
        }
    }

    /// Releases a claim that nobody wants once it is made.
    ///
    /// No time of day is sent along, after which the store is not to make it: the store may stand
    /// still for any time, and the clocks of replicas differ.
    async fn give_up(&self, asked: Option<GuardFuture<Claimed>>) -> Result<(), GuardError> {
        let release = || self.claims.release(self.claim);
        // An error came for it, so it is over soon, one way or the other.
        let mut while_it_may_land = LANDING;
        if let Some(mut asked) = asked {
            let reach = asked.reach();
            let claimed = within(LANDING, &mut asked).await;
            contained(|| drop(asked));
            match claimed {
                Ok(Claimed::Claimed) => return self.until_done(None, release).await,
                Ok(Claimed::InFlight { .. } | Claimed::Settled) => return Ok(()),
                Err(_) if !reach.get() => return Ok(()),
                // Nothing came, and the server may stand still.
                Err(_) => while_it_may_land = self.claim.lease(),
            }
        }
        // It may be made yet, also after it was released: a server may read a request whose
        // connection has ended. So it is released more than once.
        let attempts = async {
            for pause in pauses() {
                let _ = self.attempt(release()).await;
                sleep(pause).await;
            }
        };
        let _ = timeout(while_it_may_land, attempts).await;
        Ok(())
    }

    /// Asks until there is an answer. `sent` is waited for first.
    async fn until_done<T>(
        &self,
        sent: Option<GuardFuture<T>>,
        ask: impl Fn() -> GuardFuture<T>,
    ) -> Result<T, GuardError> {
        let mut failure = None;
        let attempts = async {
            if let Some(mut sent) = sent {
                // It has its connection, and needs no turn.
                let done = within(ATTEMPT, &mut sent).await;
                contained(|| drop(sent));
                match done {
                    Ok(done) => return Some(done),
                    Err(error) => failure = Some(error),
                }
            }
            for pause in pauses() {
                match self.attempt(ask()).await {
                    Ok(done) => return Some(done),
                    Err(error) => failure = Some(error),
                }
                sleep(pause).await;
            }
            None
        };
        let done = timeout(self.claim.lease(), attempts).await.ok().flatten();
        let silent = || GuardError::unavailable("it gave no answer while the lease lasted");
        done.ok_or_else(|| failure.unwrap_or_else(silent))
    }

    async fn attempt<T>(&self, mut answer: GuardFuture<T>) -> Result<T, GuardError> {
        let turn = self.lane.turns.acquire().await;
        let done = within(ATTEMPT, &mut answer).await;
        contained(|| drop(answer));
        drop(turn);
        done
    }
}

/// Without end, each twice as long as the one before, to a bound.
fn pauses() -> impl Iterator<Item = Duration> {
    std::iter::successors(Some(FIRST_PAUSE), |pause| Some((*pause * 2).min(MAX_PAUSE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_bound() {
        let seconds: Vec<u64> = pauses().take(7).map(|pause| pause.as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 16, 16]);
    }
}
