use actix_web::{HttpResponse, web};
use gemini_webhooks::{GeminiEvent, VerifyWebhook, WebhookReceiver};

/// For `App::configure`.
fn callbacks(config: &mut web::ServiceConfig, receiver: &WebhookReceiver) {
    let verify = VerifyWebhook::new(receiver.clone());
    config
        .service(
            web::resource("/batches")
                .wrap(verify.clone())
                .route(web::post().to(on_batch)),
        )
        .service(
            web::resource("/videos")
                .wrap(verify)
                .route(web::post().to(on_video)),
        );
}

async fn on_batch(event: GeminiEvent) -> HttpResponse {
    println!("{:?}", event.kind());
    HttpResponse::Ok().finish()
}

async fn on_video(event: GeminiEvent) -> HttpResponse {
    println!("{:?}", event.kind());
    HttpResponse::Ok().finish()
}
