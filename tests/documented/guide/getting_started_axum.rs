use axum::{Router, http::StatusCode, routing::post};
use gemini_webhooks::{
    Delivery, EventKind, GeminiEvent, VerifyLayer, WebhookReceiver,
};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init();
    let receiver = WebhookReceiver::builder()
        .signing_secret_from_env("WEBHOOK_SIGNING_SECRET")
        .build()
        .map_err(|error| error.to_string())?; // `main` shows this text
    let listener = TcpListener::bind("127.0.0.1:8000").await?;
    axum::serve(listener, app(receiver)).await?;
    Ok(())
}

fn app(receiver: WebhookReceiver) -> Router {
    let callback = post(on_event).layer(VerifyLayer::new(receiver));
    Router::new().route("/gemini-callback", callback)
}

async fn on_event(delivery: Delivery, event: GeminiEvent) -> StatusCode {
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
    StatusCode::OK
}
