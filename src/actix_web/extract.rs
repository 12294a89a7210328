use std::error::Error;
use std::fmt;
use std::future::{Ready, ready};

use ::actix_web::dev::Payload;
use ::actix_web::{FromRequest, HttpMessage as _, HttpRequest, ResponseError};

use crate::event::GeminiEvent;
use crate::receiver::Delivery;
use crate::trace;

/// A handler names [`GeminiEvent`] or [`Delivery`], but no [`VerifyWebhook`](super::VerifyWebhook)
/// is on its route. A mistake of ours, so a 500: the sender did nothing wrong and will try again.
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

macro_rules! extractor {
    ($type:ty) => {
        impl FromRequest for $type {
            type Error = MissingVerifyWebhook;
            type Future = Ready<Result<Self, MissingVerifyWebhook>>;

            fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
                let found = request.extensions().get::<Self>().cloned();
                ready(found.ok_or_else(|| {
                    trace::misconfigured(&MissingVerifyWebhook);
                    MissingVerifyWebhook
                }))
            }
        }
    };
}

extractor!(GeminiEvent);
extractor!(Delivery);
