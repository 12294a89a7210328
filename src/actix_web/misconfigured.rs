//! Errors for mistakes in how an app is put together. Each is answered 500, and Google retries.

use std::error::Error;
use std::fmt;

use ::actix_web::ResponseError;

/// The error when a handler asks for an event on a route without
/// [`VerifyWebhook`](super::VerifyWebhook).
///
/// Such a handler names [`GeminiEvent`](crate::GeminiEvent) or [`Delivery`](crate::Delivery), or is
/// [`acknowledge`](super::acknowledge) or [`refuse`](super::refuse). The answer is a 500.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MissingVerifyWebhook;

impl fmt::Display for MissingVerifyWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no `VerifyWebhook` of gemini-webhooks is on this route: wrap it around the resource, the scope or the app",
        )
    }
}

impl Error for MissingVerifyWebhook {}

/// Answers 500, with the text of the error.
impl ResponseError for MissingVerifyWebhook {}

/// The error when [`VerifyWebhook`](super::VerifyWebhook) is at a place where it cannot work.
///
/// That is inside of an [`EventType`](super::EventType) guard, or, for a JWT, inside of a
/// middleware that keeps a clone of the request. The text says which, and what to change. The
/// answer is a 500. No handler has run, and the event does not count as handled.
#[derive(Clone, Copy, Debug)]
pub struct MisplacedVerifyWebhook {
    text: &'static str,
}

impl MisplacedVerifyWebhook {
    pub(super) const INSIDE_OF_A_GUARD: Self = Self {
        text: "an `EventType` guard was asked before `VerifyWebhook` of gemini-webhooks had verified an \
               event: wrap `VerifyWebhook` around the resource, the scope or the app, and put the guard on a route inside",
    };
    pub(super) const INSIDE_OF_A_HOLDER: Self = Self {
        text: "a middleware around `VerifyWebhook` of gemini-webhooks keeps a clone of the `HttpRequest`, so \
               its headers cannot be corrected for the payload of a JWT: wrap `VerifyWebhook` around \
               that middleware, or drop the clone before the middleware calls the next service",
    };
}

impl fmt::Display for MisplacedVerifyWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl Error for MisplacedVerifyWebhook {}

/// Answers 500, with the text of the error.
impl ResponseError for MisplacedVerifyWebhook {}
