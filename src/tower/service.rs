use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower_service::Service;

use super::{Inline, Mode, RefusalResponse, ResponseBody, ResponseFuture};
use crate::adapter::Intake;
use crate::error::{BoxError, VerifyError};
use crate::event::GeminiEvent;
use crate::headers::DeliveryHeaders;
use crate::receiver::WebhookReceiver;

/// The service that [`VerifyLayer`](super::VerifyLayer) makes: checks deliveries, then calls `S`.
///
/// The [module](super) says what it checks and answers.
pub struct Verify<S, M = Inline> {
    inner: S,
    receiver: WebhookReceiver,
    response: Arc<dyn RefusalResponse>,
    mode: PhantomData<fn() -> M>,
}

impl<S, M> Verify<S, M> {
    pub(super) fn new(
        inner: S,
        receiver: WebhookReceiver,
        response: Arc<dyn RefusalResponse>,
    ) -> Self {
        Self {
            inner,
            receiver,
            response,
            mode: PhantomData,
        }
    }

    /// Returns the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the inner service, mutably.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the inner service, and drops the layer.
    pub fn into_inner(self) -> S {
        self.inner
    }

    /// The bytes of a delivery that this receiver has verified further out.
    fn verified_before<B>(&self, request: &Request<B>) -> Option<Bytes> {
        let delivery = request.extensions().get()?;
        let event = request.extensions().get::<GeminiEvent>()?;
        self.receiver
            .has_verified(delivery)
            .then(|| event.raw().clone())
    }

    /// What can be said before the body is read.
    fn admit<B: Body>(&self, request: &Request<B>) -> Result<Intake, VerifyError> {
        if request.method() != Method::POST {
            return Err(self.receiver.method_not_allowed(request.method().as_str()));
        }
        // The body knows best; but a layer in between may have hidden what the header says.
        let declared = request
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let length = declared.max(Some(request.body().size_hint().lower()));
        let target = request
            .uri()
            .path_and_query()
            .map_or("", |target| target.as_str());
        self.receiver
            .admit(target, &DeliveryHeaders::from(request.headers()), length)
    }
}

impl<S, B, M, ResBody> Service<Request<B>> for Verify<S, M>
where
    S: Service<Request<Full<Bytes>>, Response = Response<ResBody>> + Clone,
    B: Body,
    B::Error: Into<BoxError>,
    M: Mode<S>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B, M::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let response = Arc::clone(&self.response);
        if let Some(verified) = self.verified_before(&request) {
            let request = request.map(|_| Full::new(verified));
            return ResponseFuture::pass(self.inner.call(request), response, M::run);
        }
        match self.admit(&request) {
            Err(error) => ResponseFuture::refuse(request, error, response, M::run),
            Ok(intake) => {
                // The inner service is called later, once the body is there. It must be the one
                // that is ready now, so that one goes along and a clone of it stays.
                let clone = self.inner.clone();
                let ready = mem::replace(&mut self.inner, clone);
                ResponseFuture::read(request, intake, ready, response, M::run)
            }
        }
    }
}

impl<S: Clone, M> Clone for Verify<S, M> {
    fn clone(&self) -> Self {
        Self::new(
            self.inner.clone(),
            self.receiver.clone(),
            Arc::clone(&self.response),
        )
    }
}

impl<S: fmt::Debug, M> fmt::Debug for Verify<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verify")
            .field("inner", &self.inner)
            .field("receiver", &self.receiver)
            .finish_non_exhaustive()
    }
}
