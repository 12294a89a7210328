use actix_web::{HttpResponse, dev::HttpServiceFactory, web};
use gemini_webhooks::{ConfigError, VerifyWebhook, WebhookReceiver};

const MAX_BODY_BYTES: usize = 3 * 1024 * 1024;

fn receiver(secret: &str) -> Result<WebhookReceiver, ConfigError> {
    WebhookReceiver::builder()
        .signing_secret(secret)
        .max_body_bytes(MAX_BODY_BYTES)
        .build()
}

fn callback(receiver: WebhookReceiver) -> impl HttpServiceFactory {
    web::resource("/gemini-callback")
        // For `Bytes` and `String`; `Json` has a limit of its own.
        .app_data(web::PayloadConfig::new(MAX_BODY_BYTES))
        .app_data(web::JsonConfig::default().limit(MAX_BODY_BYTES))
        .wrap(VerifyWebhook::new(receiver))
        .route(web::post().to(on_event))
}

async fn on_event(body: web::Bytes) -> HttpResponse {
    println!("{} bytes", body.len());
    HttpResponse::Ok().finish()
}
