use axum::extract::State;
use axum::{Router, http::StatusCode, routing::post};
use gemini_webhooks::event::{BatchSucceeded, VideoGenerated};
use gemini_webhooks::tower::{EventRoutes, Layer as _};
use gemini_webhooks::{ConfigError, VerifyLayer, WebhookReceiver};

#[derive(Clone)]
struct App {/* a pool, a queue */}

fn app(receiver: WebhookReceiver) -> Result<Router, ConfigError> {
    let state = App {};
    let routes = EventRoutes::new()
        // A handler that takes the state is given it here.
        .on::<BatchSucceeded>(post(on_batch).with_state(state))
        .on::<VideoGenerated>(post(on_video))
        .otherwise_acknowledge()?;
    let callback = VerifyLayer::new(receiver).layer(routes);
    Ok(Router::new().route_service("/gemini-callback", callback))
}

async fn on_batch(State(_): State<App>, batch: BatchSucceeded) -> StatusCode {
    println!("{:?} is done", batch.id());
    StatusCode::ACCEPTED
}

async fn on_video(video: VideoGenerated) -> StatusCode {
    println!("{:?} is there", video.file_name());
    StatusCode::ACCEPTED
}
