use actix_web::middleware::Logger;
use actix_web::{HttpResponse, dev::ServiceRequest, web};
use gemini_webhooks::{GeminiEvent, VerifyWebhook, WebhookReceiver};

/// For `App::wrap`.
fn logger() -> Logger {
    Logger::new(r#"%a "%{ROUTE}xi" %s %b %T"#)
        .custom_request_replace("ROUTE", route)
}

fn route(request: &ServiceRequest) -> String {
    let pattern = request.match_pattern();
    format!(
        "{} {}",
        request.method(),
        pattern.as_deref().unwrap_or("no route")
    )
}

/// For `App::configure`.
fn callbacks(config: &mut web::ServiceConfig, receiver: &WebhookReceiver) {
    for path in ["/gemini-webhook-dynamic", "/gemini-webhook-dynamic/{token}"] {
        config.service(
            web::resource(path)
                .wrap(VerifyWebhook::new(receiver.clone()))
                .route(web::post().to(on_event)),
        );
    }
}

async fn on_event(event: GeminiEvent) -> HttpResponse {
    println!("{:?}", event.kind());
    HttpResponse::Ok().finish()
}
