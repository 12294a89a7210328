//! Steps 9 (claim) and 11 (settle or release) of a delivery, through the receiver's guard.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Delivery;
use crate::clock::Clock;
use crate::contained::{Contained, contained};
use crate::error::{Detail, VerifyError, VerifyErrorKind};
use crate::replay::{Claim, ClaimKey, Claimed, GuardError, GuardFuture, ReplayGuard, Settled};
use crate::scheme::Scheme;
use crate::trace;

/// A receiver's guard, and how it is used.
#[derive(Debug)]
pub(crate) struct Claims {
    pub(crate) guard: Arc<dyn ReplayGuard>,
    pub(crate) namespace: Arc<str>,
    pub(crate) lease: Duration,
    pub(crate) retention: Duration,
    /// How long after its headers were judged a delivery may be claimed.
    pub(crate) delay: Duration,
    /// How long an answer of the guard is waited for.
    pub(crate) timeout: Duration,
    /// Handle the event all the same if the guard cannot answer.
    pub(crate) handle_unclaimed: bool,
}

impl Claims {
    pub(crate) fn of(&self, scheme: Scheme, id: Arc<str>) -> Claim {
        Claim::new(ClaimKey::of(Arc::clone(&self.namespace), scheme, id))
    }

    /// Step 9, the claim. It counts as made from here on, whether or not an answer comes: a delivery
    /// that does not get the event has to abandon it.
    pub(crate) fn claim(&self, claim: &Claim) -> GuardFuture<Claimed> {
        guarded(|| self.guard.claim(claim.key(), claim.token(), self.lease))
    }

    /// Returns whether this delivery is to handle the event; `false` if it has been handled.
    pub(crate) fn judge(
        &self,
        claimed: Result<Claimed, GuardError>,
        delivery: &Delivery,
    ) -> Result<bool, VerifyError> {
        match claimed {
            Ok(Claimed::Claimed) => Ok(true),
            Ok(Claimed::Settled) => {
                trace::repeated(delivery.who());
                Ok(false)
            }
            Ok(Claimed::InFlight) => Err(VerifyErrorKind::InFlight.into()),
            Err(error) if self.handle_unclaimed => {
                trace::guard_failed("claim", &error, delivery.who());
                Ok(true)
            }
            Err(error) => {
                // It may have been made, and its answer lost.
                self.abandon(delivery);
                let source = Detail::Source(Arc::new(error));
                Err(VerifyError::new(VerifyErrorKind::GuardUnavailable, source))
            }
        }
    }

    /// Settles, to be remembered as long as a copy could come: in the JWT form that is as long as the
    /// token is accepted.
    pub(crate) fn settle(
        &self,
        claim: &Claim,
        delivery: &Delivery,
        clock: &dyn Clock,
    ) -> GuardFuture<Settled> {
        let accepted = delivery
            .accepted_until()
            .and_then(|until| until.duration_since(clock.now()).ok());
        // A copy whose headers came at the last moment is claimed later.
        let retention = self
            .retention
            .max(accepted.unwrap_or_default())
            .saturating_add(self.delay);
        guarded(|| self.guard.settle(claim.key(), claim.token(), retention))
    }

    pub(crate) fn release(&self, claim: &Claim) -> GuardFuture<()> {
        guarded(|| self.guard.release(claim.key(), claim.token()))
    }

    /// Releases the claim of a delivery that nobody waits for any more.
    pub(crate) fn abandon(&self, delivery: &Delivery) {
        if let Some(claim) = delivery.claim() {
            contained(|| self.guard.abandon(claim.key(), claim.token()));
        }
    }
}

/// What a guard answers. One that panics has not answered: a handler's 2xx must go out all the
/// same, and a claim that was made must be given up.
fn guarded<T>(ask: impl FnOnce() -> GuardFuture<T>) -> GuardFuture<T> {
    contained(ask).unwrap_or_else(|| GuardFuture::ready(Err(panicked())))
}

fn panicked() -> GuardError {
    GuardError::broken("it panicked")
}

/// The answer of a guard, or that it did not come in time.
pub(crate) async fn within<T>(time: Duration, answer: GuardFuture<T>) -> Result<T, GuardError> {
    match timeout(time, Contained::new(answer)).await {
        Ok(answer) => answer.unwrap_or_else(|| Err(panicked())),
        Err(late) => Err(GuardError::unavailable(late)),
    }
}
