//! Middleware for axum, tower and hyper: [`VerifyLayer`].
//!
//! The layer checks each request before the inner service sees it. If the request is an authentic
//! delivery of an event that has not been handled, the inner service gets it: with the identical
//! bytes as its body, and with the [`GeminiEvent`](crate::GeminiEvent) and the
//! [`Delivery`](crate::Delivery) in its extensions. Everything else is answered by the layer:
//!
//! - What can be refused by its method, URL or headers is refused before its body is read.
//! - The body is read up to [a length](crate::WebhookReceiverBuilder::max_body_bytes) and for
//!   [a time](crate::WebhookReceiverBuilder::body_timeout).
//! - A refusal is `{"error":"<code>"}` with the status of the error, unless you
//!   [replace it](VerifyLayer::with_response). The [`VerifyError`](crate::VerifyError) is in the
//!   extensions of the response, for a layer outside to see.
//! - A duplicate of a handled event is answered 200 with an empty body.
//!
//! It needs a tokio runtime whose timer is enabled, as with `#[tokio::main]`.
//!
//! # Limits on concurrency
//!
//! Limits such as `tower::limit::ConcurrencyLimit` work inside of the layer: it waits until the
//! inner service is ready, and calls that very service. But it holds the permit while the body
//! arrives, which may take [10 seconds](crate::WebhookReceiverBuilder::body_timeout). Outside of
//! the layer, slow senders hold permits for just as long, and for up to 5 seconds more while a
//! refused body is read. So limit connections in your server or proxy as well.
//!
//! # Example
//!
//! A tower service without a framework; [`crate::axum`] has examples for axum:
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
//! let receiver = WebhookReceiver::builder()
//!     .signing_secret(testing::SECRET)
//!     .build()?;
//! let service = ServiceBuilder::new()
//!     .layer(VerifyLayer::new(receiver))
//!     .service(service_fn(async |request: Request<Full<Bytes>>| {
//!         let event = request.extensions().get::<GeminiEvent>();
//!         println!("{event:?}");
//!         let response = Response::new(Full::<Bytes>::default());
//!         Ok::<_, std::convert::Infallible>(response)
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
//! [`EventRoutes`] calls a service for each type of event. You say what happens to events that no
//! service takes: they are [acknowledged](EventRoutes::otherwise_acknowledge),
//! [refused](EventRoutes::otherwise_refuse), or passed to [another
//! service](EventRoutes::otherwise). A service gets the request as [`VerifyLayer`] passes it on.
//! Here the services are functions; in axum they are [handlers](crate::axum#routes-by-type).
//! ```
//! use std::convert::Infallible;
//!
//! use bytes::Bytes;
//! use gemini_webhooks::event::{BatchSucceeded, VideoGenerated};
//! use gemini_webhooks::tower::EventRoutes;
//! # use gemini_webhooks::{Clock as _, SystemClock};
//! use gemini_webhooks::{GeminiEvent, VerifyLayer, WebhookReceiver, testing};
//! use http::{Request, Response};
//! use http_body_util::{BodyExt as _, Full};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! type Answer = Result<Response<Full<Bytes>>, Infallible>;
//!
//! async fn on_batch(request: Request<Full<Bytes>>) -> Answer {
//!     let event = request.extensions().get::<GeminiEvent>();
//!     let batch = event.and_then(GeminiEvent::payload::<BatchSucceeded>);
//!     let id = batch.and_then(BatchSucceeded::id).unwrap_or("no id");
//!     Ok(Response::new(Full::from(id.to_owned())))
//! }
//!
//! async fn on_video(_: Request<Full<Bytes>>) -> Answer {
//!     Ok(Response::new(Full::from("a video")))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let receiver = WebhookReceiver::builder()
//!     .signing_secret(testing::SECRET)
//!     .build()?;
//! let routes = EventRoutes::new()
//!     .on::<BatchSucceeded>(service_fn(on_batch))
//!     .on::<VideoGenerated>(service_fn(on_video))
//!     .otherwise_acknowledge()?;
//! let service = ServiceBuilder::new()
//!     .layer(VerifyLayer::new(receiver))
//!     .service(routes);
//!
//! # let signed = |id: &str, body: &'static str| {
//! #     let now = SystemClock.now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
//! #     let mut request = Request::post("/").body(Full::<Bytes>::from(body))?;
//! #     for (name, value) in testing::sign_v1(&testing::SECRET.parse()?, id, now, body) {
//! #         request.headers_mut().insert(name, value.parse()?);
//! #     }
//! #     Ok::<_, Box<dyn std::error::Error>>(request)
//! # };
//! let body = r#"{"type":"batch.succeeded","data":{"id":"batches/1"}}"#;
//! let batch = signed("msg_1", body)?;
//! let response = service.clone().oneshot(batch).await?;
//! assert_eq!(response.into_body().collect().await?.to_bytes(), "batches/1");
//!
//! let another = signed("msg_2", r#"{"type":"batch.failed"}"#)?;
//! assert_eq!(service.clone().oneshot(another).await?.status(), 200);
//!
//! let unsigned = Request::post("/").body(Full::<Bytes>::from(body))?;
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
/// The trait of tower, for apps that call [`layer`](Layer::layer) and do not depend on tower.
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
