use actix_web::web::{self, ServiceConfig};
use gemini_webhooks::{VerifyWebhook, WebhookReceiver};
use gemini_webhooks_inbox::{Database, Inbox};

/// Build the receiver and open the inbox once, outside of `HttpServer::new`.
fn routes<DB: Database>(
    inbox: Inbox<DB>,
    receiver: WebhookReceiver,
) -> impl Fn(&mut ServiceConfig) {
    move |app| {
        let callback = web::resource("/gemini-callback")
            .wrap(VerifyWebhook::new(receiver.clone()))
            .route(web::post().to(inbox.handler()));
        app.service(callback);
    }
}
