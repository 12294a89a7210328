use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::Full;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{RefusalResponse, ResponseBody};
use crate::error::{BoxError, VerifyError};
use crate::eventual::once;
use crate::receiver::{Arrival, Finish, Finished, Flight, Intake, Received};

pin_project! {
    /// The future of [`Verify`](super::Verify): reads the body, verifies, claims, runs the inner
    /// service.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B, R>
    where
        S: Service<Request<Full<Bytes>>>,
    {
        #[pin]
        state: State<B, R>,
        // Taken once the delivery is verified.
        call: Option<Call<S>>,
        response: Arc<dyn RefusalResponse>,
        run: fn(S::Future, Flight) -> R,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<B, R> {
        Refused {
            error: VerifyError,
        },
        Reading {
            #[pin]
            body: B,
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
        response: Arc<dyn RefusalResponse>,
        run: fn(S::Future, Flight) -> R,
    ) -> Self {
        let (state, call) = match intake {
            Err(error) => (State::Refused { error }, None),
            Ok(intake) => {
                let (head, body) = request.into_parts();
                let arrival = Arrival::new(intake);
                let ready = ready();
                (State::Reading { body, arrival }, Some(Call { head, ready }))
            }
        };
        Self {
            state,
            call,
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
        let error = loop {
            match this.state.as_mut().project() {
                StateProj::Refused { error } => break error.clone(),
                StateProj::Reading { body, arrival } => {
                    match ready!(poll_body(body, arrival, cx)) {
                        Ok(finish) => this.state.set(State::Verifying { finish }),
                        Err(error) => break error,
                    }
                }
                StateProj::Verifying { finish } => {
                    let received = match ready!(Pin::new(finish).poll(cx)) {
                        Ok(Finished::Run(received)) => received,
                        Ok(Finished::Repeat) => {
                            let done = Response::new(ResponseBody::refusal(Bytes::new()));
                            return Poll::Ready(Ok(done));
                        }
                        Err(error) => break error,
                    };
                    let (inner, flight) = once(this.call).with(received);
                    let run = (this.run)(inner, flight);
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

/// Hands the frames of the body over, to the last one. Trailers are nothing that was signed.
fn poll_body<B>(
    mut body: Pin<&mut B>,
    arrival: Pin<&mut Arrival>,
    cx: &mut Context<'_>,
) -> Poll<Result<Finish, VerifyError>>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    arrival.poll(cx, |cx| {
        loop {
            match ready!(body.as_mut().poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
            }
        }
    })
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
