//! The run of a handler: steps 10 (handler) and 11 (settle or release).

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::intake::Held;
use crate::contained::contained;
use crate::error::{Detail, VerifyError, VerifyErrorKind};
use crate::event::GeminiEvent;
use crate::eventual::once;
use crate::receiver::{Claims, Delivery, within};
use crate::replay::{Claim, GuardError, GuardFuture, Settled};
use crate::trace::{self, Outcome};

/// The run of a handler, which must be told how it ended.
///
/// Keep it until the handler has ended, call one of its methods, and wait for the future that this
/// returns before you send the answer. A 2xx *settles* the claim, which marks the event as handled.
/// Everything else *releases* it, so that the retry runs the handler again. To drop it means that the
/// run was cut short, and releases the claim.
#[must_use]
pub struct Flight {
    delivery: Delivery,
    begun: Instant,
    /// For the log.
    event: Option<GeminiEvent>,
    held: Held,
    ended: bool,
}

impl Flight {
    pub(super) fn new(delivery: Delivery, event: &GeminiEvent, held: Held) -> Self {
        let clock = held.receiver.shared.clock.as_ref();
        Self {
            begun: clock.monotonic(),
            event: trace::ENABLED.then(|| event.clone()),
            delivery,
            held,
            ended: false,
        }
    }

    fn took(&self) -> Duration {
        let now = self.held.receiver.shared.clock.monotonic();
        now.saturating_duration_since(self.begun)
    }

    /// How long the handler may go on, counted from its start.
    pub(super) fn time_left(&self) -> Duration {
        let limit = self.held.receiver.handler_timeout();
        limit.saturating_sub(self.took())
    }

    /// Ends the run: the handler answered with this status.
    pub fn answered(&mut self, status: u16) -> Closing {
        let outcome = Outcome::Answered { status };
        let closing = if outcome.is_success() {
            self.settle()
        } else {
            self.release(())
        };
        self.end(outcome);
        closing
    }

    /// Ends the run: the inner service returned an error instead of an answer.
    pub fn failed(&mut self) -> Closing {
        let closing = self.release(());
        self.end(Outcome::Failed);
        closing
    }

    /// Ends the run: the handler took longer than
    /// [`handler_timeout`](crate::WebhookReceiver::handler_timeout).
    ///
    /// The future returns the error to answer with. Drop the handler before you call this, because
    /// from here on a retry may run.
    pub fn timed_out(&mut self) -> Closing<VerifyError> {
        let receiver = &self.held.receiver;
        let limit = Detail::After(receiver.handler_timeout());
        let error = receiver.stamp(VerifyError::new(VerifyErrorKind::HandlerTimeout, limit));
        let closing = self.release(error);
        self.end(Outcome::TimedOut);
        closing
    }

    fn claim(&self) -> Option<(&Claims, &Claim)> {
        let claims = self.held.receiver.shared.claims.as_ref();
        claims.zip(self.delivery.claim())
    }

    fn settle(&self) -> Closing {
        let Some((claims, claim)) = self.claim() else {
            return Closing::done(());
        };
        let clock = self.held.receiver.shared.clock.as_ref();
        let settled = claims.settle(claim, &self.delivery, clock);
        self.close(settled, report_settled, ())
    }

    fn release<O: Send + Unpin + 'static>(&self, output: O) -> Closing<O> {
        match self.claim() {
            Some((claims, claim)) => self.close(claims.release(claim), report_released, output),
            None => Closing::done(output),
        }
    }

    fn close<T: Send + 'static, O: Send + Unpin + 'static>(
        &self,
        answer: GuardFuture<T>,
        report: fn(Result<T, GuardError>, &Delivery),
        output: O,
    ) -> Closing<O> {
        match (answer.now(), self.claim()) {
            (Err(answer), Some((claims, _))) => {
                let (time, delivery) = (claims.timeout, self.delivery.clone());
                Closing::waiting(output, async move {
                    report(within(time, answer).await, &delivery);
                })
            }
            (Ok(answer), _) => {
                report(answer, &self.delivery);
                Closing::done(output)
            }
            (Err(_), None) => Closing::done(output),
        }
    }

    fn end(&mut self, outcome: Outcome) {
        self.ended = true;
        if let Some(event) = &self.event {
            let limit = self.held.receiver.handler_timeout();
            let type_name = event.type_name();
            trace::ran(self.delivery.who(), type_name, outcome, self.took(), limit);
        }
    }
}

fn report_settled(settled: Result<Settled, GuardError>, delivery: &Delivery) {
    match settled {
        Ok(Settled::Settled) => {}
        Ok(Settled::Lost) => trace::claim_lost(delivery.who()),
        Err(error) => trace::guard_failed("settle", &error, delivery.who()),
    }
}

fn report_released(released: Result<(), GuardError>, delivery: &Delivery) {
    if let Err(error) = released {
        trace::guard_failed("release", &error, delivery.who());
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if let Some((claims, _)) = self.claim() {
            claims.abandon(&self.delivery);
        }
        let outcome = if std::thread::panicking() {
            Outcome::Panicked
        } else {
            Outcome::Dropped
        };
        contained(|| self.end(outcome));
    }
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight")
            .field("delivery", &self.delivery)
            .finish_non_exhaustive()
    }
}

/// The future that settles or releases the claim, to be awaited before the answer is sent.
///
/// It is ready at once if the guard never waits. If it is dropped earlier, for instance because the
/// sender left, it goes on in a task of its own: the handler has run, and that must be remembered.
#[must_use = "futures do nothing unless polled"]
pub struct Closing<O = ()> {
    output: Option<O>,
    rest: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<O> Closing<O> {
    fn done(output: O) -> Self {
        Self {
            output: Some(output),
            rest: None,
        }
    }

    fn waiting(output: O, rest: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            output: Some(output),
            rest: Some(Box::pin(rest)),
        }
    }
}

impl<O: Unpin> Future for Closing<O> {
    type Output = O;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        if let Some(rest) = &mut self.rest {
            std::task::ready!(rest.as_mut().poll(cx));
            self.rest = None;
        }
        Poll::Ready(once(&mut self.output))
    }
}

impl<O> Drop for Closing<O> {
    fn drop(&mut self) {
        // Without a runtime the lease ends the claim.
        if let (Some(rest), Ok(runtime)) = (self.rest.take(), Handle::try_current()) {
            runtime.spawn(rest);
        }
    }
}

impl<O> fmt::Debug for Closing<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closing")
            .field("waits", &self.rest.is_some())
            .finish()
    }
}
