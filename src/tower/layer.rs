use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use tower_layer::Layer;

use super::{Detached, Inline, JsonRefusal, RefusalResponse, Verify};
use crate::receiver::WebhookReceiver;

/// The middleware for axum, tower and hyper: only authentic deliveries reach your handler.
///
/// Put it around the route or the service that handles events. The [module](super) says what it
/// checks and answers.
///
/// In axum use `.layer(…)` on the route: `post(on_event).layer(VerifyLayer::new(receiver))`. With
/// `.route_layer(…)`, axum answers requests that are not a POST by itself, and leaves their bodies
/// unread.
///
/// ```
/// use bytes::Bytes;
/// use gemini_webhooks::{GeminiEvent, VerifyLayer, WebhookReceiver, testing};
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use tower::{ServiceBuilder, ServiceExt as _, service_fn};
/// # use gemini_webhooks::{Clock as _, SystemClock};
///
/// async fn on_event(
///     request: Request<Full<Bytes>>,
/// ) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
///     let event = request.extensions().get::<GeminiEvent>();
///     println!("{:?}", event.and_then(GeminiEvent::type_name));
///     Ok(Response::default())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let receiver = WebhookReceiver::builder()
///     .signing_secret(testing::SECRET)
///     .build()?;
/// let service = ServiceBuilder::new()
///     .layer(VerifyLayer::new(receiver))
///     .service_fn(on_event);
/// # let now = SystemClock.now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
///
/// // A body that Google signed, here with the signer for tests.
/// let body = testing::SAMPLE_EVENTS[0];
/// let mut delivery = Request::post("/").body(Full::<Bytes>::from(body))?;
/// let secret = testing::SECRET.parse()?;
/// for (name, value) in testing::sign_v1(&secret, "msg_1", now, body) {
///     delivery.headers_mut().insert(name, value.parse()?);
/// }
/// let response = service.clone().oneshot(delivery).await?;
/// assert_eq!(response.status(), 200);
///
/// let unsigned = Request::post("/").body(Full::<Bytes>::from(body))?;
/// assert_eq!(service.oneshot(unsigned).await?.status(), 400);
/// # Ok(())
/// # }
/// ```
pub struct VerifyLayer<M = Inline> {
    receiver: WebhookReceiver,
    response: Arc<dyn RefusalResponse>,
    mode: PhantomData<fn() -> M>,
}

impl VerifyLayer {
    /// Makes a layer that passes on what `receiver` accepts, and answers everything else.
    #[must_use]
    pub fn new(receiver: WebhookReceiver) -> Self {
        Self {
            receiver,
            response: Arc::new(JsonRefusal),
            mode: PhantomData,
        }
    }

    /// Runs the handler to its end even if the sender closes the connection.
    ///
    /// By default, hyper, and so axum, drops a handler when the connection is closed. Google waits a
    /// few seconds only, so a slower handler would be started again and again and never finish. With
    /// this setting, the handler runs in a task of its own. The event is settled (marked as handled)
    /// or released (freed for the retry) even if nobody waits for the answer.
    ///
    /// It is better to make the handler quick: store the event durably and answer.
    ///
    /// [`handler_timeout`](crate::WebhookReceiverBuilder::handler_timeout) still applies. An orderly
    /// shutdown does not wait for the task once the sender has left: the runtime drops it, and the
    /// event is handled when Google retries.
    ///
    /// The type of the layer is then `VerifyLayer<Detached>`, which matters where you name it.
    #[must_use]
    pub fn finish_once_started(self) -> VerifyLayer<Detached> {
        VerifyLayer {
            receiver: self.receiver,
            response: self.response,
            mode: PhantomData,
        }
    }
}

impl<M> VerifyLayer<M> {
    /// Replaces the answer to refused deliveries. [`JsonRefusal`] is the default.
    ///
    /// The sender may be anyone, so tell nothing of keys or digests.
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use gemini_webhooks::{VerifyError, VerifyLayer, WebhookReceiver, testing};
    /// # let receiver = WebhookReceiver::builder().signing_secret(testing::SECRET).build()?;
    /// use http::{Response, StatusCode};
    ///
    /// let refuse = |error: &VerifyError| {
    ///     let mut response = Response::new(Bytes::from("refused"));
    ///     *response.status_mut() =
    ///         StatusCode::from_u16(error.status()).unwrap();
    ///     response
    /// };
    /// let layer = VerifyLayer::new(receiver).with_response(refuse);
    /// # Ok::<(), gemini_webhooks::ConfigError>(())
    /// ```
    #[must_use]
    pub fn with_response(mut self, response: impl RefusalResponse) -> Self {
        self.response = Arc::new(response);
        self
    }
}

impl<S, M> Layer<S> for VerifyLayer<M> {
    type Service = Verify<S, M>;

    fn layer(&self, inner: S) -> Verify<S, M> {
        Verify::new(inner, self.receiver.clone(), Arc::clone(&self.response))
    }
}

impl<M> Clone for VerifyLayer<M> {
    fn clone(&self) -> Self {
        Self {
            receiver: self.receiver.clone(),
            response: Arc::clone(&self.response),
            mode: PhantomData,
        }
    }
}

impl<M> fmt::Debug for VerifyLayer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyLayer")
            .field("receiver", &self.receiver)
            .finish_non_exhaustive()
    }
}
