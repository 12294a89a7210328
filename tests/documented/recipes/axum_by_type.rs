use axum::{Router, http::StatusCode, routing::post};
use gemini_webhooks::event::{BatchSucceeded, VideoGenerated};
use gemini_webhooks::tower::{EventRoutes, Layer as _};
use gemini_webhooks::{ConfigError, VerifyLayer, WebhookReceiver};

fn app(receiver: WebhookReceiver) -> Result<Router, ConfigError> {
    let routes = EventRoutes::new()
        .on::<BatchSucceeded>(post(on_batch))
        .on::<VideoGenerated>(post(on_video))
        .otherwise_acknowledge()?;
    let callback = VerifyLayer::new(receiver).layer(routes);
    Ok(Router::new().route_service("/gemini-callback", callback))
}

async fn on_batch(batch: BatchSucceeded) -> StatusCode {
    println!("{:?} is done", batch.id());
    StatusCode::ACCEPTED
}

async fn on_video(video: VideoGenerated) -> StatusCode {
    println!("{:?} is there", video.file_name());
    StatusCode::ACCEPTED
}
