//! A body that is polled. Step 5.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;
use pin_project_lite::pin_project;
use tokio::task::coop::{Unconstrained, unconstrained};
use tokio::time::{Sleep, sleep};

use super::{Finish, Intake};
use crate::error::{BoxError, VerifyError};
use crate::eventual::once;

/// Parts taken in one go before other tasks get their turn. A body of nothing but empty parts
/// would otherwise keep a thread busy without ever meeting a limit.
pub(super) const PARTS_PER_POLL: usize = 64;

pin_project! {
    /// Reads a body that is polled into an [`Intake`], within its limits of length and time.
    #[must_use]
    pub struct Arrival {
        // Taken at the end.
        intake: Option<Intake>,
        #[pin]
        deadline: Deadline,
        yielded: bool,
    }
}

impl Arrival {
    /// Begins. The time limit runs from when the body is first waited for.
    pub fn new(intake: Intake) -> Self {
        Self {
            intake: Some(intake),
            deadline: Deadline::default(),
            yielded: false,
        }
    }

    /// Takes parts from `next` until it returns `None`, and then calls [`Intake::finish`].
    ///
    /// # Errors
    ///
    /// The body is too long, too slow, or did not arrive to its end.
    ///
    /// # Panics
    ///
    /// If it is polled again after it has returned [`Finish`].
    pub fn poll<D: Buf, E: Into<BoxError>>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut next: impl FnMut(&mut Context<'_>) -> Poll<Option<Result<D, E>>>,
    ) -> Poll<Result<Finish, VerifyError>> {
        let this = self.project();
        #[expect(clippy::expect_used, reason = "it is not polled once it is done")]
        let intake = this.intake.as_mut().expect("polled after it was done");
        let limit = intake.receiver().body_timeout();
        let mut taken = 0;
        while taken < PARTS_PER_POLL {
            taken += 1;
            match next(cx) {
                Poll::Ready(Some(Ok(part))) if !part.has_remaining() => {}
                Poll::Ready(Some(Ok(part))) => intake.push(part)?,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(intake.broke_off(error))),
                Poll::Ready(None) => return Poll::Ready(Ok(once(this.intake).finish())),
                Poll::Pending if *this.yielded => {
                    ready!(this.deadline.poll(cx, || limit));
                    return Poll::Ready(Err(intake.timed_out()));
                }
                Poll::Pending => break,
            }
        }
        // Servers read the head first, so nearly every body has to be waited for once and is there
        // at the next poll: a timer for that would be wasted. But a sender that sends nothing more
        // causes no next poll, so ask for one. After many parts others have their turn.
        let again = std::mem::replace(this.yielded, true);
        cx.waker().wake_by_ref();
        if again {
            ready!(this.deadline.poll(cx, || limit));
            return Poll::Ready(Err(intake.timed_out()));
        }
        Poll::Pending
    }
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival")
            .field("intake", &self.intake)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// A time limit that begins when it is first polled: most of what is limited is there before
    /// it has to be waited for, and a timer would be the dearest part of it.
    #[derive(Default)]
    pub(super) struct Deadline {
        #[pin]
        sleep: Option<Unconstrained<Sleep>>,
    }
}

impl Deadline {
    /// Waits for the end of what is `left` when this is first called.
    pub(super) fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        left: impl FnOnce() -> Duration,
    ) -> Poll<()> {
        let mut this = self.project();
        if this.sleep.is_none() {
            // Whatever else the task did: one that has used up its share of time would else never
            // learn that its limit is over.
            this.sleep.set(Some(unconstrained(sleep(left()))));
        }
        match this.sleep.as_pin_mut() {
            Some(sleep) => sleep.poll(cx),
            None => Poll::Pending,
        }
    }
}
