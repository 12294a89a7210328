use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use tower_layer::Layer;

use super::{Detached, Inline, JsonRefusal, RefusalResponse, Verify};
use crate::receiver::WebhookReceiver;

/// Wraps services in [`Verify`]. See the [module](super).
pub struct VerifyLayer<M = Inline> {
    receiver: WebhookReceiver,
    response: Arc<dyn RefusalResponse>,
    mode: PhantomData<fn() -> M>,
}

impl VerifyLayer {
    /// Lets only what `receiver` accepts reach the inner service.
    #[must_use]
    pub fn new(receiver: WebhookReceiver) -> Self {
        Self {
            receiver,
            response: Arc::new(JsonRefusal),
            mode: PhantomData,
        }
    }

    /// Runs the handler in a task of its own, which goes on when the sender leaves, and settles or
    /// releases the event whether or not anyone waits for the answer.
    ///
    /// Servers like hyper's, and so axum's, drop a handler as soon as the sender closes the
    /// connection. Google waits a few seconds only, so a handler that is slower than that would be
    /// started again and again and never finish. Better than this is a handler that is quick: it
    /// enqueues the event and answers.
    ///
    /// A server that shuts down in order does not wait for such tasks once the sender has left; the
    /// runtime drops them, and the event is handled when it comes again.
    /// [`handler_timeout`](crate::WebhookReceiverBuilder::handler_timeout) holds as before.
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
    /// Replaces the answer to what is refused, [`JsonRefusal`] by default.
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use gemini_webhooks::{VerifyError, VerifyLayer, WebhookReceiver, testing};
    /// # let receiver = WebhookReceiver::builder().signing_secret(testing::SECRET).build()?;
    /// let layer = VerifyLayer::new(receiver).with_response(|error: &VerifyError| {
    ///     let mut response = http::Response::new(Bytes::new());
    ///     *response.status_mut() = http::StatusCode::from_u16(error.status()).unwrap();
    ///     response
    /// });
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
