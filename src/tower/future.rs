use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::deadline::Deadline;
use super::run::Ran;
use super::{RefusalResponse, ResponseBody};
use crate::error::{BoxError, VerifyError};
use crate::receiver::{Finish, Finished, Flight, Intake, Received, WebhookReceiver};

/// Frames taken in one go before other tasks get their turn. A body of nothing but empty frames
/// would otherwise keep a thread busy without ever meeting a limit.
const FRAMES_PER_POLL: usize = 64;

pin_project! {
    /// The future of [`Verify`](super::Verify): reads the body, verifies, claims, runs the inner
    /// service.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B, R>
    where
        S: Service<Request<Full<Bytes>>>,
    {
        #[pin]
        state: State<S, B, R>,
        response: Arc<dyn RefusalResponse>,
        handler_timeout: Duration,
        run: fn(S::Future, Flight, Duration) -> R,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, R> {
        Refused {
            error: VerifyError,
        },
        Reading {
            #[pin]
            body: B,
            #[pin]
            deadline: Deadline,
            yielded: bool,
            // Taken once the body is there.
            waiting: Option<(Intake, Call<S>)>,
        },
        Verifying {
            finish: Finish,
            // Taken once that is done.
            call: Option<Call<S>>,
        },
        Running {
            #[pin]
            run: R,
        },
    }
}

/// What waits to be called, and what with.
struct Call<S> {
    head: Parts,
    ready: S,
}

impl<S, B, R> ResponseFuture<S, B, R>
where
    S: Service<Request<Full<Bytes>>>,
{
    /// Refuses `request`, or reads its body for `ready` to be called with.
    pub(super) fn new(
        request: Request<B>,
        intake: Result<Intake, VerifyError>,
        ready: impl FnOnce() -> S,
        receiver: &WebhookReceiver,
        response: Arc<dyn RefusalResponse>,
        run: fn(S::Future, Flight, Duration) -> R,
    ) -> Self {
        let state = match intake {
            Err(error) => State::Refused { error },
            Ok(intake) => {
                let (head, body) = request.into_parts();
                let ready = ready();
                State::Reading {
                    body,
                    deadline: Deadline::new(receiver.body_timeout()),
                    yielded: false,
                    waiting: Some((intake, Call { head, ready })),
                }
            }
        };
        Self {
            state,
            response,
            handler_timeout: receiver.handler_timeout(),
            run,
        }
    }
}

impl<S, B, R, ResBody> Future for ResponseFuture<S, B, R>
where
    S: Service<Request<Full<Bytes>>, Response = Response<ResBody>>,
    B: Body,
    B::Error: Into<BoxError>,
    R: Future<Output = Ran<ResBody, S::Error>>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let error = loop {
            match this.state.as_mut().project() {
                StateProj::Refused { error } => break error.clone(),
                StateProj::Reading {
                    body,
                    deadline,
                    yielded,
                    waiting,
                } => {
                    if let Some((intake, _)) = waiting
                        && let Err(error) = ready!(poll_body(body, deadline, yielded, intake, cx))
                    {
                        break error;
                    }
                    let (intake, call) = take(waiting);
                    this.state.set(State::Verifying {
                        finish: intake.finish(),
                        call: Some(call),
                    });
                }
                StateProj::Verifying { finish, call } => {
                    let received = match ready!(Pin::new(finish).poll(cx)) {
                        Ok(Finished::Run(received)) => received,
                        Ok(Finished::Repeat) => {
                            let done = Response::new(ResponseBody::refusal(Bytes::new()));
                            return Poll::Ready(Ok(done));
                        }
                        Err(error) => break error,
                    };
                    let Call { head, mut ready } = take(call);
                    let Received {
                        event,
                        delivery,
                        body,
                        flight,
                        ..
                    } = received;
                    let mut request = Request::from_parts(head, Full::new(body));
                    request.extensions_mut().insert(event);
                    request.extensions_mut().insert(delivery);
                    let run = (this.run)(ready.call(request), flight, *this.handler_timeout);
                    this.state.set(State::Running { run });
                }
                StateProj::Running { run } => match ready!(run.poll(cx)) {
                    Ok(answer) => {
                        let answer = answer.map(|response| response.map(ResponseBody::inner));
                        return Poll::Ready(answer);
                    }
                    Err(error) => break error,
                },
            }
        };
        let mut response = this.response.response(&error).map(ResponseBody::refusal);
        response.extensions_mut().insert(error);
        Poll::Ready(Ok(response))
    }
}

#[expect(clippy::expect_used, reason = "a future is not polled once it is done")]
pub(super) fn take<T>(waiting: &mut Option<T>) -> T {
    waiting.take().expect("polled after it was done")
}

/// Hands the frames of the body to `intake`, to the last one.
fn poll_body<B>(
    mut body: Pin<&mut B>,
    deadline: Pin<&mut Deadline>,
    yielded: &mut bool,
    intake: &mut Intake,
    cx: &mut Context<'_>,
) -> Poll<Result<(), VerifyError>>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    for _ in 0..FRAMES_PER_POLL {
        match body.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                // Trailers are nothing that was signed.
                if let Ok(data) = frame.into_data()
                    && data.has_remaining()
                {
                    intake.push(data)?;
                }
            }
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(intake.broke_off(error))),
            Poll::Ready(None) => return Poll::Ready(Ok(())),
            Poll::Pending if *yielded => {
                ready!(deadline.poll(cx));
                return Poll::Ready(Err(intake.timed_out()));
            }
            Poll::Pending => {
                // hyper reads the head first, so nearly every body has to be waited for once and
                // is there at the next poll: a timer for that would be wasted. But a sender that
                // sends nothing more causes no next poll, so ask for one.
                *yielded = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
    *yielded = true;
    cx.waker().wake_by_ref();
    ready!(deadline.poll(cx));
    Poll::Ready(Err(intake.timed_out()))
}

impl<S, B, R> fmt::Debug for ResponseFuture<S, B, R>
where
    S: Service<Request<Full<Bytes>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Refused { .. } => "refused",
            State::Reading { .. } => "reading",
            State::Verifying { .. } => "verifying",
            State::Running { .. } => "running",
        };
        f.debug_struct("ResponseFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
