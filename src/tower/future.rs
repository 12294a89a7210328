use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::request::Parts;
use http::{HeaderValue, Request, Response, Version};
use http_body::Body;
use http_body_util::Full;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{JsonRefusal, RefusalResponse, ResponseBody};
use crate::adapter::{Arrival, Drain, Finish, Finished, Flight, Intake, Received, Rest};
use crate::contained::contained;
use crate::error::{BoxError, VerifyError};
use crate::eventual::once;
use crate::trace;

pin_project! {
    /// The future of [`Verify`](super::Verify), from reading the body to the answer.
    ///
    /// It reads and verifies the body, claims the event (marks it as being handled), runs the inner
    /// service, and settles or releases the claim.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B, R>
    where
        S: Service<Request<Full<Bytes>>>,
    {
        #[pin]
        state: State<S::Future, R>,
        // Until it has been read, or is left alone.
        #[pin]
        body: Option<B>,
        http1: bool,
        // Taken once the delivery is verified.
        call: Option<Call<S>>,
        response: Arc<dyn RefusalResponse>,
        run: fn(S::Future, Flight) -> R,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, R> {
        Passing {
            #[pin]
            inner: F,
        },
        Reading {
            #[pin]
            arrival: Arrival,
        },
        Verifying {
            finish: Finish,
        },
        Running {
            #[pin]
            run: R,
        },
        Draining {
            #[pin]
            drain: Drain,
            error: VerifyError,
        },
        Refused {
            error: VerifyError,
            close: bool,
        },
    }
}

/// What waits to be called, and what with.
struct Call<S> {
    head: Parts,
    ready: S,
}

impl<F, R> State<F, R> {
    /// `unasked`: the sender waits to be asked for the body. `length`: of what is to come at least.
    fn refused(error: VerifyError, http1: bool, unasked: bool, length: u64) -> Self {
        match Rest::of(&error, http1, unasked, length) {
            Rest::Drain => Self::Draining {
                drain: Drain::new(),
                error,
            },
            rest => Self::Refused {
                error,
                close: rest == Rest::Close,
            },
        }
    }
}

impl<S, B, R> ResponseFuture<S, B, R>
where
    S: Service<Request<Full<Bytes>>>,
{
    /// Waits for `inner`, which was called with a delivery that has been verified.
    pub(super) fn pass(
        inner: S::Future,
        response: Arc<dyn RefusalResponse>,
        run: fn(S::Future, Flight) -> R,
    ) -> Self {
        Self {
            state: State::Passing { inner },
            body: None,
            http1: false,
            call: None,
            response,
            run,
        }
    }

    /// Reads the body of `request`, for `ready` to be called with.
    pub(super) fn read(
        request: Request<B>,
        intake: Intake,
        ready: S,
        response: Arc<dyn RefusalResponse>,
        run: fn(S::Future, Flight) -> R,
    ) -> Self {
        let (head, body) = request.into_parts();
        Self {
            state: State::Reading {
                arrival: Arrival::new(intake),
            },
            body: Some(body),
            http1: head.version <= Version::HTTP_11,
            call: Some(Call { head, ready }),
            response,
            run,
        }
    }
}

impl<S, B, R> ResponseFuture<S, B, R>
where
    S: Service<Request<Full<Bytes>>>,
    B: Body,
{
    /// Refuses `request`.
    pub(super) fn refuse(
        request: Request<B>,
        error: VerifyError,
        response: Arc<dyn RefusalResponse>,
        run: fn(S::Future, Flight) -> R,
    ) -> Self {
        let http1 = request.version() <= Version::HTTP_11;
        let mut expected = request.headers().get_all(EXPECT).iter();
        let unasked = expected.any(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        let length = request.body().size_hint().lower();
        Self {
            state: State::refused(error, http1, unasked, length),
            body: Some(request.into_body()),
            http1,
            call: None,
            response,
            run,
        }
    }
}

impl<S, B, R, ResBody> Future for ResponseFuture<S, B, R>
where
    S: Service<Request<Full<Bytes>>, Response = Response<ResBody>>,
    B: Body,
    B::Error: Into<BoxError>,
    R: Future<Output = Result<Result<Response<ResBody>, S::Error>, VerifyError>>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (error, close) = loop {
            let parts = |cx: &mut Context<'_>| poll_part(this.body.as_mut().as_pin_mut(), cx);
            match this.state.as_mut().project() {
                StateProj::Passing { inner } => return inner.poll(cx).map(answer),
                StateProj::Reading { arrival } => match ready!(arrival.poll(cx, parts)) {
                    Ok(finish) => {
                        this.body.set(None);
                        this.state.set(State::Verifying { finish });
                    }
                    Err(error) => {
                        // Others may have what it held.
                        *this.call = None;
                        let length = this.body.as_ref().get_ref().as_ref();
                        let length = length.map_or(0, |body| body.size_hint().lower());
                        this.state
                            .set(State::refused(error, *this.http1, false, length));
                    }
                },
                StateProj::Verifying { finish } => {
                    let received = match ready!(Pin::new(finish).poll(cx)) {
                        Ok(Finished::Run(received)) => received,
                        Ok(Finished::Repeat) => {
                            let done = Response::new(ResponseBody::refusal(Bytes::new()));
                            return Poll::Ready(Ok(done));
                        }
                        Err(error) => break (error, false),
                    };
                    let (inner, flight) = once(this.call).with(received);
                    let run = (this.run)(inner, flight);
                    this.state.set(State::Running { run });
                }
                StateProj::Running { run } => match ready!(run.poll(cx)) {
                    Ok(ran) => return Poll::Ready(answer(ran)),
                    Err(error) => break (error, false),
                },
                StateProj::Draining { drain, error } => {
                    let whole = ready!(drain.poll(cx, parts));
                    break (error.clone(), !whole);
                }
                StateProj::Refused { error, close } => break (error.clone(), *close),
            }
        };
        this.body.set(None);
        let response = contained(|| this.response.response(&error)).unwrap_or_else(|| {
            trace::response_panicked();
            JsonRefusal.response(&error)
        });
        let mut response = response.map(ResponseBody::refusal);
        response.extensions_mut().insert(error);
        if close {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        Poll::Ready(Ok(response))
    }
}

fn answer<B, E>(ran: Result<Response<B>, E>) -> Result<Response<ResponseBody<B>>, E> {
    ran.map(|response| response.map(ResponseBody::inner))
}

impl<S: Service<Request<Full<Bytes>>>> Call<S> {
    fn with(self, received: Received) -> (S::Future, Flight) {
        let Self {
            mut head,
            mut ready,
        } = self;
        for (name, value) in received.header_corrections() {
            head.headers.remove(name);
            // A number and a type: they are always valid.
            if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
                head.headers.insert(name, value);
            }
        }
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
        (ready.call(request), flight)
    }
}

/// The next part of a body. Trailers end it: they are nothing that was signed, and nothing may
/// come after them.
fn poll_part<B: Body>(
    body: Option<Pin<&mut B>>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<B::Data, B::Error>>> {
    let Some(body) = body else {
        return Poll::Ready(None);
    };
    Poll::Ready(match ready!(body.poll_frame(cx)) {
        Some(Ok(frame)) => frame.into_data().ok().map(Ok),
        Some(Err(error)) => Some(Err(error)),
        None => None,
    })
}

impl<S, B, R> fmt::Debug for ResponseFuture<S, B, R>
where
    S: Service<Request<Full<Bytes>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Passing { .. } => "passing",
            State::Reading { .. } => "reading",
            State::Verifying { .. } => "verifying",
            State::Running { .. } => "running",
            State::Draining { .. } | State::Refused { .. } => "refused",
        };
        f.debug_struct("ResponseFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
