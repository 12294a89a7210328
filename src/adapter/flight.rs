//! The run of a handler: steps 10 (handler) and 11 (settle or release).

use std::fmt;
use std::time::{Duration, Instant};

use super::closing::{Closing, Holder};
use super::intake::Held;
use crate::contained::contained;
use crate::error::{Detail, VerifyError, VerifyErrorKind};
use crate::event::GeminiEvent;
use crate::metrics::{self, InFlight, Known};
use crate::receiver::{Delivery, WebhookReceiver};
use crate::trace::{self, Outcome};

/// The run of a handler, which must be told how it ended.
///
/// Keep it until the handler has ended, call one of its methods, and wait for the future that this
/// returns before you send the answer. A 2xx *settles* the claim, which marks the event as handled.
/// Everything else *releases* it, so that the retry runs the handler again. To drop it means that the
/// run was cut short, and releases the claim.
#[must_use]
pub struct Flight {
    holder: Holder,
    begun: Instant,
    /// For the log and the metrics.
    event: Option<GeminiEvent>,
    _in_flight: InFlight,
    /// Its memory counts until the run has ended.
    _held: Held,
    ended: bool,
}

impl Flight {
    pub(super) fn new(delivery: Delivery, event: &GeminiEvent, held: Held) -> Self {
        let receiver = held.receiver.clone();
        Self {
            begun: receiver.shared.clock.monotonic(),
            event: (trace::ENABLED || metrics::ENABLED).then(|| event.clone()),
            _in_flight: InFlight::new(delivery.claim().is_some()),
            holder: Holder::new(receiver, delivery),
            _held: held,
            ended: false,
        }
    }

    fn took(&self) -> Duration {
        let now = self.receiver().shared.clock.monotonic();
        now.saturating_duration_since(self.begun)
    }

    fn receiver(&self) -> &WebhookReceiver {
        &self.holder.receiver
    }

    /// How long the handler may go on, counted from its start.
    pub(super) fn time_left(&self) -> Duration {
        let limit = self.receiver().handler_timeout();
        limit.saturating_sub(self.took())
    }

    /// Ends the run: the handler answered with this status.
    ///
    /// The future returns the error to answer with instead, if the handler took over the claim
    /// ([`Delivery::hand_over_claim`]) and answered with a 2xx, but has not settled it.
    pub fn answered(&mut self, status: u16) -> Closing<Result<(), VerifyError>> {
        let outcome = Outcome::Answered { status };
        let success = outcome.is_success();
        if success && self.holder.delivery.is_handed_over() {
            return self.confirm(outcome);
        }
        let closing = if success {
            self.holder.settle(Ok(()))
        } else {
            self.holder.release(Ok(()))
        };
        self.end(outcome);
        closing
    }

    /// Ends the run: the inner service returned an error instead of an answer.
    pub fn failed(&mut self) -> Closing {
        let closing = self.holder.release(());
        self.end(Outcome::Failed);
        closing
    }

    /// Ends the run: the handler took longer than
    /// [`handler_timeout`](crate::WebhookReceiver::handler_timeout).
    ///
    /// The future returns the error to answer with. Drop the handler before you call this, because
    /// from here on a retry may run.
    pub fn timed_out(&mut self) -> Closing<VerifyError> {
        let receiver = self.receiver();
        let limit = Detail::After(receiver.handler_timeout());
        let error = receiver.stamp(VerifyError::new(VerifyErrorKind::HandlerTimeout, limit));
        let closing = self.holder.release(error);
        self.end(Outcome::TimedOut);
        closing
    }

    /// Sees whether the app has settled the claim, and only then says that it was handled.
    fn confirm(&mut self, outcome: Outcome) -> Closing<Result<(), VerifyError>> {
        self.ended = true;
        let (holder, event, took) = (self.holder.clone(), self.event.take(), self.took());
        Closing::waiting(async move {
            let confirmed = holder.clone().confirm().await;
            match confirmed {
                Ok(()) => {
                    log(&holder, event.as_ref(), outcome, took);
                    Ok(())
                }
                Err(error) => {
                    metrics::ran_in_vain(took);
                    let known = Known {
                        scheme: Some(holder.delivery.scheme()),
                        event: event.as_ref(),
                    };
                    let id = Some(holder.delivery.id());
                    Err(holder.receiver.refuse(error, id, known))
                }
            }
        })
    }

    fn end(&mut self, outcome: Outcome) {
        self.ended = true;
        log(&self.holder, self.event.as_ref(), outcome, self.took());
    }
}

fn log(holder: &Holder, event: Option<&GeminiEvent>, outcome: Outcome, took: Duration) {
    if let Some(event) = event {
        let limit = holder.receiver.handler_timeout();
        let who = holder.delivery.who();
        metrics::ran(who.scheme, event, outcome, took);
        trace::ran(who, event.type_name(), outcome, took, limit);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        self.holder.abandon();
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
            .field("delivery", &self.holder.delivery)
            .finish_non_exhaustive()
    }
}
