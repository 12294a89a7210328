use actix_web::{HttpResponse, dev::HttpServiceFactory, web};
use gemini_webhooks::{GeminiEvent, VerifyWebhook, WebhookReceiver};

/// For `App::service`. `receiver` is built outside of `HttpServer::new` and cloned inside, so that
/// all workers share it.
fn callback(receiver: WebhookReceiver) -> impl HttpServiceFactory {
    web::resource("/gemini-callback")
        .wrap(VerifyWebhook::new(receiver))
        .route(web::post().to(on_event))
}

async fn on_event(event: GeminiEvent) -> HttpResponse {
    println!("{:?}", event.kind());
    HttpResponse::Ok().finish()
}
