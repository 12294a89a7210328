//! Keeping a panic of somebody else's code where it happened.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs code that is not ours: a log, a guard, a key source, a check or a response of the app.
/// `None` if it panicked; the panic hook has told of it by then.
///
/// Such a panic must neither cut short what we have begun, such as settling a claim, nor meet
/// another one while it unwinds, which would abort the process.
pub(crate) fn contained<T>(work: impl FnOnce() -> T) -> Option<T> {
    // What was left half-way is the other side's; ours is not touched by `work`.
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// A future that is not ours. Its output is `None` if it panicked.
#[must_use = "futures do nothing unless polled"]
pub(crate) struct Contained<F>(Option<F>);

impl<F> Contained<F> {
    pub(crate) fn new(future: F) -> Self {
        Self(Some(future))
    }

    fn end(&mut self) {
        contained(|| drop(self.0.take()));
    }
}

impl<F: Future + Unpin> Future for Contained<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.0 else {
            return Poll::Ready(None);
        };
        match contained(|| Pin::new(future).poll(cx)) {
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(output)) => {
                self.end();
                Poll::Ready(Some(output))
            }
            None => {
                self.end();
                Poll::Ready(None)
            }
        }
    }
}

impl<F> Drop for Contained<F> {
    fn drop(&mut self) {
        self.end();
    }
}
