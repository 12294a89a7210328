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
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use super::{RefusalResponse, ResponseBody};
use crate::error::{BoxError, VerifyError};
use crate::receiver::{Finish, Flight, Intake, Received, WebhookReceiver};

/// Frames taken in one go before other tasks get their turn. A body of nothing but empty frames
/// would otherwise keep a thread busy without ever meeting a limit.
const FRAMES_PER_POLL: usize = 64;

pin_project! {
    /// The future of [`Verify`](super::Verify): reads the body, verifies, runs the inner service.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<Full<Bytes>>>,
    {
        #[pin]
        state: State<S, B, S::Future>,
        response: Arc<dyn RefusalResponse>,
        handler_timeout: Duration,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, F> {
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
            inner: F,
            #[pin]
            deadline: Deadline,
            flight: Flight,
        },
    }
}

/// What waits to be called, and what with.
struct Call<S> {
    head: Parts,
    ready: S,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<Full<Bytes>>>,
{
    pub(super) fn refuse(error: VerifyError, response: Arc<dyn RefusalResponse>) -> Self {
        Self {
            state: State::Refused { error },
            response,
            handler_timeout: Duration::ZERO,
        }
    }

    pub(super) fn read(
        request: Request<B>,
        intake: Intake,
        ready: S,
        receiver: &WebhookReceiver,
        response: Arc<dyn RefusalResponse>,
    ) -> Self {
        let (head, body) = request.into_parts();
        Self {
            state: State::Reading {
                body,
                deadline: Deadline::new(receiver.body_timeout()),
                yielded: false,
                waiting: Some((intake, Call { head, ready })),
            },
            response,
            handler_timeout: receiver.handler_timeout(),
        }
    }
}

impl<S, B, ResBody> Future for ResponseFuture<S, B>
where
    S: Service<Request<Full<Bytes>>, Response = Response<ResBody>>,
    B: Body,
    B::Error: Into<BoxError>,
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
                        Ok(received) => received,
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
                    let inner = ready.call(request);
                    let deadline = Deadline::new(*this.handler_timeout);
                    this.state.set(State::Running {
                        inner,
                        deadline,
                        flight,
                    });
                }
                StateProj::Running {
                    inner,
                    deadline,
                    flight,
                } => {
                    match inner.poll(cx) {
                        Poll::Ready(Ok(response)) => {
                            flight.answered(response.status().as_u16());
                            return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                        }
                        Poll::Ready(Err(error)) => {
                            flight.failed();
                            return Poll::Ready(Err(error));
                        }
                        Poll::Pending => {}
                    }
                    ready!(deadline.poll(cx));
                    break flight.timed_out();
                }
            }
        };
        let mut response = this.response.response(&error).map(ResponseBody::refusal);
        response.extensions_mut().insert(error);
        Poll::Ready(Ok(response))
    }
}

#[expect(clippy::expect_used, reason = "a future is not polled once it is done")]
fn take<T>(waiting: &mut Option<T>) -> T {
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

pin_project! {
    /// A time limit that begins when it is first polled.
    struct Deadline {
        after: Duration,
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl Deadline {
    fn new(after: Duration) -> Self {
        Self { after, sleep: None }
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.sleep.is_none() {
            this.sleep.set(Some(sleep(*this.after)));
        }
        match this.sleep.as_pin_mut() {
            Some(sleep) => sleep.poll(cx),
            None => Poll::Pending,
        }
    }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
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
