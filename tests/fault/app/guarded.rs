//! The set-ups with a guard: in memory, in Redis, and in PostgreSQL with `settle_in`.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use gemini_webhooks::{Delivery, GeminiEvent, VerifyLayer, WebhookReceiverBuilder};
use gemini_webhooks_redis::RedisGuard;
use gemini_webhooks_sqlx::PostgresGuard;
use gemini_webhooks_sqlx::postgres::settle_in;
use gemini_webhooks_sqlx::sqlx::{self, PgPool, postgres::PgPoolOptions};
use serde_json::{Value, json};
use tokio::sync::watch;
use tracing::error;

use crate::line::Line;
use crate::mishap::{Mishap, Mishaps};
use crate::planted::MarksFirst;
use crate::{BoxError, NAMESPACE, Receivers, receivers, required, serve};

/// For the soak test, which has one process.
pub(crate) async fn memory(stop: watch::Receiver<bool>) -> Result<(), BoxError> {
    serve_lines(receivers(|builder| builder).await?, stop).await
}

/// The receiver settles after the handler's 2xx. The work is the line.
pub(crate) async fn redis(stop: watch::Receiver<bool>) -> Result<(), BoxError> {
    let guard = RedisGuard::connect(&required("REDIS_URL")?).await?;
    let marks_first = env::var("FAULT_PLANT").is_ok_and(|plant| plant == "marks-first");
    let remember = |builder: WebhookReceiverBuilder| {
        if marks_first {
            builder.guard(NAMESPACE, MarksFirst::new(guard.clone()))
        } else {
            builder.guard(NAMESPACE, guard.clone())
        }
    };
    serve_lines(receivers(remember).await?, stop).await
}

async fn serve_lines(receivers: Receivers, stop: watch::Receiver<bool>) -> Result<(), BoxError> {
    let mut app = Router::new();
    for (path, receiver) in &receivers {
        let layer = VerifyLayer::new(receiver.clone());
        app = app.route(path, post(on_event).layer(layer));
    }
    let app = app.with_state(Arc::new(Mishaps::from_env()?));
    serve(app, &receivers, stop).await
}

async fn on_event(
    State(mishaps): State<Arc<Mishaps>>,
    delivery: Delivery,
    event: GeminiEvent,
) -> Answer {
    let mishap = mishaps.draw(&event);
    let handled = async {
        mishap.before().await?;
        line(&delivery, &event, false).print()?;
        mishap.after();
        Ok(())
    };
    answer(handled.await)
}

/// The work is a row, committed together with the mark that the event is handled.
pub(crate) async fn postgres(stop: watch::Receiver<bool>) -> Result<(), BoxError> {
    let pool = PgPoolOptions::new()
        .acquire_timeout(Duration::from_secs(2))
        .connect_lazy(&required("DATABASE_URL")?)?;
    let guard = PostgresGuard::new(pool.clone());
    guard.migrate().await?;
    let clean_up = tokio::spawn(guard.cleanup_every(Duration::from_secs(60)));
    let receivers = receivers(|builder| builder.guard(NAMESPACE, guard.clone())).await?;
    let mut app = Router::new();
    for (path, receiver) in &receivers {
        let layer = VerifyLayer::new(receiver.clone()).finish_once_started();
        app = app.route(path, post(on_event_once).layer(layer));
    }
    let state = Shop {
        pool: pool.clone(),
        mishaps: Arc::new(Mishaps::from_env()?),
    };
    serve(app.with_state(state), &receivers, stop).await?;
    clean_up.abort();
    pool.close().await;
    Ok(())
}

#[derive(Clone)]
struct Shop {
    pool: PgPool,
    mishaps: Arc<Mishaps>,
}

async fn on_event_once(State(shop): State<Shop>, delivery: Delivery, event: GeminiEvent) -> Answer {
    let mishap = shop.mishaps.draw(&event);
    answer(handle_once(&shop.pool, &delivery, &event, mishap).await)
}

async fn handle_once(
    pool: &PgPool,
    delivery: &Delivery,
    event: &GeminiEvent,
    mishap: Mishap,
) -> Result<(), BoxError> {
    let mut transaction = pool.begin().await?;
    sqlx::query("INSERT INTO fault_runs (webhook_id) VALUES ($1)")
        .bind(delivery.id())
        .execute(&mut *transaction)
        .await?;
    mishap.before().await?;
    settle_in(&mut transaction, delivery).await?;
    transaction.commit().await?;
    line(delivery, event, true).print()?;
    mishap.after();
    Ok(())
}

fn line<'a>(delivery: &'a Delivery, event: &'a GeminiEvent, once: bool) -> Line<'a> {
    Line {
        webhook_id: delivery.id(),
        scheme: delivery.scheme().as_str(),
        r#type: event.type_name(),
        once,
        job: None,
    }
}

type Answer = Result<Json<Value>, StatusCode>;

fn answer(handled: Result<(), BoxError>) -> Answer {
    match handled {
        Ok(()) => Ok(Json(json!({"status": "received"}))),
        Err(error) => {
            error!("{error}");
            Err(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}
