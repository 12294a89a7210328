use axum::{Router, http::StatusCode, routing::post};
use gemini_webhooks::event::BatchSucceeded;
use gemini_webhooks::tower::{EventRoutes, Layer as _};
use gemini_webhooks::{ConfigError, VerifyLayer, WebhookReceiver};

fn app(receiver: WebhookReceiver) -> Result<Router, ConfigError> {
    let layer = VerifyLayer::new(receiver);
    let routes = EventRoutes::new()
        .on::<BatchSucceeded>(post(on_batch))
        .otherwise_acknowledge()?;
    let callback = layer.clone().layer(routes);
    let router = Router::new().route_service("/gemini-callback", callback);
    Ok(router.layer(layer))
}

async fn on_batch(batch: BatchSucceeded) -> StatusCode {
    println!("{:?} is done", batch.id());
    StatusCode::ACCEPTED
}
