//! An answer that is there, or is waited for.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::GuardError;

type Answer<T> = Result<T, GuardError>;

/// The answer of a guard: ready, or in a box. So a guard that never waits costs no allocation, and
/// the trait is object-safe.
#[must_use = "futures do nothing unless polled"]
pub struct GuardFuture<T> {
    state: State<T>,
}

enum State<T> {
    Ready(Option<Answer<T>>),
    Boxed(Pin<Box<dyn Future<Output = Answer<T>> + Send>>),
}

impl<T> GuardFuture<T> {
    /// An answer that is there.
    pub fn ready(answer: Answer<T>) -> Self {
        Self {
            state: State::Ready(Some(answer)),
        }
    }

    /// An answer that has to be waited for.
    pub fn boxed(future: impl Future<Output = Answer<T>> + Send + 'static) -> Self {
        Self {
            state: State::Boxed(Box::pin(future)),
        }
    }

    /// The answer, if it is there.
    pub(crate) fn now(self) -> Result<Answer<T>, Self> {
        match self.state {
            State::Ready(Some(answer)) => Ok(answer),
            state => Err(Self { state }),
        }
    }
}

// The answer is never pinned.
impl<T> Unpin for GuardFuture<T> {}

impl<T> Future for GuardFuture<T> {
    type Output = Answer<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer<T>> {
        match &mut self.state {
            #[expect(clippy::expect_used, reason = "a future is not polled once it is done")]
            State::Ready(answer) => Poll::Ready(answer.take().expect("polled after it was done")),
            State::Boxed(future) => future.as_mut().poll(cx),
        }
    }
}

impl<T> fmt::Debug for GuardFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Ready(_) => "ready",
            State::Boxed(_) => "boxed",
        };
        f.debug_tuple("GuardFuture").field(&state).finish()
    }
}
