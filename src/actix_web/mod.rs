//! Middleware and extractors for actix-web 4: [`VerifyWebhook`], and events in a handler.
//!
//! Wrap the middleware [around a resource, a scope or the app](VerifyWebhook#where-it-goes), and
//! name [`GeminiEvent`](crate::GeminiEvent) and [`Delivery`](crate::Delivery) in the handler. The
//! middleware checks each request before the handler sees it. It reads the payload within [its
//! limits](crate::WebhookReceiverBuilder), verifies it, and puts it back byte for byte, so a
//! handler may also take `web::Bytes`, `web::Json` or `String`, one of them.
//!
//! A refused delivery never reaches the handler. The answer is `{"error":"<code>"}` with the status
//! of the error, unless you [replace it](VerifyWebhook::error_handler), or a middleware outside
//! does (`ErrorHandlers`). There, `response.error()` is the [`VerifyError`].
//!
//! On a route without the middleware, the answer is a 500 that names it ([`MissingVerifyWebhook`]).
//! `Option<GeminiEvent>` is `None` there.
//!
//! Build the receiver **outside** of `HttpServer::new` and clone it inside. All workers then share
//! one guard, which remembers events, and one set of public keys.
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
//!     HttpServer::new(move || App::new().service(callback(receiver.clone())))
//!         .bind("127.0.0.1:8000")?
//!         .run()
//!         .await?;
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
//! # When the sender leaves
//!
//! If the sender closes the connection, actix-web still runs the handler to its end, and the event
//! counts as handled if it succeeds. actix-web drops a handler if it panics, if the server is
//! stopped by force, or if the connection is reset, as some proxies do when they lose patience.
//! Then the event is handled again when Google retries. For handlers that cannot be quick, there is
//! [`finish_once_started`](VerifyWebhook::finish_once_started).
//!
//! # Middleware outside
//!
//! A middleware outside of this one must not keep a clone of the `HttpRequest` while it calls the
//! next service. actix-web panics if it has to route such a request. For a
//! [JWT](crate::Scheme::Jwt), this middleware must change the headers, which actix-web does not
//! allow then. The answer is a 500 ([`MisplacedVerifyWebhook`]), the log says why, and Google
//! retries. (actix-web offers no way to ask beforehand, so its panic is caught. A panic hook still
//! reports it.)
//!
//! # Routes by type
//!
//! [`EventType`] is a guard for routes. If no route takes an event, actix-web answers 404 or 405, and
//! Google sends the event again for a day. So add a last route to [`acknowledge`] or [`refuse`]. If
//! you forget it, an error in the log says so.
//! ```
//! use actix_web::dev::HttpServiceFactory;
//! use actix_web::web;
//! use gemini_webhooks::actix_web::{EventType, acknowledge};
//! use gemini_webhooks::event::{BatchSucceeded, Payload as _, VideoGenerated};
//! use gemini_webhooks::{GeminiEvent, VerifyWebhook, WebhookReceiver};
//!
//! # async fn on_batch(_: GeminiEvent) -> &'static str { "" }
//! # async fn on_video(_: GeminiEvent) -> &'static str { "" }
//! fn callback(receiver: WebhookReceiver) -> impl HttpServiceFactory {
//!     let batch = EventType(BatchSucceeded::TYPE_NAME);
//!     let video = EventType(VideoGenerated::TYPE_NAME);
//!     web::resource("/gemini-callback")
//!         .wrap(VerifyWebhook::new(receiver))
//!         .route(web::post().guard(batch).to(on_batch))
//!         .route(web::post().guard(video).to(on_video))
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

/// Answers `{"error":"<code>"}` with the [code](VerifyErrorKind::code) and the status of the error,
/// `Retry-After` if the sender should wait (409 and 503), and `Allow: POST` with a 405.
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
