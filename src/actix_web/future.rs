use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use ::actix_web::body::{EitherBody, MessageBody};
use ::actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse};
use ::actix_web::error::PayloadError;
use ::actix_web::http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, TRAILER, TRANSFER_ENCODING,
};
use ::actix_web::{Error, HttpMessage as _, HttpResponse};
use bytes::Bytes;
use futures_core::Stream;
use pin_project_lite::pin_project;

use super::guard;
use super::middleware::{Arriving, ErrorHandler};
use crate::error::VerifyError;
use crate::receiver::{Arrival, Finish, Finished, Received, Run};

pin_project! {
    /// The future of [`VerifyService`](super::VerifyService): reads the body, verifies, claims, runs
    /// the handler.
    #[must_use = "futures do nothing unless polled"]
    pub struct VerifyFuture<S>
    where
        S: Service<ServiceRequest>,
    {
        #[pin]
        state: State<S::Future>,
        // Taken once it is refused, or the handler runs.
        request: Option<ServiceRequest>,
        service: Rc<S>,
        error_handler: Option<ErrorHandler>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F: Future> {
        Refused {
            error: VerifyError,
        },
        Reading {
            payload: Payload,
            #[pin]
            arrival: Arrival,
        },
        Verifying {
            finish: Finish,
        },
        Running {
            #[pin]
            run: Run<F>,
        },
    }
}

impl<S: Service<ServiceRequest>> VerifyFuture<S> {
    pub(super) fn new(
        request: ServiceRequest,
        arriving: Result<Arriving, VerifyError>,
        service: Rc<S>,
        error_handler: Option<ErrorHandler>,
    ) -> Self {
        let state = match arriving {
            Err(error) => State::Refused { error },
            Ok((intake, payload)) => State::Reading {
                payload,
                arrival: Arrival::new(intake),
            },
        };
        Self {
            state,
            request: Some(request),
            service,
            error_handler,
        }
    }
}

impl<S, B> Future for VerifyFuture<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    type Output = Result<ServiceResponse<EitherBody<B>>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let error = loop {
            match this.state.as_mut().project() {
                StateProj::Refused { error } => break error.clone(),
                StateProj::Reading { payload, arrival } => {
                    let parts = |cx: &mut Context<'_>| Pin::new(&mut *payload).poll_next(cx);
                    match ready!(arrival.poll(cx, parts)) {
                        Ok(finish) => this.state.set(State::Verifying { finish }),
                        Err(error) => break error,
                    }
                }
                StateProj::Verifying { finish } => {
                    let received = match ready!(Pin::new(finish).poll(cx)) {
                        Ok(Finished::Run(received)) => received,
                        Ok(Finished::Repeat) => {
                            let response = HttpResponse::Ok().finish().map_into_right_body();
                            return Poll::Ready(Ok(take(this.request).into_response(response)));
                        }
                        Err(error) => break error,
                    };
                    let (request, flight) = put_back(take(this.request), received);
                    let run = Run::new(this.service.call(request), flight, status);
                    this.state.set(State::Running { run });
                }
                StateProj::Running { run } => {
                    let answer = ready!(run.poll(cx));
                    // The request went along with the handler, so the error is all there is to
                    // answer a handler that took too long.
                    let response = answer.unwrap_or_else(|error| Err(error.into()))?;
                    guard::check_routes(&response);
                    return Poll::Ready(Ok(response.map_into_left_body()));
                }
            }
        };
        let request = take(this.request);
        let error = match this.error_handler {
            Some(handler) => handler(error, request.request()),
            None => error.into(),
        };
        let response = request.error_response(error);
        Poll::Ready(Ok(response.map_into_right_body()))
    }
}

/// The request as the handler is to see it: with the body that was verified, the event and how it
/// came.
fn put_back(
    mut request: ServiceRequest,
    received: Received,
) -> (ServiceRequest, crate::receiver::Flight) {
    let Received {
        event,
        delivery,
        body,
        flight,
        ..
    } = received;
    if !delivery.id_is_signed() {
        // The event was in a header, so what is said of the body is of something else.
        let headers = request.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for name in [CONTENT_ENCODING, TRANSFER_ENCODING, TRAILER] {
            headers.remove(name);
        }
    }
    let whole: Pin<Box<dyn Stream<Item = _>>> = Box::pin(Whole(Some(body)));
    request.set_payload(Payload::from(whole));
    let mut extensions = request.extensions_mut();
    extensions.insert(event);
    extensions.insert(delivery);
    drop(extensions);
    (request, flight)
}

/// A body that is there.
struct Whole(Option<Bytes>);

impl Stream for Whole {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.take().filter(|body| !body.is_empty()).map(Ok))
    }
}

/// An error is answered with a status of its own, further out.
fn status<B>(answer: &Result<ServiceResponse<B>, Error>) -> Option<u16> {
    match answer {
        Ok(response) => Some(response.status().as_u16()),
        Err(error) => Some(error.as_response_error().status_code().as_u16()),
    }
}

#[expect(clippy::expect_used, reason = "a future is not polled once it is done")]
fn take<T>(waiting: &mut Option<T>) -> T {
    waiting.take().expect("polled after it was done")
}

impl<S: Service<ServiceRequest>> fmt::Debug for VerifyFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Refused { .. } => "refused",
            State::Reading { .. } => "reading",
            State::Verifying { .. } => "verifying",
            State::Running { .. } => "running",
        };
        f.debug_struct("VerifyFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
