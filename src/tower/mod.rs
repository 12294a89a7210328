//! Middleware for tower and hyper: [`VerifyLayer`].
//!
//! The layer examines each request before the inner service sees it. A POST that is an authentic
//! delivery reaches the inner service with the identical bytes as its body, and with the
//! [`GeminiEvent`](crate::GeminiEvent) and the [`Delivery`](crate::Delivery) in its extensions.
//! Anything else is answered here and never reaches it:
//!
//! - what can be refused by its headers alone is refused before the body is read;
//! - the body is read up to [a length](crate::WebhookReceiverBuilder::max_body_bytes) and for
//!   [a time](crate::WebhookReceiverBuilder::body_timeout);
//! - a refusal is `{"error":"<code>"}` with the status of the error, unless it is
//!   [replaced](VerifyLayer::with_response), and the [`VerifyError`](crate::VerifyError) is in
//!   the response's extensions for a layer outside to see.
//!
//! It needs a tokio runtime with its timer on, as `#[tokio::main]` has.
//!
//! The inner service must be ready before a request is taken, and that very one is called, so
//! limits such as `tower::limit::ConcurrencyLimit` hold; their permit is held while the body
//! arrives. Put limits of that sort outside this layer if senders are slow.
//!
//! # Example
//!
//! Any tower stack, here without a framework:
//!
//! ```
//! use bytes::Bytes;
//! use gemini_webhooks::{GeminiEvent, VerifyLayer, WebhookReceiver, testing};
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let receiver = WebhookReceiver::builder().signing_secret(testing::SECRET).build()?;
//! let service = ServiceBuilder::new()
//!     .layer(VerifyLayer::new(receiver))
//!     .service(service_fn(async |request: Request<Full<Bytes>>| {
//!         let event = request.extensions().get::<GeminiEvent>();
//!         println!("{event:?}");
//!         Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default()))
//!     }));
//!
//! let unsigned = Request::post("/").body(Full::<Bytes>::default())?;
//! assert_eq!(service.oneshot(unsigned).await?.status(), 400);
//! # Ok(())
//! # }
//! ```

mod body;
mod future;
mod layer;
mod response;
mod run;
mod service;

pub use body::ResponseBody;
pub use future::ResponseFuture;
pub use layer::VerifyLayer;
pub use response::{JsonRefusal, RefusalResponse};
pub use run::{Detached, Inline, Mode};
pub use service::Verify;

use http::{HeaderName, HeaderValue};

use crate::headers::{DeliveryHeaders, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};

impl<'a> From<&'a http::HeaderMap> for DeliveryHeaders<'a> {
    fn from(headers: &'a http::HeaderMap) -> Self {
        // Names that are made once: a text would be looked at letter by letter each time.
        static NAMES: [HeaderName; 3] = [
            HeaderName::from_static(WEBHOOK_ID),
            HeaderName::from_static(WEBHOOK_TIMESTAMP),
            HeaderName::from_static(WEBHOOK_SIGNATURE),
        ];
        let values = |name| headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
        let [id, timestamp, signature] = &NAMES;
        Self::from_values(values(id), values(timestamp), values(signature))
    }
}

#[cfg(test)]
mod tests;
