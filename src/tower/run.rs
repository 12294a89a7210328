//! The inner service's turn.

use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use pin_project_lite::pin_project;
use tokio::task::JoinHandle;
use tower_service::Service;

use super::deadline::Deadline;
use super::future::take;
use crate::error::VerifyError;
use crate::receiver::{Closing, Flight};

/// What came of a run: what the inner service gave, or that it took too long.
pub type Ran<T, E> = Result<Result<Response<T>, E>, VerifyError>;

/// Whose task runs the inner service `S`: [`Inline`] or [`Detached`]. For naming in bounds; there is
/// no third.
pub trait Run<S: Service<Request<Full<Bytes>>>, T> {
    /// The run, to its end: with the claim settled or released.
    type Future: Future<Output = Ran<T, S::Error>>;

    /// Begins it.
    fn run(inner: S::Future, flight: Flight, limit: Duration) -> Self::Future;
}

/// The request's own: the handler is dropped with the request, when the sender leaves.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Inline;

/// One by itself, which goes on when the sender leaves. See
/// [`VerifyLayer::finish_once_started`](super::VerifyLayer::finish_once_started).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Detached;

impl<S, T> Run<S, T> for Inline
where
    S: Service<Request<Full<Bytes>>, Response = Response<T>>,
{
    type Future = InlineRun<S::Future, T, S::Error>;

    fn run(inner: S::Future, flight: Flight, limit: Duration) -> Self::Future {
        InlineRun::new(inner, flight, limit)
    }
}

impl<S, T> Run<S, T> for Detached
where
    S: Service<Request<Full<Bytes>>, Response = Response<T>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    T: Send + 'static,
{
    type Future = DetachedRun<Ran<T, S::Error>>;

    fn run(inner: S::Future, flight: Flight, limit: Duration) -> Self::Future {
        DetachedRun {
            task: tokio::spawn(InlineRun::new(inner, flight, limit)),
        }
    }
}

pin_project! {
    /// A run in the request's task.
    #[must_use = "futures do nothing unless polled"]
    pub struct InlineRun<F, T, E> {
        // Before the flight, so that it is dropped before: a retry may run once the claim is free.
        #[pin]
        state: State<F, T, E>,
        flight: Flight,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, T, E> {
        Running {
            #[pin]
            inner: F,
            #[pin]
            deadline: Deadline,
        },
        Answered {
            closing: Closing,
            answer: Option<Result<Response<T>, E>>,
        },
        Dropped,
        TimedOut {
            closing: Closing<VerifyError>,
        },
    }
}

impl<F, T, E> InlineRun<F, T, E> {
    fn new(inner: F, flight: Flight, limit: Duration) -> Self {
        let deadline = Deadline::new(limit);
        Self {
            state: State::Running { inner, deadline },
            flight,
        }
    }
}

impl<F, T, E> Future for InlineRun<F, T, E>
where
    F: Future<Output = Result<Response<T>, E>>,
{
    type Output = Ran<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Running { inner, deadline } => {
                    let answer = match inner.poll(cx) {
                        Poll::Ready(answer) => answer,
                        Poll::Pending => {
                            ready!(deadline.poll(cx));
                            this.state.set(State::Dropped);
                            continue;
                        }
                    };
                    let closing = match &answer {
                        Ok(response) => this.flight.answered(response.status().as_u16()),
                        Err(_) => this.flight.failed(),
                    };
                    this.state.set(State::Answered {
                        closing,
                        answer: Some(answer),
                    });
                }
                StateProj::Answered { closing, answer } => {
                    ready!(Pin::new(closing).poll(cx));
                    return Poll::Ready(Ok(take(answer)));
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

impl<F, T, E> fmt::Debug for InlineRun<F, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InlineRun")
            .field("flight", &self.flight)
            .finish_non_exhaustive()
    }
}

/// A run in a task of its own. Dropping it leaves that task alone.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct DetachedRun<T> {
    task: JoinHandle<T>,
}

impl<T> Future for DetachedRun<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match ready!(Pin::new(&mut self.task).poll(cx)) {
            Ok(ran) => Poll::Ready(ran),
            Err(error) => match error.try_into_panic() {
                // As if it had run here.
                Ok(panic) => resume_unwind(panic),
                // Nobody aborts it but a runtime that shuts down, and that drops this one, too.
                Err(_) => Poll::Pending,
            },
        }
    }
}
