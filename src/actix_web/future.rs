use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use ::actix_web::body::{EitherBody, MessageBody};
use ::actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse};
use ::actix_web::error::PayloadError;
use ::actix_web::http::header::{HeaderName, HeaderValue};
use ::actix_web::{Error, HttpMessage as _, HttpResponse, rt};
use bytes::Bytes;
use futures_core::Stream;
use pin_project_lite::pin_project;

use super::middleware::{Beginning, ErrorHandler};
use super::{MisplacedVerifyWebhook, guard};
use crate::adapter::{Arrival, Closing, DetachedRun, Finish, Finished, Flight, Received, Run};
use crate::contained::contained;
use crate::error::VerifyError;
use crate::eventual::once;
use crate::trace;

pin_project! {
    /// The future of [`VerifyService`](super::VerifyService), from reading the body to the answer.
    ///
    /// It reads and verifies the body, claims the event (marks it as being handled), runs the
    /// handler, and settles or releases the claim.
    #[must_use = "futures do nothing unless polled"]
    pub struct VerifyFuture<S>
    where
        S: Service<ServiceRequest>,
    {
        #[pin]
        state: State<S::Future>,
        detached: bool,
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
        Misplaced {
            error: MisplacedVerifyWebhook,
            // Of an event that was claimed before that was seen.
            closing: Option<Closing>,
        },
        Passed {
            #[pin]
            handler: F,
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
        Detached {
            run: DetachedRun<F::Output>,
        },
    }
}

impl<S: Service<ServiceRequest>> VerifyFuture<S> {
    pub(super) fn new(
        request: ServiceRequest,
        beginning: Beginning,
        service: Rc<S>,
        error_handler: Option<ErrorHandler>,
        detached: bool,
    ) -> Self {
        let mut request = Some(request);
        let state = match beginning {
            Beginning::Verified => State::Passed {
                handler: service.call(once(&mut request)),
            },
            Beginning::Refused(error) => State::Refused { error },
            Beginning::Misplaced(error) => State::Misplaced {
                error,
                closing: None,
            },
            Beginning::Admitted(intake, payload) => State::Reading {
                payload,
                arrival: Arrival::new(intake),
            },
        };
        Self {
            state,
            detached,
            request,
            service,
            error_handler,
        }
    }
}

impl<S, B> Future for VerifyFuture<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Output = Result<ServiceResponse<EitherBody<B>>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let error = loop {
            match this.state.as_mut().project() {
                StateProj::Refused { error } => break error.clone(),
                StateProj::Misplaced { error, closing } => {
                    if let Some(closing) = closing {
                        ready!(Pin::new(closing).poll(cx));
                    }
                    let response = once(this.request).error_response(*error);
                    return Poll::Ready(Ok(response.map_into_right_body()));
                }
                StateProj::Passed { handler } => {
                    let answer = ready!(handler.poll(cx));
                    return Poll::Ready(answer.map(ServiceResponse::map_into_left_body));
                }
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
                            return Poll::Ready(Ok(once(this.request).into_response(response)));
                        }
                        Err(error) => break error,
                    };
                    let mut request = once(this.request);
                    if let Err(error) = correct_headers(&mut request, &received) {
                        *this.request = Some(request);
                        let mut flight = received.flight;
                        let closing = Some(flight.failed());
                        this.state.set(State::Misplaced { error, closing });
                        continue;
                    }
                    let (request, flight) = put_back(request, received);
                    let run = Run::new(this.service.call(request), flight, status);
                    this.state.set(if *this.detached {
                        let run = rt::spawn(run).into();
                        State::Detached { run }
                    } else {
                        State::Running { run }
                    });
                }
                StateProj::Running { run } => return run.poll(cx).map(answer),
                StateProj::Detached { run } => return Pin::new(run).poll(cx).map(answer),
            }
        };
        let request = once(this.request);
        let replaced = this.error_handler.as_ref().map(|handler| {
            let handled = || HttpResponse::from_error(handler(error.clone(), request.request()));
            contained(handled).unwrap_or_else(|| {
                trace::response_panicked();
                HttpResponse::from_error(error.clone())
            })
        });
        let response = replaced.unwrap_or_else(|| HttpResponse::from_error(error));
        // `into_response` would lose the error, which a middleware outside may want to see.
        let response = ServiceResponse::new(request.into_parts().0, response);
        Poll::Ready(Ok(response.map_into_right_body()))
    }
}

fn answer<B>(
    ran: Result<Result<ServiceResponse<B>, Error>, VerifyError>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    // The request went along with the handler, so the error is all there is to answer a handler
    // that took too long.
    let response = ran.unwrap_or_else(|error| Err(error.into()))?;
    guard::check_routes(&response);
    Ok(response.map_into_left_body())
}

/// Makes the headers say what is so of the body that the handler gets.
fn correct_headers(
    request: &mut ServiceRequest,
    received: &Received,
) -> Result<(), MisplacedVerifyWebhook> {
    // Nothing is corrected where the first of these panics, as it does where something outside holds a
    // clone of the request. There is no way to ask before.
    let correct = || {
        for (name, value) in received.header_corrections() {
            let headers = request.headers_mut();
            headers.remove(name);
            // A number and a type: they are always valid.
            if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    };
    contained(correct).ok_or_else(|| {
        let error = MisplacedVerifyWebhook::INSIDE_OF_A_HOLDER;
        trace::misconfigured(&error);
        error
    })
}

/// The request as the handler is to see it: with the body that was verified, the event and how it
/// came.
fn put_back(mut request: ServiceRequest, received: Received) -> (ServiceRequest, Flight) {
    let Received {
        event,
        delivery,
        body,
        flight,
        ..
    } = received;
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

impl<S: Service<ServiceRequest>> fmt::Debug for VerifyFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Refused { .. } | State::Misplaced { .. } => "refused",
            State::Reading { .. } => "reading",
            State::Verifying { .. } => "verifying",
            State::Passed { .. } | State::Running { .. } | State::Detached { .. } => "running",
        };
        f.debug_struct("VerifyFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
