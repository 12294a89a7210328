//! What is there now, or comes later.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A future that is ready, or in a box: what need not wait costs no allocation.
#[must_use = "futures do nothing unless polled"]
pub(crate) enum Eventual<T> {
    Now(Option<T>),
    Later(Pin<Box<dyn Future<Output = T> + Send>>),
}

impl<T> Eventual<T> {
    pub(crate) fn now(value: T) -> Self {
        Self::Now(Some(value))
    }

    pub(crate) fn later(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self::Later(Box::pin(future))
    }
}

// The value is never pinned.
impl<T> Unpin for Eventual<T> {}

impl<T> Future for Eventual<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match &mut *self {
            Self::Now(value) => Poll::Ready(once(value)),
            Self::Later(future) => future.as_mut().poll(cx),
        }
    }
}

impl<T> fmt::Debug for Eventual<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Now(_) => "ready",
            Self::Later(_) => "waiting",
        })
    }
}

/// What a future keeps for its end.
///
/// # Panics
///
/// It was taken before: a future is not polled once it is done.
#[expect(clippy::expect_used, reason = "a future is not polled once it is done")]
pub(crate) fn once<T>(kept: &mut Option<T>) -> T {
    kept.take().expect("polled after it was done")
}
