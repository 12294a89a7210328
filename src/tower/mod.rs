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
//! arrives. Outside of this layer such a limit would be held by whoever sends slowly: a body may take
//! [10 seconds](crate::WebhookReceiverBuilder::body_timeout), and one that is refused is read for at most 5
//! seconds, of which none passes in silence. So bound the connections in your server or proxy instead.
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
//!
//! # Routes by type
//!
//! [`EventRoutes`] hands events to a service for each type, and what no service takes is
//! [acknowledged](EventRoutes::otherwise_acknowledge), [refused](EventRoutes::otherwise_refuse) or
//! handed to [one more](EventRoutes::otherwise), as you say. The services are called with the request
//! as [`VerifyLayer`] hands it inward. Here they are functions; in axum they are
//! [handlers](crate::axum#routes-by-type).
//!
//! ```
//! use std::convert::Infallible;
//!
//! use bytes::Bytes;
//! use gemini_webhooks::event::{BatchSucceeded, VideoGenerated};
//! use gemini_webhooks::tower::EventRoutes;
//! use gemini_webhooks::{Clock as _, GeminiEvent, SystemClock, VerifyLayer, WebhookReceiver, testing};
//! use http::{Request, Response};
//! use http_body_util::{BodyExt as _, Full};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! type Answer = Result<Response<Full<Bytes>>, Infallible>;
//!
//! async fn on_batch(request: Request<Full<Bytes>>) -> Answer {
//!     let event = request.extensions().get::<GeminiEvent>();
//!     let batch = event.and_then(GeminiEvent::payload::<BatchSucceeded>);
//!     let id = batch.and_then(BatchSucceeded::id).unwrap_or("a batch without an id");
//!     Ok(Response::new(Full::from(id.to_owned())))
//! }
//!
//! async fn on_video(_: Request<Full<Bytes>>) -> Answer {
//!     Ok(Response::new(Full::from("a video")))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let receiver = WebhookReceiver::builder().signing_secret(testing::SECRET).build()?;
//! let routes = EventRoutes::new()
//!     .on::<BatchSucceeded>(service_fn(on_batch))
//!     .on::<VideoGenerated>(service_fn(on_video))
//!     .otherwise_acknowledge()?;
//! let service = ServiceBuilder::new().layer(VerifyLayer::new(receiver)).service(routes);
//!
//! # let signed = |id: &str, body: &'static str| {
//! #     let now = SystemClock.now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
//! #     let mut request = Request::post("/").body(Full::<Bytes>::from(body))?;
//! #     for (name, value) in testing::sign_v1(&testing::SECRET.parse()?, id, now, body) {
//! #         request.headers_mut().insert(name, value.parse()?);
//! #     }
//! #     Ok::<_, Box<dyn std::error::Error>>(request)
//! # };
//! let batch = signed("msg_1", r#"{"type":"batch.succeeded","data":{"id":"batches/1"}}"#)?;
//! let response = service.clone().oneshot(batch).await?;
//! assert_eq!(response.into_body().collect().await?.to_bytes(), "batches/1");
//!
//! let another = signed("msg_2", r#"{"type":"batch.failed"}"#)?;
//! assert_eq!(service.clone().oneshot(another).await?.status(), 200);
//!
//! let unsigned = Request::post("/").body(Full::<Bytes>::from(r#"{"type":"batch.succeeded"}"#))?;
//! assert_eq!(service.oneshot(unsigned).await?.status(), 400);
//! # Ok(())
//! # }
//! ```

mod body;
mod future;
mod layer;
mod missing;
mod response;
mod routes;
mod run;
mod service;

pub use body::ResponseBody;
pub use future::ResponseFuture;
pub use layer::VerifyLayer;
pub use missing::MissingVerifyLayer;
pub use response::{JsonRefusal, RefusalResponse};
pub use routes::{EventRouter, EventRoutes, EventService, RouteFuture};
pub use run::{Detached, Inline, Mode};
pub use service::Verify;
/// tower's, for an app that calls [`layer`](Layer::layer) and has no tower of its own.
pub use tower_layer::Layer;

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
