use std::fmt;
use std::sync::Arc;

use tower_layer::Layer;

use super::{JsonRefusal, RefusalResponse, Verify};
use crate::receiver::WebhookReceiver;

/// Wraps services in [`Verify`]. See the [module](super).
#[derive(Clone)]
pub struct VerifyLayer {
    receiver: WebhookReceiver,
    response: Arc<dyn RefusalResponse>,
}

impl VerifyLayer {
    /// Lets only what `receiver` accepts reach the inner service.
    #[must_use]
    pub fn new(receiver: WebhookReceiver) -> Self {
        Self {
            receiver,
            response: Arc::new(JsonRefusal),
        }
    }

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

impl<S> Layer<S> for VerifyLayer {
    type Service = Verify<S>;

    fn layer(&self, inner: S) -> Verify<S> {
        Verify::new(inner, self.receiver.clone(), Arc::clone(&self.response))
    }
}

impl fmt::Debug for VerifyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyLayer")
            .field("receiver", &self.receiver)
            .finish_non_exhaustive()
    }
}
