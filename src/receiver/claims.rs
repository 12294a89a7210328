//! Steps 9 and 11: claiming an event, settling and releasing it, by the receiver's guard.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Delivery;
use crate::clock::Clock;
use crate::error::{Detail, VerifyError, VerifyErrorKind};
use crate::replay::{Claim, ClaimKey, Claimed, GuardError, GuardFuture, ReplayGuard, Settled};
use crate::scheme::Scheme;
use crate::trace;

/// A receiver's guard, and how it is used.
#[derive(Debug)]
pub(super) struct Claims {
    pub(super) guard: Arc<dyn ReplayGuard>,
    pub(super) namespace: Arc<str>,
    pub(super) lease: Duration,
    pub(super) retention: Duration,
    /// How long after its headers were judged a delivery may be claimed.
    pub(super) delay: Duration,
    /// How long an answer of the guard is waited for.
    pub(super) timeout: Duration,
    /// Handle the event all the same if the guard cannot answer.
    pub(super) handle_unclaimed: bool,
}

impl Claims {
    pub(super) fn of(&self, scheme: Scheme, id: Arc<str>) -> Claim {
        Claim::new(ClaimKey::of(Arc::clone(&self.namespace), scheme, id))
    }

    /// Step 9. The claim counts as made from here on, whether or not an answer comes: who does not
    /// get the event has to abandon it.
    pub(super) fn claim(&self, claim: &Claim) -> GuardFuture<Claimed> {
        self.guard.claim(claim.key(), claim.token(), self.lease)
    }

    /// Whether the event is this delivery's to handle. `false`: it has been handled.
    pub(super) fn judge(
        &self,
        claimed: Result<Claimed, GuardError>,
        delivery: &Delivery,
    ) -> Result<bool, VerifyError> {
        match claimed {
            Ok(Claimed::Claimed) => Ok(true),
            Ok(Claimed::Settled) => {
                trace::repeated(delivery);
                Ok(false)
            }
            Ok(Claimed::InFlight) => Err(VerifyErrorKind::InFlight.into()),
            Err(error) if self.handle_unclaimed => {
                trace::guard_failed("claim", &error, delivery);
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
    pub(super) fn settle(
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
        self.guard.settle(claim.key(), claim.token(), retention)
    }

    pub(super) fn release(&self, claim: &Claim) -> GuardFuture<()> {
        self.guard.release(claim.key(), claim.token())
    }

    /// Releases the claim of a delivery that nobody waits for any more.
    pub(super) fn abandon(&self, delivery: &Delivery) {
        if let Some(claim) = delivery.claim() {
            contained(|| self.guard.abandon(claim.key(), claim.token()));
        }
    }
}

/// Runs what `drop` asks of others, a guard or the log. Where the thread is panicking already, a
/// panic of theirs would abort the process; that it happened has been told by the panic hook.
pub(super) fn contained(work: impl FnOnce()) {
    drop(catch_unwind(AssertUnwindSafe(work)));
}

/// The answer of a guard, or that it did not come in time.
pub(super) async fn within<T>(time: Duration, answer: GuardFuture<T>) -> Result<T, GuardError> {
    timeout(time, answer)
        .await
        .unwrap_or_else(|late| Err(GuardError::unavailable(late)))
}
