//! The future of a guard's answer.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::GuardError;
use crate::eventual::Eventual;

type Answer<T> = Result<T, GuardError>;

/// The future of a guard's answer: a value that is ready, or a boxed future.
///
/// A guard that never waits returns [`ready`](Self::ready), which does not allocate.
#[must_use = "futures do nothing unless polled"]
pub struct GuardFuture<T>(Eventual<Answer<T>>);

impl<T> GuardFuture<T> {
    /// Returns a future that is ready with `answer`.
    pub fn ready(answer: Answer<T>) -> Self {
        Self(Eventual::now(answer))
    }

    /// Returns a future that waits for `future`.
    pub fn boxed(future: impl Future<Output = Answer<T>> + Send + 'static) -> Self {
        Self(Eventual::later(future))
    }

    /// Returns the answer if it is ready.
    pub(crate) fn now(self) -> Result<Answer<T>, Self> {
        match self.0 {
            Eventual::Now(Some(answer)) => Ok(answer),
            other => Err(Self(other)),
        }
    }
}

impl<T> Future for GuardFuture<T> {
    type Output = Answer<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer<T>> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> fmt::Debug for GuardFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GuardFuture").field(&self.0).finish()
    }
}
