use actix_web::{HttpResponse, dev::HttpServiceFactory, web};
use gemini_webhooks::actix_web::{EventType, acknowledge};
use gemini_webhooks::event::{BatchSucceeded, Payload as _, VideoGenerated};
use gemini_webhooks::{GeminiEvent, VerifyWebhook, WebhookReceiver};

fn callback(receiver: WebhookReceiver) -> impl HttpServiceFactory {
    let batches = web::post().guard(EventType(BatchSucceeded::TYPE_NAME));
    let videos = web::post().guard(EventType(VideoGenerated::TYPE_NAME));
    web::resource("/gemini-callback")
        // Around the resource, not around a route: the guards look at the
        // event that it has verified.
        .wrap(VerifyWebhook::new(receiver))
        .route(batches.to(on_batch))
        .route(videos.to(on_video))
        .route(web::post().to(acknowledge))
}

async fn on_batch(event: GeminiEvent) -> HttpResponse {
    println!("{:?}", event.kind());
    HttpResponse::Accepted().finish()
}

async fn on_video(event: GeminiEvent) -> HttpResponse {
    println!("{:?}", event.kind());
    HttpResponse::Accepted().finish()
}
