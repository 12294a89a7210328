//! The rest of the body of a refused delivery.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;
use pin_project_lite::pin_project;

use super::arrival::{Deadline, PARTS_PER_POLL};
use crate::error::{VerifyError, VerifyErrorKind};

/// Beyond, it is cheaper for both sides to begin a new connection.
const MAX_BYTES: u64 = 8 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);
/// Without a byte. A proxy that is sending does not pause for so long; and meanwhile the request
/// keeps busy what stands around it, such as a limit on requests.
const SILENCE: Duration = Duration::from_secs(1);

/// Says what an adapter does with the body of a refused request before it answers.
///
/// On HTTP/1, a server has to close a connection if it left a body unread. A proxy in front may
/// already have sent another delivery on that connection, and answers it with 502. The refusal itself
/// may be lost too, if the proxy is still sending. So a stranger who sends long bodies could cost
/// others their deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an adapter must do each")]
pub enum Rest {
    /// Do nothing: in HTTP/2 and later a stream ends without its connection.
    Leave,
    /// Read it with [`Drain`], keep none of it, and then answer.
    Drain,
    /// Answer at once, with `Connection: close`: the body was too slow, broke off or is too long,
    /// or the sender waits for a `100 Continue`, which reading would send.
    Close,
}

impl Rest {
    /// Returns what to do with the body of a request that was refused with `error`.
    ///
    /// - `http1`: the request came over HTTP/1.
    /// - `unasked`: it has `Expect: 100-continue`, and its body has not been asked for.
    /// - `length`: at least so many bytes are still to come; 0 if that is not known.
    #[must_use]
    pub fn of(error: &VerifyError, http1: bool, unasked: bool, length: u64) -> Self {
        let given_up = [
            VerifyErrorKind::BodyTimeout,
            VerifyErrorKind::BodyIncomplete,
        ];
        match http1 {
            false => Self::Leave,
            true if unasked || length > MAX_BYTES || given_up.contains(&error.kind()) => {
                Self::Close
            }
            true => Self::Drain,
        }
    }
}

pin_project! {
    /// Reads the rest of a body and drops it.
    ///
    /// It reads at most 8 MiB for at most 5 seconds, and stops when a second passes without a byte.
    #[must_use]
    pub struct Drain {
        left: u64,
        #[pin]
        deadline: Deadline,
        #[pin]
        silence: Deadline,
    }
}

impl Drain {
    /// Begins. The time limits run from when the body is first waited for.
    pub fn new() -> Self {
        Self {
            left: MAX_BYTES,
            deadline: Deadline::default(),
            silence: Deadline::default(),
        }
    }

    /// Takes parts from `next` until it returns `None`, and returns whether the body was complete.
    ///
    /// `false` means that it is too long, too slow, or broke off: answer with `Connection: close`.
    pub fn poll<D: Buf, E>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut next: impl FnMut(&mut Context<'_>) -> Poll<Option<Result<D, E>>>,
    ) -> Poll<bool> {
        let mut this = self.project();
        for _ in 0..PARTS_PER_POLL {
            match next(cx) {
                Poll::Ready(Some(Ok(part))) if !part.has_remaining() => {}
                Poll::Ready(Some(Ok(part))) => {
                    let length = u64::try_from(part.remaining()).unwrap_or(u64::MAX);
                    match this.left.checked_sub(length) {
                        Some(left) => *this.left = left,
                        None => return Poll::Ready(false),
                    }
                    this.silence.set(Deadline::default());
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Pending => {
                    let over = this.deadline.poll(cx, || PATIENCE).is_ready();
                    if !over {
                        ready!(this.silence.poll(cx, || SILENCE));
                    }
                    return Poll::Ready(false);
                }
            }
        }
        // A body that is always there would keep others from their turn.
        cx.waker().wake_by_ref();
        ready!(this.deadline.poll(cx, || PATIENCE));
        Poll::Ready(false)
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use bytes::Bytes;
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn what_becomes_of_the_rest() {
        use VerifyErrorKind::{
            BodyIncomplete, BodyTimeout, BodyTooLarge, MethodNotAllowed, SignatureMismatch,
        };
        for (kind, http1, unasked, expected) in [
            (SignatureMismatch, true, false, Rest::Drain),
            (BodyTooLarge, true, false, Rest::Drain),
            (MethodNotAllowed, true, false, Rest::Drain),
            (SignatureMismatch, true, true, Rest::Close),
            (BodyTimeout, true, false, Rest::Close),
            (BodyIncomplete, true, false, Rest::Close),
            (SignatureMismatch, false, false, Rest::Leave),
            (BodyTimeout, false, true, Rest::Leave),
        ] {
            let rest = Rest::of(&kind.into(), http1, unasked, 0);
            assert_eq!(rest, expected, "{kind:?}, {http1}, {unasked}");
        }
        for (length, expected) in [
            (8 << 20, Rest::Drain),
            ((8 << 20) + 1, Rest::Close),
            (u64::MAX, Rest::Close),
        ] {
            let rest = Rest::of(&BodyTooLarge.into(), true, false, length);
            assert_eq!(rest, expected, "{length}");
        }
    }

    /// Whether all of a body was read, and how many parts of it.
    async fn drained(
        mut part: impl FnMut(usize) -> Poll<Option<Result<Bytes, &'static str>>>,
    ) -> (bool, usize) {
        let (mut drain, mut parts) = (pin!(Drain::new()), 0);
        let whole = poll_fn(|cx| {
            drain.as_mut().poll(cx, |_| {
                let next = part(parts);
                parts += usize::from(matches!(next, Poll::Ready(Some(Ok(_)))));
                next
            })
        });
        (whole.await, parts)
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_read_to_its_end_or_its_limits() {
        const MIB: Bytes = Bytes::from_static(&[0; 1 << 20]);
        let of = |count| move |n| Poll::Ready((n < count).then_some(Ok(MIB)));
        assert_eq!(drained(of(0)).await, (true, 0));
        assert_eq!(drained(of(8)).await, (true, 8));
        assert_eq!(drained(of(9)).await, (false, 9));
        let broken = |n| Poll::Ready(Some(if n < 2 { Ok(MIB) } else { Err("broken") }));
        assert_eq!(drained(broken).await, (false, 2));

        let moment = Duration::from_millis(1);
        let silent = |n| {
            if n < 2 {
                Poll::Ready(Some(Ok(MIB)))
            } else {
                Poll::Pending
            }
        };
        assert!(timeout(SILENCE - moment, drained(silent)).await.is_err());
        assert_eq!(
            timeout(SILENCE + moment, drained(silent)).await,
            Ok((false, 2))
        );
    }

    /// A sender that goes on, however slowly, has the whole time.
    #[tokio::test(start_paused = true)]
    async fn a_slow_body_has_its_time() {
        for (pause, patience, expected) in [
            (900, 4.9, None),
            (900, 5.1, Some(false)),
            (1100, 0.9, None),
            (1100, 1.1, Some(false)),
        ] {
            let mut drain = pin!(Drain::new());
            let mut pause = tokio::time::interval(Duration::from_millis(pause));
            let slow = poll_fn(|cx| {
                drain.as_mut().poll(cx, |cx| {
                    let part = pause.poll_tick(cx);
                    part.map(|_| Some(Ok::<_, &str>(Bytes::from_static(b"x"))))
                })
            });
            let whole = timeout(Duration::from_secs_f64(patience), slow).await;
            assert_eq!(whole.ok(), expected, "{patience} s");
        }
    }

    /// Time has to pass by itself here.
    #[tokio::test]
    async fn parts_of_nothing_without_end_let_others_have_their_turn() {
        let endless = drained(|_| Poll::Ready(Some(Ok(Bytes::new()))));
        let moment = tokio::time::sleep(Duration::from_millis(20));
        tokio::select! {
            biased;
            _ = endless => panic!("it has no end"),
            () = moment => {}
        }
    }
}
