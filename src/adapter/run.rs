//! A handler that is a future. Steps 10 and 11.

use std::fmt;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::task::JoinHandle;

use super::arrival::Deadline;
use super::{Closing, Flight};
use crate::error::{Detail, VerifyError, VerifyErrorKind};
use crate::eventual::once;

pin_project! {
    /// Runs a handler within its time limit, and then settles or releases the claim.
    ///
    /// Its output is that of the handler, or the error to answer with if the handler took too long.
    /// If it is dropped earlier, it drops the handler and releases the claim.
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
            closing: Closing<Result<(), VerifyError>>,
            answer: Option<A>,
        },
        Failed {
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
    /// Runs `handler`.
    ///
    /// `status` returns the status of the handler's answer, or `None` if it returned an error.
    pub fn new(handler: F, flight: Flight, status: fn(&F::Output) -> Option<u16>) -> Self {
        Self {
            state: State::Running {
                handler,
                deadline: Deadline::default(),
            },
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
                        let status = (this.status)(&answer);
                        let answer = Some(answer);
                        this.state.set(match status {
                            Some(status) => State::Answered {
                                closing: this.flight.answered(status),
                                answer,
                            },
                            None => State::Failed {
                                closing: this.flight.failed(),
                                answer,
                            },
                        });
                    }
                    Poll::Pending => {
                        let flight = &*this.flight;
                        ready!(deadline.poll(cx, || flight.time_left()));
                        this.state.set(State::Dropped);
                    }
                },
                StateProj::Answered { closing, answer } => {
                    let closed = ready!(Pin::new(closing).poll(cx));
                    return Poll::Ready(closed.map(|()| once(answer)));
                }
                StateProj::Failed { closing, answer } => {
                    ready!(Pin::new(closing).poll(cx));
                    return Poll::Ready(Ok(once(answer)));
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

/// A [`Run`] in a task of its own, which goes on if the sender leaves.
///
/// Spawn the [`Run`] and convert the `JoinHandle`. To drop this does not stop the task. If the
/// runtime drops the task, the claim is released.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct DetachedRun<A> {
    task: JoinHandle<Result<A, VerifyError>>,
}

impl<A> From<JoinHandle<Result<A, VerifyError>>> for DetachedRun<A> {
    fn from(task: JoinHandle<Result<A, VerifyError>>) -> Self {
        Self { task }
    }
}

impl<A> Future for DetachedRun<A> {
    type Output = Result<A, VerifyError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match ready!(Pin::new(&mut self.task).poll(cx)) {
            Ok(ran) => Poll::Ready(ran),
            Err(error) => match error.try_into_panic() {
                // As if it had run here.
                Ok(panic) => resume_unwind(panic),
                // Nobody aborts it but a runtime that shuts down.
                Err(aborted) => {
                    let source = Detail::Source(Arc::new(aborted));
                    let error = VerifyError::new(VerifyErrorKind::HandlerTimeout, source);
                    Poll::Ready(Err(error))
                }
            },
        }
    }
}
