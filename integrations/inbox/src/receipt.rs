//! The answer to a delivery.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use gemini_webhooks::Delivery;

use crate::error::{InboxError, InboxErrorKind};
use crate::inbox::Stored;

/// The answer to a delivery, in axum and in actix-web: 200 if the event is stored, else 503.
#[derive(Clone, Debug)]
pub struct Receipt {
    stored: Result<Stored, InboxErrorKind>,
}

impl Receipt {
    pub(crate) fn of(stored: Result<Stored, InboxError>, delivery: &Delivery) -> Self {
        if let Err(error) = &stored {
            tracing::error!(
                webhook_id = delivery.id(),
                "cannot store the event, and have it sent again: {error}"
            );
        }
        Self {
            stored: stored.map_err(|error| error.kind()),
        }
    }

    /// Returns whether the event was new.
    ///
    /// # Errors
    ///
    /// It could not be stored.
    pub fn stored(&self) -> Result<Stored, InboxErrorKind> {
        self.stored
    }

    /// Returns the status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        if self.stored.is_ok() { 200 } else { 503 }
    }

    /// Returns the answer's body, which is JSON.
    #[must_use]
    pub fn body(&self) -> &'static str {
        match self.stored {
            Ok(_) => r#"{"status":"received"}"#,
            Err(InboxErrorKind::Full) => r#"{"error":"inbox_full"}"#,
            Err(_) => r#"{"error":"inbox_unavailable"}"#,
        }
    }

    /// Returns after how many seconds to come again, if the event is not stored.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        match self.stored {
            Ok(_) => None,
            Err(InboxErrorKind::Full) => Some(60),
            Err(_) => Some(10),
        }
    }
}

/// What [`Inbox::handler`](crate::Inbox::handler) returns for a delivery.
#[must_use = "it does nothing until it is polled"]
pub struct HandlerFuture(Pin<Box<dyn Future<Output = Receipt> + Send>>);

impl HandlerFuture {
    pub(crate) fn new(receipt: Pin<Box<dyn Future<Output = Receipt> + Send>>) -> Self {
        Self(receipt)
    }
}

impl Future for HandlerFuture {
    type Output = Receipt;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Receipt> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for HandlerFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerFuture").finish_non_exhaustive()
    }
}

#[cfg(feature = "axum")]
impl axum_core::response::IntoResponse for Receipt {
    fn into_response(self) -> axum_core::response::Response {
        use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};

        let mut response = axum_core::response::Response::new(self.body().into());
        if let Ok(status) = self.status().try_into() {
            *response.status_mut() = status;
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

#[cfg(feature = "actix-web")]
impl actix_web::Responder for Receipt {
    type Body = actix_web::body::BoxBody;

    fn respond_to(self, _: &actix_web::HttpRequest) -> actix_web::HttpResponse {
        use actix_web::HttpResponse;
        use actix_web::http::header::RETRY_AFTER;

        let mut response = match self.stored {
            Ok(_) => HttpResponse::Ok(),
            Err(_) => HttpResponse::ServiceUnavailable(),
        };
        if let Some(seconds) = self.retry_after() {
            response.insert_header((RETRY_AFTER, seconds.to_string()));
        }
        response.content_type("application/json").body(self.body())
    }
}
