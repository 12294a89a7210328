//! Extractors for axum 0.8: [`GeminiEvent`] and [`Delivery`] in a handler's signature.
//!
//! Put a [`VerifyLayer`](crate::VerifyLayer) on the route. A handler may also take the body, as
//! `Bytes` or any other extractor that reads it: it is byte for byte what was signed.
//!
//! `Option<GeminiEvent>` and `Option<Delivery>` are `None` where the layer is missing; without
//! the `Option` that is a 500 that says so ([`MissingVerifyLayer`]).
//!
//! ```
//! use axum::{Router, http::StatusCode, routing::post};
//! use gemini_webhooks::{Delivery, GeminiEvent, VerifyLayer, WebhookReceiver, testing};
//!
//! async fn on_event(delivery: Delivery, event: GeminiEvent) -> StatusCode {
//!     println!("{} {:?}", delivery.id(), event.kind());
//!     StatusCode::OK
//! }
//!
//! let receiver = WebhookReceiver::builder().signing_secret(testing::SECRET).build()?;
//! let app: Router = Router::new()
//!     .route("/gemini-callback", post(on_event).route_layer(VerifyLayer::new(receiver)));
//! # Ok::<(), gemini_webhooks::ConfigError>(())
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::fmt;

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use crate::event::GeminiEvent;
use crate::receiver::Delivery;
use crate::trace;

/// A handler names [`GeminiEvent`] or [`Delivery`], but no [`VerifyLayer`](crate::VerifyLayer) is
/// on its route. A mistake of ours, so a 500: the sender did nothing wrong and will try again.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MissingVerifyLayer;

impl MissingVerifyLayer {
    /// 500.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::INTERNAL_SERVER_ERROR
    }

    /// What the response says.
    #[must_use]
    pub fn body_text(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for MissingVerifyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no `VerifyLayer` of gemini-webhooks is on this route")
    }
}

impl Error for MissingVerifyLayer {}

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

#[cfg(test)]
mod tests {
    use axum::body::{Body, Bytes, to_bytes};
    use axum::http::Request;
    use axum::routing::post;
    use axum::{Json, Router};
    use tower::ServiceExt as _;

    use super::*;
    use crate::receiver::WebhookReceiver;
    use crate::testing::{self, ManualClock};
    use crate::tower::VerifyLayer;

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
        assert_eq!(
            send(on_route(post(whole).route_layer(layer()))).await,
            expected
        );
        assert_eq!(send(on_route(post(whole).layer(layer()))).await, expected);
        assert_eq!(
            send(on_route(post(whole)).route_layer(layer())).await,
            expected
        );
        assert_eq!(send(on_route(post(whole)).layer(layer())).await, expected);
        let app = on_route(post(optional).route_layer(layer()));
        assert_eq!(send(app).await, (StatusCode::OK, "true true".to_owned()));
        let app = on_route(post(json).route_layer(layer()));
        assert_eq!(
            send(app).await,
            (StatusCode::OK, "\"batch.expired\"".to_owned())
        );
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
