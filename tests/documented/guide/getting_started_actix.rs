use actix_web::dev::HttpServiceFactory;
use actix_web::{App, HttpResponse, HttpServer, web};
use gemini_webhooks::{
    Delivery, EventKind, GeminiEvent, VerifyWebhook, WebhookReceiver,
};

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init();
    // Outside of `HttpServer::new`, so that all workers share one receiver.
    let receiver = WebhookReceiver::builder()
        .signing_secret_from_env("WEBHOOK_SIGNING_SECRET")
        .build()
        .map_err(|error| error.to_string())?; // `main` shows this text
    HttpServer::new(move || App::new().service(callback(receiver.clone())))
        .bind("127.0.0.1:8000")?
        .run()
        .await?;
    Ok(())
}

fn callback(receiver: WebhookReceiver) -> impl HttpServiceFactory {
    web::resource("/gemini-callback")
        .wrap(VerifyWebhook::new(receiver))
        .route(web::post().to(on_event))
}

async fn on_event(delivery: Delivery, event: GeminiEvent) -> HttpResponse {
    let id = delivery.id();
    match event.kind() {
        EventKind::BatchSucceeded(batch) => {
            println!("{id}: results in {:?}", batch.output_file_uri());
        }
        EventKind::BatchFailed(batch) => {
            println!("{id}: failed with {:?}", batch.error_message());
        }
        // Google adds types. Anything but a 2xx would have them sent again.
        _ => println!("{id}: {:?}", event.type_name()),
    }
    HttpResponse::Ok().finish()
}
