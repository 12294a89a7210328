//! Extractors for axum 0.8: name [`GeminiEvent`] and [`Delivery`] in a handler.
//!
//! Put a [`VerifyLayer`](crate::VerifyLayer) on the route. A handler may also take the body, with
//! `Bytes`, `String`, `Json` or another extractor, one of them: it gets the bytes that were signed.
//!
//! On a route without the layer, the answer is a 500 that names it ([`MissingVerifyLayer`]).
//! `Option<GeminiEvent>` and `Option<Delivery>` are `None` there, for a handler that is also
//! reachable without the layer.
//! ```
//! use axum::{Router, http::StatusCode, routing::post};
//! use gemini_webhooks::{Delivery, GeminiEvent, VerifyLayer, WebhookReceiver, testing};
//!
//! async fn on_event(delivery: Delivery, event: GeminiEvent) -> StatusCode {
//!     println!("{} {:?}", delivery.id(), event.kind());
//!     StatusCode::OK
//! }
//!
//! let receiver = WebhookReceiver::builder()
//!     .signing_secret(testing::SECRET)
//!     .build()?;
//! let callback = post(on_event).layer(VerifyLayer::new(receiver));
//! let app: Router = Router::new().route("/gemini-callback", callback);
//! # Ok::<(), gemini_webhooks::ConfigError>(())
//! ```
//!
//! # Routes by type
//!
//! [`EventRoutes`](crate::tower::EventRoutes) calls a handler for each type of event. Such a handler
//! may name the payload of its type, such as [`BatchSucceeded`]. If an event of another type
//! reaches it, the answer is a 500 that says so ([`PayloadRejection`]); an `Option` is `None`.
//!
//! ```
//! use axum::Router;
//! use axum::body::Body;
//! use axum::extract::State;
//! use axum::http::{Request, StatusCode};
//! use axum::routing::post;
//! use gemini_webhooks::event::{BatchFailed, BatchSucceeded};
//! use gemini_webhooks::tower::{EventRoutes, Layer as _};
//! # use gemini_webhooks::{Clock as _, SystemClock};
//! use gemini_webhooks::{Delivery, VerifyLayer, WebhookReceiver, testing};
//! use tower::ServiceExt as _;
//!
//! #[derive(Clone)]
//! struct App {/* a pool, a queue */}
//!
//! async fn on_success(State(app): State<App>, batch: BatchSucceeded) -> StatusCode {
//!     println!("{:?} is done", batch.id());
//!     StatusCode::ACCEPTED
//! }
//!
//! async fn on_failure(delivery: Delivery, batch: BatchFailed) -> StatusCode {
//!     println!("{}: {:?} failed", delivery.id(), batch.id());
//!     StatusCode::OK
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let receiver = WebhookReceiver::builder()
//!     .signing_secret(testing::SECRET)
//!     .build()?;
//! let routes = EventRoutes::new()
//!     .on::<BatchSucceeded>(post(on_success).with_state(App {}))
//!     .on::<BatchFailed>(post(on_failure))
//!     .otherwise_acknowledge()?;
//! let callback = VerifyLayer::new(receiver).layer(routes);
//! let app: Router = Router::new().route_service("/gemini-callback", callback);
//!
//! # let signed = |id: &str, body: &'static str| {
//! #     let now = SystemClock.now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
//! #     let mut request = Request::post("/gemini-callback").body(Body::from(body))?;
//! #     for (name, value) in testing::sign_v1(&testing::SECRET.parse()?, id, now, body) {
//! #         request.headers_mut().insert(name, value.parse()?);
//! #     }
//! #     Ok::<_, Box<dyn std::error::Error>>(request)
//! # };
//! let body = r#"{"type":"batch.succeeded","data":{"id":"batches/1"}}"#;
//! let success = signed("msg_1", body)?;
//! assert_eq!(app.clone().oneshot(success).await?.status(), 202);
//!
//! let another = signed("msg_2", r#"{"type":"video.generated"}"#)?;
//! assert_eq!(app.clone().oneshot(another).await?.status(), 200);
//!
//! let unsigned = Request::post("/gemini-callback").body(Body::from(body))?;
//! assert_eq!(app.oneshot(unsigned).await?.status(), 400);
//! # Ok(())
//! # }
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::fmt;

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use crate::event::{
    BatchCancelled, BatchExpired, BatchFailed, BatchSucceeded, GeminiEvent, InteractionCancelled,
    InteractionCompleted, InteractionFailed, InteractionRequiresAction, Payload, VideoGenerated,
    each_payload,
};
use crate::receiver::Delivery;
use crate::trace;

pub use crate::tower::MissingVerifyLayer;

impl IntoResponse for MissingVerifyLayer {
    fn into_response(self) -> Response {
        trace::misconfigured(&self);
        (self.status(), self.body_text()).into_response()
    }
}

macro_rules! extractor {
    ($type:ty) => {
        impl<S: Send + Sync> FromRequestParts<S> for $type {
            type Rejection = MissingVerifyLayer;

            async fn from_request_parts(
                parts: &mut Parts,
                _: &S,
            ) -> Result<Self, MissingVerifyLayer> {
                parts.extensions.get().cloned().ok_or(MissingVerifyLayer)
            }
        }

        impl<S: Send + Sync> OptionalFromRequestParts<S> for $type {
            type Rejection = Infallible;

            async fn from_request_parts(
                parts: &mut Parts,
                _: &S,
            ) -> Result<Option<Self>, Infallible> {
                Ok(parts.extensions.get().cloned())
            }
        }
    };
}

extractor!(GeminiEvent);
extractor!(Delivery);

/// The error when a handler names a payload that the request does not have.
///
/// It is a mistake in the app, so the answer is a 500, and Google retries.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum PayloadRejection {
    /// The route has no [`VerifyLayer`](crate::VerifyLayer).
    MissingVerifyLayer(MissingVerifyLayer),
    /// The event is of another type than the payload that the handler names.
    AnotherType(AnotherType),
}

/// The error when an event reaches a handler for events of another type.
///
/// It is a mistake in the app, so the answer is a 500, and Google retries.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AnotherType {
    /// The type that the handler is for, such as `batch.succeeded`.
    pub expected: &'static str,
}

impl fmt::Display for AnotherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected } = self;
        write!(
            f,
            "an event of another type reached a handler for `{expected}`: give each type its own handler with `EventRoutes` of gemini-webhooks, or take an `Option` of the payload"
        )
    }
}

impl Error for AnotherType {}

impl PayloadRejection {
    /// Returns the status to answer: 500.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::INTERNAL_SERVER_ERROR
    }

    /// Returns the text of the response.
    #[must_use]
    pub fn body_text(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for PayloadRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingVerifyLayer(error) => error.fmt(f),
            Self::AnotherType(error) => error.fmt(f),
        }
    }
}

impl Error for PayloadRejection {}

impl IntoResponse for PayloadRejection {
    fn into_response(self) -> Response {
        trace::misconfigured(&self);
        (self.status(), self.body_text()).into_response()
    }
}

fn payload<P: Payload>(parts: &Parts) -> Result<P, PayloadRejection> {
    let event: &GeminiEvent = parts
        .extensions
        .get()
        .ok_or(PayloadRejection::MissingVerifyLayer(MissingVerifyLayer))?;
    let expected = P::TYPE_NAME;
    event
        .payload()
        .cloned()
        .ok_or(PayloadRejection::AnotherType(AnotherType { expected }))
}

// No trait of another crate can be implemented for all of them at once.
macro_rules! payload_extractors {
    ($($payload:ident)+) => {
        $(
            impl<S: Send + Sync> FromRequestParts<S> for $payload {
                type Rejection = PayloadRejection;

                async fn from_request_parts(
                    parts: &mut Parts,
                    _: &S,
                ) -> Result<Self, PayloadRejection> {
                    payload(parts)
                }
            }

            impl<S: Send + Sync> OptionalFromRequestParts<S> for $payload {
                type Rejection = Infallible;

                async fn from_request_parts(
                    parts: &mut Parts,
                    _: &S,
                ) -> Result<Option<Self>, Infallible> {
                    Ok(payload(parts).ok())
                }
            }
        )+
    };
}

each_payload!(payload_extractors);

#[cfg(test)]
mod tests {
    use axum::body::{Body, Bytes, to_bytes};
    use axum::extract::State;
    use axum::http::Request;
    use axum::routing::{MethodRouter, post, post_service};
    use axum::{Json, Router};
    use tower::{Layer as _, ServiceExt as _};

    use super::*;
    use crate::receiver::WebhookReceiver;
    use crate::testing::{self, ManualClock};
    use crate::tower::{EventRouter, EventRoutes, VerifyLayer};

    const EVENT: &str = r#"{ "type": "batch.expired" }"#;

    async fn send(app: Router) -> (StatusCode, String) {
        let clock = ManualClock::default();
        let mut request = Request::post("/")
            .header("content-type", "application/json")
            .body(Body::from(EVENT))
            .unwrap();
        let secret = testing::SECRET.parse().unwrap();
        for (name, value) in testing::sign_v1(&secret, "msg_1", clock.unix_seconds(), EVENT) {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let response = app.oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 4096).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn layer() -> VerifyLayer {
        let builder = WebhookReceiver::builder().signing_secret(testing::SECRET);
        VerifyLayer::new(builder.clock(ManualClock::default()).build().unwrap())
    }

    #[tokio::test]
    async fn a_handler_gets_event_delivery_and_the_exact_body() {
        async fn whole(event: GeminiEvent, delivery: Delivery, body: Bytes) -> String {
            assert_eq!(body, EVENT);
            format!(
                "{} {}",
                delivery.id(),
                event.type_name().unwrap_or_default()
            )
        }
        async fn optional(event: Option<GeminiEvent>, delivery: Option<Delivery>) -> String {
            format!("{} {}", event.is_some(), delivery.is_some())
        }
        async fn json(_: GeminiEvent, Json(value): Json<serde_json::Value>) -> String {
            value["type"].to_string()
        }
        let on_route = |handler| Router::new().route("/", handler);
        let expected = (StatusCode::OK, "msg_1 batch.expired".to_owned());
        assert_eq!(send(on_route(post(whole).layer(layer()))).await, expected);
        assert_eq!(send(on_route(post(whole).layer(layer()))).await, expected);
        assert_eq!(
            send(on_route(post(whole)).route_layer(layer())).await,
            expected
        );
        assert_eq!(send(on_route(post(whole)).layer(layer())).await, expected);
        let app = on_route(post(optional).layer(layer()));
        assert_eq!(send(app).await, (StatusCode::OK, "true true".to_owned()));
        let app = on_route(post(json).layer(layer()));
        assert_eq!(
            send(app).await,
            (StatusCode::OK, "\"batch.expired\"".to_owned())
        );
    }

    #[tokio::test]
    async fn a_handler_gets_the_payload_of_its_type() {
        async fn expired(batch: BatchExpired) -> String {
            format!("{:?}", batch.id())
        }
        async fn optional(batch: Option<BatchExpired>, video: Option<VideoGenerated>) -> String {
            format!("{} {}", batch.is_some(), video.is_some())
        }
        async fn video(_: VideoGenerated) {}
        let on_route = |handler: MethodRouter| Router::new().route("/", handler.layer(layer()));
        let (status, text) = send(on_route(post(expired))).await;
        assert_eq!((status, text.as_str()), (StatusCode::OK, "None"));
        let (status, text) = send(on_route(post(optional))).await;
        assert_eq!((status, text.as_str()), (StatusCode::OK, "true false"));

        let (status, text) = send(on_route(post(video))).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(text.contains("`video.generated`"), "{text}");
        let (status, text) = send(Router::new().route("/", post(video))).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(text.contains("VerifyLayer"), "{text}");
    }

    #[tokio::test]
    async fn routes_by_type_take_handlers_with_state_and_routers() {
        async fn expired(State(n): State<u8>, _: BatchExpired, body: Bytes) -> String {
            format!("{n} {}", body.len())
        }
        let routes = || EventRoutes::new().on::<VideoGenerated>(post(async || "a video"));
        let verified = |routes| layer().layer(routes);
        let with = |routes: EventRouter<Body, Infallible>| {
            Router::new().route_service("/", verified(routes))
        };
        let expected = (StatusCode::OK, format!("7 {}", EVENT.len()));

        let handler = post(expired).with_state(7);
        let app = with(
            routes()
                .on::<BatchExpired>(handler)
                .otherwise_refuse()
                .unwrap(),
        );
        assert_eq!(send(app).await, expected);

        let router = Router::new().route("/", post(expired)).with_state(7);
        let app = with(routes().otherwise(router).unwrap());
        assert_eq!(send(app).await, expected);

        let detached = layer().finish_once_started();
        let app = detached.layer(routes().otherwise_refuse().unwrap());
        let app = Router::new().route_service("/", app);
        assert_eq!(send(app).await.0, StatusCode::NOT_IMPLEMENTED);

        let routes = routes().otherwise_refuse().unwrap();
        let app = Router::new().route("/", post_service(verified(routes)));
        assert_eq!(send(app).await.0, StatusCode::NOT_IMPLEMENTED);
    }

    #[tokio::test]
    async fn without_the_layer_it_is_our_mistake() {
        async fn event(_: GeminiEvent) {}
        async fn delivery(_: Delivery) {}
        async fn optional(event: Option<GeminiEvent>, delivery: Option<Delivery>) -> String {
            format!("{} {}", event.is_some(), delivery.is_some())
        }
        for app in [
            Router::new().route("/", post(event)),
            Router::new().route("/", post(delivery)),
        ] {
            let (status, text) = send(app).await;
            assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
            assert!(text.contains("VerifyLayer"), "{text}");
        }
        let app = Router::new().route("/", post(optional));
        assert_eq!(send(app).await, (StatusCode::OK, "false false".to_owned()));
    }
}
