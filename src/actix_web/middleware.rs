use std::fmt;
use std::future::{Ready, ready};
use std::rc::Rc;
use std::task::{Context, Poll};

use ::actix_web::body::{EitherBody, MessageBody};
use ::actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform};
use ::actix_web::http::Method;
use ::actix_web::http::header::{CONTENT_LENGTH, HeaderValue};
use ::actix_web::{Error, HttpMessage as _, HttpRequest};

use super::guard::asked_too_early;
use super::{MisplacedVerifyWebhook, VerifyFuture};
use crate::adapter::Intake;
use crate::error::VerifyError;
use crate::headers::{DeliveryHeaders, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};
use crate::receiver::WebhookReceiver;

/// What makes an answer of a refusal.
pub(super) type ErrorHandler = Rc<dyn Fn(VerifyError, &HttpRequest) -> Error>;

/// Lets only authentic deliveries reach a handler. See the [module](super).
///
/// # Where it goes
///
/// Around a resource, a scope or the app:
/// `web::resource("/gemini-callback").wrap(VerifyWebhook::new(receiver)).route(web::post().to(on_event))`.
/// There the order of the calls does not matter, and nothing behind the middleware is reached without it.
///
/// Around a single route it must come last, `web::post().to(on_event).wrap(VerifyWebhook::new(receiver))`,
/// and the route must have no [`EventType`](super::EventType) guard. The other way round,
/// `web::post().wrap(…).to(on_event)`, actix-web panics when the app starts, because `to` would drop
/// the middleware. Releases before 4.14 did drop it without a word, so this crate does not allow them.
///
/// At a place where it cannot work, deliveries are answered by a 500 that names it, and an error in the
/// log: inside of `EventType` guards ([`MisplacedVerifyWebhook`]), and where a handler or an extractor
/// wants an event and it is missing ([`MissingVerifyWebhook`](super::MissingVerifyWebhook)).
#[derive(Clone)]
pub struct VerifyWebhook {
    receiver: WebhookReceiver,
    error_handler: Option<ErrorHandler>,
    detached: bool,
}

impl VerifyWebhook {
    /// Lets only what `receiver` accepts reach the handler.
    #[must_use]
    pub fn new(receiver: WebhookReceiver) -> Self {
        Self {
            receiver,
            error_handler: None,
            detached: false,
        }
    }

    /// Runs the handler in a task of its own, on the same worker, which goes on however the sender
    /// leaves, and settles or releases the event whether or not anyone waits for the answer.
    ///
    /// actix-web runs a handler to its end when a sender closes the connection, but drops it when the
    /// connection is *reset*, as some proxies do that lose patience. A handler slower than that would be
    /// started again and again and never finish. Better than this is a handler that is quick: it
    /// enqueues the event and answers.
    ///
    /// A server that stops in order does not wait for such tasks once the sender has left; they are
    /// dropped, and the event is handled when it comes again.
    /// [`handler_timeout`](crate::WebhookReceiverBuilder::handler_timeout) holds as before.
    #[must_use]
    pub fn finish_once_started(mut self) -> Self {
        self.detached = true;
        self
    }

    /// Replaces the answer to what is refused, as the `error_handler` of actix-web's extractors
    /// does. It is for the sender, who may be anyone: tell nothing of keys or digests. A handler
    /// that takes too long is answered by the default, since its request is gone by then.
    ///
    /// ```
    /// # use actix_web::{HttpRequest, HttpResponse, error::InternalError};
    /// # use gemini_webhooks::{VerifyError, VerifyWebhook, WebhookReceiver, testing};
    /// # let receiver = WebhookReceiver::builder().signing_secret(testing::SECRET).build()?;
    /// let middleware = VerifyWebhook::new(receiver).error_handler(|error: VerifyError, _: &HttpRequest| {
    ///     let response = HttpResponse::Forbidden().finish();
    ///     InternalError::from_response(error, response).into()
    /// });
    /// # Ok::<(), gemini_webhooks::ConfigError>(())
    /// ```
    #[must_use]
    pub fn error_handler(
        mut self,
        handler: impl Fn(VerifyError, &HttpRequest) -> Error + 'static,
    ) -> Self {
        self.error_handler = Some(Rc::new(handler));
        self
    }
}

impl<S, B> Transform<S, ServiceRequest> for VerifyWebhook
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = VerifyService<S>;
    type InitError = ();
    type Future = Ready<Result<VerifyService<S>, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(VerifyService {
            service: Rc::new(service),
            receiver: self.receiver.clone(),
            error_handler: self.error_handler.clone(),
            detached: self.detached,
        }))
    }
}

impl fmt::Debug for VerifyWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyWebhook")
            .field("receiver", &self.receiver)
            .finish_non_exhaustive()
    }
}

/// The service of [`VerifyWebhook`].
pub struct VerifyService<S> {
    // The service is called later, once the body is there.
    service: Rc<S>,
    receiver: WebhookReceiver,
    error_handler: Option<ErrorHandler>,
    detached: bool,
}

impl<S> VerifyService<S> {
    /// What can be said before the body is read.
    fn begin(&self, request: &mut ServiceRequest) -> Beginning {
        if asked_too_early(request.request()) {
            // The guard has told the log.
            return Beginning::Misplaced(MisplacedVerifyWebhook::INSIDE_OF_A_GUARD);
        }
        let verified = |delivery| self.receiver.has_verified(delivery);
        if request.extensions().get().is_some_and(verified) {
            return Beginning::Verified;
        }
        match self.admit(request) {
            Ok(intake) => Beginning::Admitted(intake, request.take_payload()),
            Err(error) => Beginning::Refused(error),
        }
    }

    fn admit(&self, request: &ServiceRequest) -> Result<Intake, VerifyError> {
        if request.method() != Method::POST {
            return Err(self.receiver.method_not_allowed(request.method().as_str()));
        }
        let headers = request.headers();
        let length = headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let values = |name| headers.get_all(name).map(HeaderValue::as_bytes);
        let headers = DeliveryHeaders::from_values(
            values(WEBHOOK_ID),
            values(WEBHOOK_TIMESTAMP),
            values(WEBHOOK_SIGNATURE),
        );
        let target = request.uri().path_and_query();
        let target = target.map_or("", |target| target.as_str());
        self.receiver.admit(target, &headers, length)
    }
}

impl<S, B> Service<ServiceRequest> for VerifyService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = VerifyFuture<S>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let beginning = self.begin(&mut request);
        VerifyFuture::new(
            request,
            beginning,
            Rc::clone(&self.service),
            self.error_handler.clone(),
            self.detached,
        )
    }
}

impl<S> fmt::Debug for VerifyService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyService")
            .field("receiver", &self.receiver)
            .finish_non_exhaustive()
    }
}

/// How a request begins.
pub(super) enum Beginning {
    /// Its body is to be read.
    Admitted(Intake, Payload),
    Refused(VerifyError),
    Misplaced(MisplacedVerifyWebhook),
    /// This receiver has verified it further out, and sees to its end.
    Verified,
}
