use std::time::Duration;

use axum::{Router, extract::State, http::StatusCode, routing::post};
use gemini_webhooks::{Delivery, EventKind, GeminiEvent, VerifyLayer, WebhookReceiver};
use gemini_webhooks_sqlx::PostgresGuard;
use gemini_webhooks_sqlx::postgres::settle_in;
use gemini_webhooks_sqlx::sqlx::{self, PgPool};

async fn app(pool: PgPool, secret: &str) -> Result<Router, Box<dyn std::error::Error>> {
    let guard = PostgresGuard::new(pool.clone());
    guard.migrate().await?;
    tokio::spawn(guard.cleanup_every(Duration::from_secs(3600)));

    let receiver = WebhookReceiver::builder()
        .signing_secret(secret)
        // The same on all replicas, and different in staging.
        .guard("orders-production", guard)
        .build()?;
    receiver.ready().await?;
    let layer = VerifyLayer::new(receiver).finish_once_started();
    let callback = post(on_event).layer(layer);
    Ok(Router::new()
        .route("/gemini-callback", callback)
        .with_state(pool))
}

async fn on_event(
    State(pool): State<PgPool>,
    delivery: Delivery,
    event: GeminiEvent,
) -> StatusCode {
    match handle(&pool, &delivery, &event).await {
        Ok(()) => StatusCode::OK,
        // Google retries.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// All of it takes effect, or nothing does.
async fn handle(pool: &PgPool, delivery: &Delivery, event: &GeminiEvent) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    if let EventKind::BatchSucceeded(batch) = event.kind() {
        sqlx::query("UPDATE jobs SET completions = completions + 1 WHERE id = $1")
            .bind(batch.id())
            .execute(&mut *transaction)
            .await?;
    }
    settle_in(&mut transaction, delivery).await?;
    transaction.commit().await
}
