use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower_service::Service;

use super::{RefusalResponse, ResponseBody, ResponseFuture};
use crate::error::{BoxError, VerifyError};
use crate::headers::DeliveryHeaders;
use crate::receiver::{Intake, WebhookReceiver};

/// Lets authentic deliveries reach the inner service, and nothing else. See the [module](super).
#[derive(Clone)]
pub struct Verify<S> {
    inner: S,
    receiver: WebhookReceiver,
    response: Arc<dyn RefusalResponse>,
}

impl<S> Verify<S> {
    pub(super) fn new(
        inner: S,
        receiver: WebhookReceiver,
        response: Arc<dyn RefusalResponse>,
    ) -> Self {
        Self {
            inner,
            receiver,
            response,
        }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to change.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service, without the layer.
    pub fn into_inner(self) -> S {
        self.inner
    }

    /// What can be said before the body is read.
    fn admit<B: Body>(&self, request: &Request<B>) -> Result<Intake, VerifyError> {
        if request.method() != Method::POST {
            return Err(self.receiver.method_not_allowed());
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

impl<S, B, ResBody> Service<Request<B>> for Verify<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<ResBody>> + Clone,
    B: Body,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.admit(&request) {
            Ok(intake) => {
                // The inner service is called later, once the body is there. It must be the one
                // that is ready now, so that one goes along and a clone of it stays.
                let clone = self.inner.clone();
                let ready = mem::replace(&mut self.inner, clone);
                ResponseFuture::read(
                    request,
                    intake,
                    ready,
                    &self.receiver,
                    Arc::clone(&self.response),
                )
            }
            Err(error) => ResponseFuture::refuse(error, Arc::clone(&self.response)),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Verify<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verify")
            .field("inner", &self.inner)
            .field("receiver", &self.receiver)
            .finish_non_exhaustive()
    }
}
