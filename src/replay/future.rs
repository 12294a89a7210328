//! The future of a guard's answer.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use super::GuardError;
use crate::eventual::Eventual;
use crate::metrics::Request;

type Answer<T> = Result<T, GuardError>;

/// The future of a guard's answer: a value that is ready, or a boxed future.
///
/// A guard that never waits returns [`ready`](Self::ready), which does not allocate.
#[must_use = "futures do nothing unless polled"]
pub struct GuardFuture<T> {
    answer: Eventual<Answer<T>>,
    reach: Reach,
    /// It does not say when it has sent its request: that may be at any poll.
    untracked: bool,
    request: Request,
}

/// Says whether a request has reached the store, for [`GuardFuture::tracked`].
///
/// It is cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Reach(Option<Arc<AtomicBool>>);

impl Reach {
    /// Says that the request is on its way: from here on the store may carry it out.
    pub fn sent(&self) {
        self.set(true);
    }

    /// Says that the store has not carried it out, and will not: it refused the request.
    pub fn refused(&self) {
        self.set(false);
    }

    fn set(&self, reached: bool) {
        if let Some(flag) = &self.0 {
            // It guards no other memory: whoever reads it has polled the future, or owns it.
            flag.store(reached, Ordering::Relaxed);
        }
    }

    /// Whether the store may have carried out the request, or may do so yet.
    pub(crate) fn get(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|flag| flag.load(Ordering::Relaxed))
    }
}

impl<T> GuardFuture<T> {
    /// Returns a future that is ready with `answer`.
    pub fn ready(answer: Answer<T>) -> Self {
        Self {
            answer: Eventual::now(answer),
            reach: Reach::default(),
            untracked: false,
            request: Request::default(),
        }
    }

    /// Returns a future that waits for `future`.
    ///
    /// From its first poll on, the store counts as having the request. If your guard waits for
    /// something before it sends, such as a connection of a pool, use [`tracked`](Self::tracked).
    pub fn boxed(future: impl Future<Output = Answer<T>> + Send + 'static) -> Self {
        Self {
            answer: Eventual::later(future),
            reach: Reach(Some(Arc::default())),
            untracked: true,
            request: Request::default(),
        }
    }

    /// Returns a future that says when its request has been sent.
    ///
    /// A delivery that is given up before [`Reach::sent`] costs nothing: its future is dropped. One
    /// that is given up later is awaited in the background, and its claim is released.
    ///
    /// ```
    /// use gemini_webhooks::replay::{Claimed, GuardFuture};
    ///
    /// # async fn connection() {}
    /// # async fn ask(_: ()) -> Result<Claimed, gemini_webhooks::replay::GuardError> { Ok(Claimed::Claimed) }
    /// let claim = GuardFuture::tracked(|reach| async move {
    ///     let connection = connection().await;
    ///     reach.sent();
    ///     ask(connection).await
    /// });
    /// # drop(claim);
    /// ```
    pub fn tracked<F>(future: impl FnOnce(Reach) -> F) -> Self
    where
        F: Future<Output = Answer<T>> + Send + 'static,
    {
        let reach = Reach(Some(Arc::default()));
        Self {
            answer: Eventual::later(future(reach.clone())),
            reach,
            untracked: false,
            request: Request::default(),
        }
    }

    /// A request that broke off in the guard: nobody knows how far it came.
    pub(crate) fn broken_off(error: GuardError) -> Self {
        Self {
            answer: Eventual::now(Err(error)),
            reach: Reach(Some(Arc::new(AtomicBool::new(true)))),
            untracked: false,
            request: Request::default(),
        }
    }

    /// Returns the answer if it is ready.
    pub(crate) fn now(mut self) -> Result<Answer<T>, Self> {
        match self.answer {
            Eventual::Now(Some(answer)) => {
                self.request.ended(answer.is_ok());
                Ok(answer)
            }
            answer => Err(Self { answer, ..self }),
        }
    }

    /// Measures `request` by this answer.
    pub(crate) fn answering(self, request: Request) -> Self {
        Self { request, ..self }
    }

    /// Nobody waits any more, or it panicked: it counts as failed, whatever is answered later.
    pub(crate) fn given_up(&mut self) {
        self.request.ended(false);
    }

    /// Whether its request was sent, and its answer is still to come.
    pub(crate) fn is_awaited(&self) -> bool {
        self.reach.get() && matches!(self.answer, Eventual::Later(_))
    }

    pub(crate) fn reach(&self) -> Reach {
        self.reach.clone()
    }
}

impl<T> Future for GuardFuture<T> {
    type Output = Answer<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer<T>> {
        if self.untracked {
            self.reach.sent();
        }
        let answer = std::task::ready!(Pin::new(&mut self.answer).poll(cx));
        // So that nobody asks it again: its future is done.
        self.answer = Eventual::Now(None);
        self.request.ended(answer.is_ok());
        Poll::Ready(answer)
    }
}

impl<T> fmt::Debug for GuardFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GuardFuture").field(&self.answer).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn poll<T>(future: &mut GuardFuture<T>) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        Pin::new(future).poll(&mut cx).is_ready()
    }

    /// Whether its request was sent, and whether its answer is awaited, before it is polled and after.
    #[test]
    fn how_far_a_request_came() {
        type Make = fn() -> GuardFuture<()>;
        type Seen = (bool, bool);
        let cases: [(&str, Make, Seen, Seen); 6] = [
            (
                "ready",
                || GuardFuture::ready(Ok(())),
                (false, false),
                (false, false),
            ),
            (
                "boxed, answered",
                || GuardFuture::boxed(ready(Ok(()))),
                (false, false),
                (true, false),
            ),
            (
                "boxed",
                || GuardFuture::boxed(pending()),
                (false, false),
                (true, true),
            ),
            (
                "tracked, not sent",
                || GuardFuture::tracked(|_| pending()),
                (false, false),
                (false, false),
            ),
            (
                "tracked, sent",
                || {
                    GuardFuture::tracked(|reach| async move {
                        reach.sent();
                        pending().await
                    })
                },
                (false, false),
                (true, true),
            ),
            (
                "tracked, sent and refused",
                || {
                    GuardFuture::tracked(|reach| async move {
                        reach.sent();
                        reach.refused();
                        pending().await
                    })
                },
                (false, false),
                (false, false),
            ),
        ];
        let seen = |future: &GuardFuture<()>| (future.reach().get(), future.is_awaited());
        for (name, make, before, after) in cases {
            let mut future = make();
            assert_eq!(seen(&future), before, "{name}, before");
            poll(&mut future);
            assert_eq!(seen(&future), after, "{name}, after");
        }
        let broken: GuardFuture<()> = GuardFuture::broken_off(GuardError::broken("it panicked"));
        assert_eq!(seen(&broken), (true, false));
    }

    #[test]
    fn an_answer_that_is_ready_is_had_at_once_and_any_other_goes_on() {
        let now = GuardFuture::ready(Ok(7)).now().ok();
        assert!(matches!(now, Some(Ok(7))));
        let later = GuardFuture::boxed(ready(Ok(7))).now();
        let mut later = later.err().unwrap();
        assert!(poll(&mut later));
    }

    #[test]
    fn debug_shows_whether_it_waits() {
        let shown = format!("{:?}", GuardFuture::ready(Ok(7)));
        assert_eq!(shown, "GuardFuture(ready)");
    }
}
