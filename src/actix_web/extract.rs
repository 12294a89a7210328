use std::future::{Ready, ready};

use ::actix_web::dev::Payload;
use ::actix_web::{FromRequest, HttpMessage as _, HttpRequest};

use super::MissingVerifyWebhook;
use crate::event::GeminiEvent;
use crate::receiver::Delivery;
use crate::trace;

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
