//! An answer that is there, or is waited for.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::GuardError;
use crate::eventual::Eventual;

type Answer<T> = Result<T, GuardError>;

/// The answer of a guard: ready, or in a box. So a guard that never waits costs no allocation, and
/// the trait is object-safe.
#[must_use = "futures do nothing unless polled"]
pub struct GuardFuture<T>(Eventual<Answer<T>>);

impl<T> GuardFuture<T> {
    /// An answer that is there.
    pub fn ready(answer: Answer<T>) -> Self {
        Self(Eventual::now(answer))
    }

    /// An answer that has to be waited for.
    pub fn boxed(future: impl Future<Output = Answer<T>> + Send + 'static) -> Self {
        Self(Eventual::later(future))
    }

    /// The answer, if it is there.
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
