//! A handler's turn.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::arrival::Deadline;
use super::{Closing, Flight};
use crate::error::VerifyError;

pin_project! {
    /// Runs a handler to its end, for as long as it may take, and settles or releases the claim of
    /// its event before it gives the answer away. Dropped before, it drops the handler and releases
    /// the claim.
    ///
    /// Its output is the handler's, or the refusal to answer instead if that took too long.
    #[must_use = "futures do nothing unless polled"]
    pub struct Run<F: Future> {
        // Before the flight, so that it is dropped before: a retry may run once the claim is free.
        #[pin]
        state: State<F, F::Output>,
        flight: Flight,
        status: fn(&F::Output) -> Option<u16>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, A> {
        Running {
            #[pin]
            handler: F,
            #[pin]
            deadline: Deadline,
        },
        Answered {
            closing: Closing,
            answer: Option<A>,
        },
        Dropped,
        TimedOut {
            closing: Closing<VerifyError>,
        },
    }
}

impl<F: Future> Run<F> {
    /// Runs `handler`. `status` tells the status of its answer, `None` where it failed instead of
    /// answering.
    pub fn new(handler: F, flight: Flight, status: fn(&F::Output) -> Option<u16>) -> Self {
        let deadline = Deadline::new(flight.receiver().handler_timeout());
        Self {
            state: State::Running { handler, deadline },
            flight,
            status,
        }
    }
}

impl<F: Future> Future for Run<F> {
    type Output = Result<F::Output, VerifyError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Running { handler, deadline } => match handler.poll(cx) {
                    Poll::Ready(answer) => {
                        let closing = match (this.status)(&answer) {
                            Some(status) => this.flight.answered(status),
                            None => this.flight.failed(),
                        };
                        this.state.set(State::Answered {
                            closing,
                            answer: Some(answer),
                        });
                    }
                    Poll::Pending => {
                        ready!(deadline.poll(cx));
                        this.state.set(State::Dropped);
                    }
                },
                StateProj::Answered { closing, answer } => {
                    ready!(Pin::new(closing).poll(cx));
                    #[expect(
                        clippy::expect_used,
                        reason = "a future is not polled once it is done"
                    )]
                    let answer = answer.take().expect("polled after it was done");
                    return Poll::Ready(Ok(answer));
                }
                StateProj::Dropped => {
                    let closing = this.flight.timed_out();
                    this.state.set(State::TimedOut { closing });
                }
                StateProj::TimedOut { closing } => return Pin::new(closing).poll(cx).map(Err),
            }
        }
    }
}

impl<F: Future> fmt::Debug for Run<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("flight", &self.flight)
            .finish_non_exhaustive()
    }
}
