//! The run of a handler.

use std::fmt;
use std::time::Instant;

use super::Delivery;
use super::intake::Held;
use crate::error::{Detail, VerifyError, VerifyErrorKind};
use crate::event::GeminiEvent;
use crate::trace::{self, Outcome};

/// A handler's run. The adapter keeps it until the answer is there and says how it ended;
/// dropping it says that the run was cut short.
#[must_use]
pub struct Flight {
    delivery: Delivery,
    event: GeminiEvent,
    started: Instant,
    held: Held,
    ended: bool,
}

impl Flight {
    pub(super) fn new(delivery: Delivery, event: GeminiEvent, held: Held) -> Self {
        Self {
            started: held.receiver.shared.clock.monotonic(),
            delivery,
            event,
            held,
            ended: false,
        }
    }

    /// The handler answered with this status.
    pub fn answered(&mut self, status: u16) {
        self.end(Outcome::Answered { status });
    }

    /// The inner service returned an error instead of an answer.
    pub fn failed(&mut self) {
        self.end(Outcome::Failed);
    }

    /// The handler took longer than [`handler_timeout`](super::WebhookReceiver::handler_timeout): the
    /// refusal to answer instead.
    #[must_use]
    pub fn timed_out(&mut self) -> VerifyError {
        self.end(Outcome::TimedOut);
        let receiver = &self.held.receiver;
        let limit = Detail::After(receiver.handler_timeout());
        receiver.stamp(VerifyError::new(VerifyErrorKind::HandlerTimeout, limit))
    }

    fn end(&mut self, outcome: Outcome) {
        self.ended = true;
        self.log(outcome);
    }

    fn log(&self, outcome: Outcome) {
        let took = self
            .held
            .receiver
            .shared
            .clock
            .monotonic()
            .saturating_duration_since(self.started);
        trace::ran(&self.delivery, self.event.type_name(), outcome, took);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.ended {
            self.log(Outcome::Dropped);
        }
    }
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight")
            .field("delivery", &self.delivery)
            .finish_non_exhaustive()
    }
}
