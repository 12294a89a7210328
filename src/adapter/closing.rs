//! The end of a claim: step 11 (settle or release).

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::contained::contained;
use crate::error::{VerifyError, VerifyErrorKind};
use crate::eventual::Eventual;
use crate::receiver::{
    AtWork, Claims, Delivery, Leftover, WebhookReceiver, leave, unavailable, within,
};
use crate::replay::{Claim, Claimed, GuardError, GuardFuture, Settled};
use crate::trace;

/// The future that settles or releases the claim, to be awaited before the answer is sent.
///
/// It is ready at once if the guard never waits. If it is dropped earlier, for instance because the
/// sender left, it goes on in a task of its own: the handler has run, and that must be remembered.
#[must_use = "futures do nothing unless polled"]
pub struct Closing<O: 'static = ()>(Eventual<O>);

impl<O> Closing<O> {
    fn done(output: O) -> Self {
        Self(Eventual::now(output))
    }

    pub(super) fn waiting(rest: impl Future<Output = O> + Send + 'static) -> Self {
        Self(Eventual::later(rest))
    }
}

impl<O> Future for Closing<O> {
    type Output = O;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        let output = ready!(Pin::new(&mut self.0).poll(cx));
        self.0 = Eventual::Now(None);
        Poll::Ready(output)
    }
}

impl<O> Drop for Closing<O> {
    fn drop(&mut self) {
        let rest = mem::replace(&mut self.0, Eventual::Now(None));
        // Without a runtime the lease ends the claim.
        if let (Eventual::Later(rest), Ok(runtime)) = (rest, Handle::try_current()) {
            runtime.spawn(async move { drop(rest.await) });
        }
    }
}

impl<O> fmt::Debug for Closing<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Closing").field(&self.0).finish()
    }
}

/// A delivery that reached its handler.
#[derive(Clone)]
pub(super) struct Holder {
    pub(super) receiver: WebhookReceiver,
    pub(super) delivery: Delivery,
    _at_work: AtWork,
}

impl Holder {
    pub(super) fn new(receiver: WebhookReceiver, delivery: Delivery) -> Self {
        Self {
            _at_work: receiver.shared.at_work.clone(),
            receiver,
            delivery,
        }
    }

    fn claim(&self) -> Option<(&Claims, &Claim)> {
        self.receiver.claims().zip(self.delivery.claim())
    }

    /// Marks the event as handled.
    pub(super) fn settle<O: Send + 'static>(&self, output: O) -> Closing<O> {
        match self.claim() {
            Some((claims, claim)) => self.close(&SETTLE, claims.settle(claim), output),
            None => Closing::done(output),
        }
    }

    /// Frees the event for the retry.
    pub(super) fn release<O: Send + 'static>(&self, output: O) -> Closing<O> {
        match self.claim() {
            Some((claims, claim)) => self.close(&RELEASE, claims.release(claim), output),
            None => Closing::done(output),
        }
    }

    /// Frees the event for the retry, without anyone who waits for that.
    pub(super) fn abandon(&self) {
        if let Some((claims, claim)) = self.claim() {
            let released = claims.release(claim).now();
            if !matches!(released, Ok(Ok(()))) {
                // What was not polled was not sent.
                contained(|| drop(released));
                leave(&self.receiver, &self.delivery, Leftover::Release(None));
            }
        }
    }

    /// Sees whether the app has settled the claim that was handed over to it. If not, frees the event
    /// for the retry.
    pub(super) async fn confirm(self) -> Result<(), VerifyError> {
        let Some((claims, claim)) = self.claim() else {
            return Ok(());
        };
        let mut answer = claims.claim(claim);
        let error = match within(claims.timeout, &mut answer).await {
            Ok(Claimed::Settled) => return Ok(()),
            Ok(Claimed::Claimed | Claimed::InFlight { .. }) => VerifyErrorKind::NotSettled.into(),
            Err(error) => {
                if answer.reach().get() {
                    // It may be made again later, after the release below.
                    let asked = Leftover::Claim(answer.is_awaited().then_some(answer));
                    leave(&self.receiver, &self.delivery, asked);
                }
                unavailable(error)
            }
        };
        self.release(()).await;
        Err(error)
    }

    fn close<T: Send + 'static, O: Send + 'static>(
        &self,
        operation: &'static Operation<T>,
        answer: GuardFuture<T>,
        output: O,
    ) -> Closing<O> {
        match answer.now() {
            Ok(answer) => {
                self.conclude(operation, answer, None);
                Closing::done(output)
            }
            Err(mut answer) => {
                let holder = self.clone();
                Closing::waiting(async move {
                    let answered = within(holder.patience(), &mut answer).await;
                    let sent = answer.is_awaited().then_some(answer);
                    holder.conclude(operation, answered, sent);
                    output
                })
            }
        }
    }

    /// How long to wait for the guard: not at all while it does not answer others either.
    fn patience(&self) -> Duration {
        match self.receiver.claims() {
            Some(claims) if !claims.outage.is_on() => claims.timeout,
            _ => Duration::ZERO,
        }
    }

    /// What was not done is tried again. `sent` may still be answered.
    fn conclude<T>(
        &self,
        operation: &Operation<T>,
        answer: Result<T, GuardError>,
        sent: Option<GuardFuture<T>>,
    ) {
        match answer {
            Ok(answer) => (operation.report)(answer, &self.delivery),
            Err(error) => {
                trace::guard_asked_again(operation.name, &error, self.delivery.who());
                leave(&self.receiver, &self.delivery, (operation.again)(sent));
            }
        }
    }
}

/// What ends a claim.
struct Operation<T: 'static> {
    name: &'static str,
    report: fn(T, &Delivery),
    again: fn(Option<GuardFuture<T>>) -> Leftover,
}

const SETTLE: Operation<Settled> = Operation {
    name: "settle",
    report: |settled, delivery| match settled {
        Settled::Settled => {}
        Settled::Lost => trace::claim_lost(delivery.who()),
    },
    again: Leftover::Settle,
};

const RELEASE: Operation<()> = Operation {
    name: "release",
    report: |(), _| {},
    again: Leftover::Release,
};
