//! Middleware and extractors for actix-web 4: [`VerifyWebhook`],
//! [`GeminiEvent`](crate::GeminiEvent) and [`Delivery`](crate::Delivery) in a handler's signature.
//!
//! The middleware goes [around an app, a scope or a resource](VerifyWebhook#where-it-goes). It examines each request before a handler
//! sees it: the payload is read within [its limits](crate::WebhookReceiverBuilder), verified, and put
//! back byte for byte, so that a handler may also take `web::Bytes`, `web::Json` or `String`. What is
//! refused never reaches the handler; the answer is `{"error":"<code>"}` with the status of the
//! error, unless it is [replaced](VerifyWebhook::error_handler) or a middleware outside does so
//! (`ErrorHandlers`). There, `response.error()` is the [`VerifyError`].
//!
//! `Option<GeminiEvent>` is `None` where the middleware is missing; without the `Option` that is a
//! 500 that says so ([`MissingVerifyWebhook`]).
//!
//! Build the receiver **outside** of `HttpServer::new` and clone it inside: workers then share one
//! guard and one set of keys.
//!
//! ```
//! use actix_web::dev::HttpServiceFactory;
//! use actix_web::{App, HttpResponse, HttpServer, Responder, web};
//! use gemini_webhooks::{Delivery, GeminiEvent, VerifyWebhook, WebhookReceiver};
//!
//! async fn on_event(delivery: Delivery, event: GeminiEvent) -> impl Responder {
//!     println!("{} {:?}", delivery.id(), event.kind());
//!     HttpResponse::Ok()
//! }
//!
//! fn callback(receiver: WebhookReceiver) -> impl HttpServiceFactory {
//!     web::resource("/gemini-callback")
//!         .wrap(VerifyWebhook::new(receiver))
//!         .route(web::post().to(on_event))
//! }
//!
//! async fn serve(secret: &str) -> Result<(), Box<dyn std::error::Error>> {
//!     let receiver = WebhookReceiver::builder().signing_secret(secret).build()?;
//!     let server = HttpServer::new(move || App::new().service(callback(receiver.clone())));
//!     server.bind("127.0.0.1:8000")?.run().await?;
//!     Ok(())
//! }
//! # #[actix_web::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use gemini_webhooks::testing::SECRET;
//! # use actix_web::test::{TestRequest, call_service, init_service};
//! # assert!(serve("no secret").await.is_err());
//! # let receiver = WebhookReceiver::builder().signing_secret(SECRET).build()?;
//! # let app = init_service(App::new().service(callback(receiver))).await;
//! # let unsigned = TestRequest::post().uri("/gemini-callback").to_request();
//! # assert_eq!(call_service(&app, unsigned).await.status(), 400);
//! # Ok(())
//! # }
//! ```
//!
//! # Who leaves when
//!
//! When a sender closes the connection, actix-web runs a handler to its end all the same, and its
//! event is settled. A handler is dropped when it panics, when its server is stopped by force, and when
//! the connection is reset, as some proxies do that lose patience: its claim is released, and the event
//! is handled when it comes again. For handlers that cannot be quick there is
//! [`finish_once_started`](VerifyWebhook::finish_once_started).
//!
//! A middleware outside of this one must not keep a clone of the `HttpRequest` while it calls on.
//! actix-web itself panics where it routes such a request. For a [token](crate::Scheme::Jwt) the
//! headers have to be changed, which actix-web does not allow then: the answer is a 500
//! ([`MisplacedVerifyWebhook`]), the log says why, and the event is handled when it comes again without
//! the clone. (actix-web has no way to ask before, so its panic is caught, and a panic hook tells of it.)
//!
//! # Routes by type
//!
//! [`EventType`] is a guard for routes. What no route takes is answered 404 or 405 by actix-web, and
//! would be sent again for a day: say what is to become of it, by a last route to [`acknowledge`] or
//! [`refuse`]. Where that is forgotten, the log says so.
//!
//! ```
//! use actix_web::dev::HttpServiceFactory;
//! use actix_web::web;
//! use gemini_webhooks::actix_web::{EventType, acknowledge};
//! use gemini_webhooks::{GeminiEvent, VerifyWebhook, WebhookReceiver};
//!
//! # async fn on_batch(_: GeminiEvent) -> &'static str { "" }
//! # async fn on_video(_: GeminiEvent) -> &'static str { "" }
//! fn callback(receiver: WebhookReceiver) -> impl HttpServiceFactory {
//!     web::resource("/gemini-callback")
//!         .wrap(VerifyWebhook::new(receiver))
//!         .route(web::post().guard(EventType("batch.succeeded")).to(on_batch))
//!         .route(web::post().guard(EventType("video.generated")).to(on_video))
//!         .route(web::post().to(acknowledge))
//! }
//! # #[actix_web::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use actix_web::test::{TestRequest, call_service, init_service};
//! # let receiver = WebhookReceiver::builder().signing_secret(gemini_webhooks::testing::SECRET).build()?;
//! # let app = init_service(actix_web::App::new().service(callback(receiver))).await;
//! # let unsigned = TestRequest::post().uri("/gemini-callback").to_request();
//! # assert_eq!(call_service(&app, unsigned).await.status(), 400);
//! # Ok(())
//! # }
//! ```

use ::actix_web::http::StatusCode;
use ::actix_web::http::header::{ALLOW, ContentType, RETRY_AFTER};
use ::actix_web::{HttpResponse, ResponseError};

use crate::error::{VerifyError, VerifyErrorKind};

mod extract;
mod future;
mod guard;
mod middleware;
mod misconfigured;
#[cfg(test)]
mod tests;

pub use future::VerifyFuture;
pub use guard::{EventType, acknowledge, refuse};
pub use middleware::{VerifyService, VerifyWebhook};
pub use misconfigured::{MisplacedVerifyWebhook, MissingVerifyWebhook};

/// `{"error":"<code>"}` with the [code](VerifyErrorKind::code) of the error's kind, `Retry-After`
/// where the sender should wait, and `Allow` with a 405.
impl ResponseError for VerifyError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header(ContentType::json());
        if let Some(after) = self.retry_after() {
            response.insert_header((RETRY_AFTER, after.as_secs()));
        }
        if self.kind() == VerifyErrorKind::MethodNotAllowed {
            response.insert_header((ALLOW, "POST"));
        }
        response.body(format!(r#"{{"error":"{}"}}"#, self.kind().code()))
    }
}
