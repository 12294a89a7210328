use actix_web::{HttpResponse, dev::HttpServiceFactory, web};
use gemini_webhooks::{GeminiEvent, VerifyWebhook, WebhookReceiver};

/// For `App::service`. Build the receiver outside of `HttpServer::new`.
fn callback(receiver: WebhookReceiver) -> impl HttpServiceFactory {
    // Around the resource, not around the route.
    web::resource("/gemini-callback")
        .wrap(VerifyWebhook::new(receiver))
        .route(web::post().to(on_event))
}

async fn on_event(event: GeminiEvent) -> HttpResponse {
    println!("{:?}", event.kind());
    HttpResponse::Ok().finish()
}
