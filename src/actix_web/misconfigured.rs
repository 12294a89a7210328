//! Mistakes in how an app is put together. Each is a 500: the sender did nothing wrong and will try
//! again.

use std::error::Error;
use std::fmt;

use ::actix_web::ResponseError;

/// The error of a handler that wants an event on a route without
/// [`VerifyWebhook`](super::VerifyWebhook).
///
/// Such a handler names [`GeminiEvent`](crate::GeminiEvent) or [`Delivery`](crate::Delivery), or is
/// [`acknowledge`](super::acknowledge) or [`refuse`](super::refuse).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MissingVerifyWebhook;

impl fmt::Display for MissingVerifyWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no `VerifyWebhook` of gemini-webhooks is on this route")
    }
}

impl Error for MissingVerifyWebhook {}

/// 500, and what is missing.
impl ResponseError for MissingVerifyWebhook {}

/// The error of a request that meets [`VerifyWebhook`](super::VerifyWebhook) at a place where it cannot
/// work.
///
/// That is inside of an [`EventType`](super::EventType) guard, or inside of a middleware that keeps a
/// clone of the request while a token is received. The text says which. No handler has run, and the
/// event is not counted as handled.
#[derive(Clone, Copy, Debug)]
pub struct MisplacedVerifyWebhook {
    text: &'static str,
}

impl MisplacedVerifyWebhook {
    pub(super) const INSIDE_OF_A_GUARD: Self = Self {
        text: "an `EventType` guard was asked before `VerifyWebhook` of gemini-webhooks had verified an \
               event: wrap `VerifyWebhook` around the resource, the scope or the app, and put the guard on a route in it",
    };
    pub(super) const INSIDE_OF_A_HOLDER: Self = Self {
        text: "a middleware around `VerifyWebhook` of gemini-webhooks keeps a clone of the `HttpRequest`, so \
               that its headers cannot be made to fit the payload of a token: wrap `VerifyWebhook` around \
               that middleware, or let the clone go before the middleware calls on",
    };
}

impl fmt::Display for MisplacedVerifyWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl Error for MisplacedVerifyWebhook {}

/// 500, and what to change.
impl ResponseError for MisplacedVerifyWebhook {}
