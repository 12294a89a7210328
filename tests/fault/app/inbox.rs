//! The set-ups with an inbox: receivers store events, and workers work them off.

use std::env;
use std::time::Duration;

use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use gemini_webhooks::{Delivery, GeminiEvent, VerifyLayer, WebhookReceiverBuilder};
use gemini_webhooks_inbox::sqlx::postgres::PgPoolOptions;
use gemini_webhooks_inbox::sqlx::{self, Postgres, Sqlite};
use gemini_webhooks_inbox::{Database, Inbox, Work, WorkError, WorkTransaction};
use serde_json::{Value, json};
use tokio::sync::watch;
use tracing::info;

use crate::line::Line;
use crate::mishap::Mishaps;
use crate::planted::store_later;
use crate::{BoxError, NAMESPACE, receivers, required, serve, stopped};

/// When a worker gives no sign of life for so long, others take its events.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(4);
/// A run may take so long.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
/// A failed event waits so long for its next run: first, and at most.
pub(crate) const PAUSES: (Duration, Duration) =
    (Duration::from_millis(500), Duration::from_secs(4));
/// So often an event is tried. The faults of a run can make an event fail several times in a row.
pub(crate) const ATTEMPTS: u32 = 6;

/// Both roles, unless one is named.
pub(crate) async fn run(role: &[&str], stop: watch::Receiver<bool>) -> Result<(), BoxError> {
    let roles = match role {
        [] => (true, true),
        ["receive"] => (true, false),
        ["work"] => (false, true),
        _ => return Err(format!("{role:?} is neither `receive` nor `work`").into()),
    };
    let url = required("DATABASE_URL")?;
    if url.starts_with("sqlite:") {
        let inbox = Inbox::<Sqlite>::sqlite(&url).namespace(NAMESPACE).await?;
        receive_and_work(inbox, roles, stop).await
    } else {
        let pool = PgPoolOptions::new()
            .acquire_timeout(Duration::from_secs(2))
            .connect_lazy(&url)?;
        let inbox = Inbox::<Postgres>::postgres(pool)
            .namespace(NAMESPACE)
            .await?;
        receive_and_work(inbox, roles, stop).await
    }
}

async fn receive_and_work<DB: Runs>(
    inbox: Inbox<DB>,
    (receives, works): (bool, bool),
    stop: watch::Receiver<bool>,
) -> Result<(), BoxError> {
    let receiving = async {
        if receives {
            receive(&inbox, stop.clone()).await?;
        }
        Ok::<(), BoxError>(())
    };
    let working = async {
        if works {
            work(&inbox, stop.clone()).await?;
        }
        Ok(())
    };
    tokio::try_join!(receiving, working)?;
    Ok(())
}

async fn receive<DB: Database>(
    inbox: &Inbox<DB>,
    stop: watch::Receiver<bool>,
) -> Result<(), BoxError> {
    let answers_first = env::var("FAULT_PLANT").is_ok_and(|plant| plant == "answers-first");
    let receivers = receivers(WebhookReceiverBuilder::without_replay_protection).await?;
    let mut app = Router::new();
    for (path, receiver) in &receivers {
        let layer = VerifyLayer::new(receiver.clone());
        let route = if answers_first {
            let inbox = inbox.clone();
            post(move |delivery: Delivery, event: GeminiEvent| {
                store_later(inbox.clone(), delivery, event);
                std::future::ready((StatusCode::OK, Json::<Value>(json!({"status": "received"}))))
            })
            .layer(layer)
        } else {
            post(inbox.handler()).layer(layer)
        };
        app = app.route(path, route);
    }
    serve(app, &receivers, stop).await
}

async fn work<DB: Runs>(inbox: &Inbox<DB>, stop: watch::Receiver<bool>) -> Result<(), BoxError> {
    let worker = inbox
        .worker()
        .with_state(Mishaps::from_env()?)
        .otherwise(on_event)
        .concurrency(16)
        .max_attempts(ATTEMPTS)
        .timeout(TIMEOUT)
        .heartbeat(HEARTBEAT)
        .pauses(PAUSES.0, PAUSES.1)
        .grace(Duration::from_secs(5));
    info!("working");
    worker.run_until(stopped(stop)).await?;
    Ok(())
}

/// A batch's work is a row that is committed together with the end of the work. That of other events is
/// the line.
async fn on_event<DB: Runs>(event: GeminiEvent, work: Work<DB, Mishaps>) -> Result<(), WorkError> {
    let mishap = work.state().draw(&event);
    // Not within the transaction, which would keep others from writing to SQLite.
    mishap.before().await.map_err(WorkError::new)?;
    let once = event
        .type_name()
        .is_some_and(|name| name.starts_with("batch."));
    if once {
        let mut transaction = work.transaction().await?;
        DB::insert(&mut transaction, work.webhook_id()).await?;
        transaction.commit().await?;
    }
    let line = Line {
        webhook_id: work.webhook_id(),
        scheme: work.scheme(),
        r#type: event.type_name(),
        once,
        job: None,
    };
    line.print()?;
    mishap.after();
    Ok(())
}

/// A database with the table of the runs.
trait Runs: Database {
    fn insert(
        transaction: &mut WorkTransaction<Self>,
        id: &str,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;
}

impl Runs for Postgres {
    async fn insert(transaction: &mut WorkTransaction<Self>, id: &str) -> sqlx::Result<()> {
        let insert = sqlx::query("INSERT INTO fault_runs (webhook_id) VALUES ($1)");
        insert.bind(id).execute(&mut **transaction).await?;
        Ok(())
    }
}

impl Runs for Sqlite {
    async fn insert(transaction: &mut WorkTransaction<Self>, id: &str) -> sqlx::Result<()> {
        let insert = sqlx::query("INSERT INTO fault_runs (webhook_id) VALUES (?1)");
        insert.bind(id).execute(&mut **transaction).await?;
        Ok(())
    }
}
