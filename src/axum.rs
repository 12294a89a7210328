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
