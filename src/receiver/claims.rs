//! Steps 9 (claim) and 11 (settle or release) of a delivery, through the receiver's guard.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::leftovers::{Leftover, Leftovers};
use super::outage::Outage;
use super::{Delivery, WebhookReceiver};
use crate::contained::{Contained, contained};
use crate::error::{Detail, VerifyError, VerifyErrorKind};
use crate::event::JobId;
use crate::metrics::Requests;
use crate::replay::{
    Claim, ClaimKey, Claimed, GuardError, GuardFuture, Reach, ReplayGuard, Settled,
};
use crate::scheme::Scheme;
use crate::trace;

/// A receiver's guard, and how it is used.
#[derive(Debug)]
pub(crate) struct Claims {
    pub(crate) guard: Arc<dyn ReplayGuard>,
    pub(crate) namespace: Arc<str>,
    pub(crate) lease: Duration,
    /// How long an answer of the guard is waited for.
    pub(crate) timeout: Duration,
    /// Handle the event all the same if the guard cannot answer.
    pub(crate) handle_unclaimed: bool,
    pub(crate) requests: Requests,
    pub(crate) outage: Outage,
    /// Claims wait here and not at the guard, where they would hold up the settles: an event that was
    /// handled comes before one that is to be handled, or a busy store does work in vain.
    pub(crate) turns: Semaphore,
    pub(crate) leftovers: Leftovers,
    /// What was last said about the guard's store.
    pub(crate) concerns: Mutex<Vec<String>>,
}

/// So many claims ask the guard at a time: enough to keep any store busy.
pub(crate) const AT_ONCE: usize = 32;

impl Claims {
    pub(crate) fn of(&self, scheme: Scheme, id: Arc<str>, retention: Duration) -> Claim {
        let key = ClaimKey::of(Arc::clone(&self.namespace), scheme, id);
        Claim::new(key, self.lease, retention)
    }

    /// The claim on a job instead, whoever says that it has ended.
    pub(crate) fn of_job(&self, job: &JobId, retention: Duration) -> Claim {
        let key = ClaimKey::of_job(Arc::clone(&self.namespace), job);
        Claim::new(key, self.lease, retention)
    }

    pub(crate) fn claim(&self, claim: &Claim) -> GuardFuture<Claimed> {
        self.measured("claim", || {
            self.guard.claim(claim.key(), claim.token(), claim.lease())
        })
    }

    pub(crate) fn settle(&self, claim: &Claim) -> GuardFuture<Settled> {
        self.measured("settle", || {
            self.guard
                .settle(claim.key(), claim.token(), claim.retention())
        })
    }

    pub(crate) fn release(&self, claim: &Claim) -> GuardFuture<()> {
        self.measured("release", || self.guard.release(claim.key(), claim.token()))
    }

    fn measured<T>(
        &self,
        operation: &'static str,
        ask: impl FnOnce() -> GuardFuture<T>,
    ) -> GuardFuture<T> {
        let request = self.requests.begin(operation);
        guarded(ask).answering(request)
    }

    pub(crate) fn ready(&self) -> GuardFuture<Vec<String>> {
        guarded(|| self.guard.ready())
    }

    /// Returns whether this delivery is to handle the event; `false` if it has been handled.
    fn judge(
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
            Ok(Claimed::InFlight { left }) => {
                let error = VerifyError::from(VerifyErrorKind::InFlight);
                Err(match left {
                    Some(left) => error.with_retry_after(left),
                    None => error,
                })
            }
            Err(error) if self.handle_unclaimed => {
                trace::guard_failed("claim", &error, delivery.who());
                Ok(true)
            }
            Err(error) => Err(unavailable(error)),
        }
    }
}

/// How long after it was settled a copy of an event may still be claimed.
pub(crate) fn retention(
    setting: Duration,
    delay: Duration,
    accepted_until: Option<SystemTime>,
    now: SystemTime,
) -> Duration {
    // In the JWT form a copy may come as long as the token is accepted.
    let accepted = accepted_until.and_then(|until| until.duration_since(now).ok());
    // A copy whose headers came at the last moment is claimed later.
    setting
        .max(accepted.unwrap_or_default())
        .saturating_add(delay)
}

/// Step 9, the claim: whether the delivery is to handle the event, now or later.
///
/// # Errors
///
/// The guard has to be waited for.
pub(crate) fn ask(
    receiver: &WebhookReceiver,
    delivery: &Delivery,
) -> Result<Result<bool, VerifyError>, Asking> {
    let Some((claims, claim)) = receiver.claims().zip(delivery.claim()) else {
        return Ok(Ok(true));
    };
    let clock = receiver.shared.clock.as_ref();
    if let Err(pause) = claims.outage.admits(clock, claims.timeout) {
        return Ok(claims.judge(Err(GuardError::unavailable(Silent(pause))), delivery));
    }
    let answer = claims.claim(claim);
    let reach = answer.reach();
    // It may be the one that tries.
    let tries = claims.outage.is_on();
    match answer.now() {
        Ok(claimed) => {
            claims.outage.answered();
            give_up_failed(receiver, delivery, &claimed, &reach);
            Ok(claims.judge(claimed, delivery))
        }
        Err(answer) => Err(Asking {
            receiver: receiver.clone(),
            delivery: delivery.clone(),
            reach,
            tries,
            answer: Some(answer),
        }),
    }
}

/// A claim that was asked for and not answered yet.
///
/// If it is dropped, or not answered in time, whoever gets the event next must not find a claim
/// that nobody holds.
pub(crate) struct Asking {
    receiver: WebhookReceiver,
    delivery: Delivery,
    reach: Reach,
    /// It asks although the guard does not answer.
    tries: bool,
    answer: Option<GuardFuture<Claimed>>,
}

impl Asking {
    pub(crate) async fn judged(mut self) -> Result<bool, VerifyError> {
        let receiver = self.receiver.clone();
        let Some((claims, answer)) = receiver.claims().zip(self.answer.as_mut()) else {
            return Ok(true);
        };
        let turn = timeout(claims.timeout / 2, claims.turns.acquire()).await;
        if turn.is_err() {
            let busy = "its store is busy: too many claims wait for their turn";
            return claims.judge(Err(GuardError::unavailable(busy)), &self.delivery);
        }
        if claims.outage.is_on() && !self.tries {
            let silent = "it did not answer the deliveries before in time";
            return claims.judge(Err(GuardError::unavailable(silent)), &self.delivery);
        }
        let claimed = match timeout(claims.timeout, Contained::new(&mut *answer)).await {
            Ok(claimed) => {
                claims.outage.answered();
                if claimed.is_none() {
                    answer.given_up();
                }
                // A guard that panicked may do so again when its future is dropped.
                contained(|| drop(self.answer.take()));
                let claimed = claimed.unwrap_or_else(|| Err(panicked()));
                give_up_failed(&receiver, &self.delivery, &claimed, &self.reach);
                claimed
            }
            Err(_) => {
                answer.given_up();
                claims.outage.timed_out(receiver.shared.clock.as_ref());
                Err(GuardError::unavailable(Late(claims.timeout)))
            }
        };
        if claims.handle_unclaimed {
            // If it is made after all, it is the claim of the handler that runs now.
            contained(|| drop(self.answer.take()));
        }
        claims.judge(claimed, &self.delivery)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            if self.reach.get() {
                let claim = Leftover::Claim(Some(answer));
                leave(&self.receiver, &self.delivery, claim);
            } else {
                // What was not sent costs nothing.
                contained(|| drop(answer));
            }
        }
    }
}

/// A claim that failed may have been made, and its answer lost.
fn give_up_failed(
    receiver: &WebhookReceiver,
    delivery: &Delivery,
    claimed: &Result<Claimed, GuardError>,
    reach: &Reach,
) {
    let unclaimed = receiver
        .claims()
        .is_some_and(|claims| claims.handle_unclaimed);
    if claimed.is_err() && reach.get() && !unclaimed {
        leave(receiver, delivery, Leftover::Claim(None));
    }
}

/// Hands over what nobody waits for any more.
pub(crate) fn leave(receiver: &WebhookReceiver, delivery: &Delivery, leftover: Leftover) {
    if let Some(claims) = receiver.claims() {
        claims.leftovers.add(receiver, delivery, leftover);
    }
}

/// What a guard answers. One that panics has not answered: a handler's 2xx must go out all the
/// same, and a claim that was made must be given up.
fn guarded<T>(ask: impl FnOnce() -> GuardFuture<T>) -> GuardFuture<T> {
    contained(ask).unwrap_or_else(|| GuardFuture::broken_off(panicked()))
}

fn panicked() -> GuardError {
    GuardError::broken("it panicked")
}

pub(crate) fn unavailable(error: GuardError) -> VerifyError {
    let source = Detail::Source(Arc::new(error));
    VerifyError::new(VerifyErrorKind::GuardUnavailable, source)
}

/// The answer of a guard, or that it did not come in time: then `answer` goes on.
pub(crate) async fn within<T>(
    time: Duration,
    answer: &mut GuardFuture<T>,
) -> Result<T, GuardError> {
    let answered = timeout(time, Contained::new(&mut *answer)).await;
    if !matches!(answered, Ok(Some(_))) {
        answer.given_up();
    }
    match answered {
        Ok(answer) => answer.unwrap_or_else(|| Err(panicked())),
        Err(_) => Err(GuardError::unavailable(Late(time))),
    }
}

/// The guard gave no answer in this time.
#[derive(Debug)]
struct Late(Duration);

impl std::fmt::Display for Late {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "it gave no answer within {:?}; `WebhookReceiver::ready` may tell why",
            self.0
        )
    }
}

impl std::error::Error for Late {}

/// The guard is not asked for a while.
#[derive(Debug)]
struct Silent(Duration);

impl std::fmt::Display for Silent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "it did not answer the last deliveries in time; the next attempt is in {:.1} s",
            self.0.as_secs_f64()
        )
    }
}

impl std::error::Error for Silent {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_remembered_as_long_as_a_copy_may_come() {
        let seconds = Duration::from_secs;
        let now = SystemTime::UNIX_EPOCH + seconds(1000);
        let at = |time| Some(SystemTime::UNIX_EPOCH + seconds(time));
        for (setting, delay, accepted_until, expected) in [
            (100, 0, None, 100),
            (100, 5, None, 105),
            (100, 5, at(1050), 105),
            (100, 5, at(1200), 205),
            (100, 5, at(900), 105),
            (u64::MAX, 5, None, u64::MAX),
        ] {
            let held = retention(seconds(setting), seconds(delay), accepted_until, now);
            assert_eq!(held.as_secs(), expected, "{setting}, {accepted_until:?}");
        }
    }

    #[test]
    fn errors_say_how_long() {
        let late = Late(Duration::from_secs(2)).to_string();
        assert!(late.contains("no answer within 2s;"), "{late}");
        let silent = Silent(Duration::from_millis(1500)).to_string();
        assert!(silent.ends_with("the next attempt is in 1.5 s"), "{silent}");
    }
}
