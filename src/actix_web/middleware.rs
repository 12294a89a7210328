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

/// The middleware for actix-web: only authentic deliveries reach your handler.
///
/// The [module](super) says what it checks and answers.
///
/// ```
/// use actix_web::test::{TestRequest, call_service, init_service};
/// use actix_web::{App, HttpResponse, Responder, web};
/// use gemini_webhooks::{GeminiEvent, VerifyWebhook, WebhookReceiver, testing};
/// # use gemini_webhooks::{Clock as _, SystemClock};
///
/// async fn on_event(event: GeminiEvent) -> impl Responder {
///     println!("{:?}", event.type_name());
///     HttpResponse::Ok()
/// }
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let receiver = WebhookReceiver::builder()
///     .signing_secret(testing::SECRET)
///     .build()?;
/// let callback = web::resource("/gemini-callback")
///     .wrap(VerifyWebhook::new(receiver))
///     .route(web::post().to(on_event));
/// let app = init_service(App::new().service(callback)).await;
/// # let now = SystemClock.now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
///
/// // A body that Google signed, here with the signer for tests.
/// let body = testing::SAMPLE_EVENTS[0];
/// let secret = testing::SECRET.parse()?;
/// let mut delivery = TestRequest::post().uri("/gemini-callback");
/// for header in testing::sign_v1(&secret, "msg_1", now, body) {
///     delivery = delivery.insert_header(header);
/// }
/// let delivery = delivery.set_payload(body).to_request();
/// assert_eq!(call_service(&app, delivery).await.status(), 200);
///
/// let unsigned = TestRequest::post().uri("/gemini-callback").to_request();
/// assert_eq!(call_service(&app, unsigned).await.status(), 400);
/// # Ok(())
/// # }
/// ```
///
/// # Where it goes
///
/// Wrap it around a resource, as above, a scope, or the app. The order of the calls does not matter
/// there, and no handler inside is reached without the middleware.
///
/// Around a single route it must come last:
/// `web::post().to(on_event).wrap(VerifyWebhook::new(receiver))`. The route must have no
/// [`EventType`](super::EventType) guard. With the other order, `web::post().wrap(…).to(on_event)`,
/// actix-web panics when the app starts, because `to` would drop the middleware. Releases of
/// actix-web before 4.14 dropped it silently, so this crate does not allow them.
///
/// If the middleware is missing, or at a place where it cannot work, the answer is a 500 that says
/// so, and an error is logged: [`MissingVerifyWebhook`](super::MissingVerifyWebhook) if a handler
/// asks for an event, [`MisplacedVerifyWebhook`] inside of `EventType` guards.
#[derive(Clone)]
pub struct VerifyWebhook {
    receiver: WebhookReceiver,
    error_handler: Option<ErrorHandler>,
    detached: bool,
}

impl VerifyWebhook {
    /// Makes a middleware that passes on what `receiver` accepts, and answers everything else.
    #[must_use]
    pub fn new(receiver: WebhookReceiver) -> Self {
        Self {
            receiver,
            error_handler: None,
            detached: false,
        }
    }

    /// Runs the handler to its end even if the connection is reset.
    ///
    /// actix-web runs a handler to its end if the sender closes the connection, but drops it if the
    /// connection is *reset*, as some proxies do when they lose patience. A handler that is slower
    /// than the proxy's patience would be started again and again and never finish. With this
    /// setting, the handler runs in a task of its own, on the same worker. The event is settled
    /// (marked as handled) or released (freed for the retry) even if nobody waits for the answer.
    ///
    /// It is better to make the handler quick: store the event durably and answer.
    ///
    /// [`handler_timeout`](crate::WebhookReceiverBuilder::handler_timeout) still applies. An orderly
    /// shutdown does not wait for the task once the sender has left: it is dropped, and the event is
    /// handled when Google retries.
    #[must_use]
    pub fn finish_once_started(mut self) -> Self {
        self.detached = true;
        self
    }

    /// Replaces the answer to refused deliveries, as `error_handler` of actix-web's extractors does.
    ///
    /// The sender may be anyone, so tell nothing of keys or digests. If your handler takes too
    /// long, the default answer is sent, because its request no longer exists.
    ///
    /// ```
    /// # use actix_web::{HttpRequest, HttpResponse, error::InternalError};
    /// # use gemini_webhooks::{VerifyError, VerifyWebhook, WebhookReceiver, testing};
    /// # let receiver = WebhookReceiver::builder().signing_secret(testing::SECRET).build()?;
    /// let middleware = VerifyWebhook::new(receiver).error_handler(
    ///     |error: VerifyError, _: &HttpRequest| {
    ///         let response = HttpResponse::Forbidden().finish();
    ///         InternalError::from_response(error, response).into()
    ///     },
    /// );
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

/// The service that [`VerifyWebhook`] makes: checks deliveries, then calls `S`.
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
