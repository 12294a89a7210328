use actix_web::{HttpResponse, dev::HttpServiceFactory, web};
use gemini_webhooks::{
    ConfigError, EndpointToken, GeminiEvent, VerifyWebhook, WebhookReceiver,
};

fn receiver(token: EndpointToken) -> Result<WebhookReceiver, ConfigError> {
    WebhookReceiver::builder()
        .google_keys()
        .endpoint_token(token)
        .build()
}

fn callback(receiver: WebhookReceiver) -> impl HttpServiceFactory {
    web::resource("/gemini-webhook-dynamic")
        .wrap(VerifyWebhook::new(receiver))
        .route(web::post().to(on_event))
}

async fn on_event(event: GeminiEvent) -> HttpResponse {
    println!("{:?}", event.kind());
    HttpResponse::Ok().finish()
}
