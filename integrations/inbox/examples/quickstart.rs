//! What the inbox does, without a set-up: events are stored, the worker is killed, the work
//! is done after its restart, and an event that kills its worker each time becomes a dead letter.
//!
//! ```text
//! cargo run --package gemini-webhooks-inbox --example inbox_quickstart --features axum
//! ```

use std::env;
use std::error::Error;
use std::future::pending;
use std::process::Stdio;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::post;
use gemini_webhooks::event::{BatchFailed, BatchSucceeded};
use gemini_webhooks::{Clock as _, SystemClock, VerifyLayer, WebhookReceiver, testing};
use gemini_webhooks_inbox::sqlx::Sqlite;
use gemini_webhooks_inbox::{Inbox, State, What, Work};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;

type BoxError = Box<dyn Error + Send + Sync>;

/// An event whose handler ends the whole process, as a bug in a library might.
const POISON: &str = r#"{"type":"batch.failed","version":"v1","data":{"id":"batches/poison"}}"#;
const HEARTBEAT: Duration = Duration::from_secs(1);
const ATTEMPTS: u32 = 3;
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    match env::args().nth(1) {
        // This process is the worker of the one that has started it.
        Some(database) => work(&Inbox::sqlite(&database).await?).await,
        None => timeout(LIMIT, show()).await?,
    }
}

/// The worker, as an app writes it.
async fn work(inbox: &Inbox<Sqlite>) -> Result<(), BoxError> {
    let worker = inbox
        .worker()
        .on(async |batch: BatchSucceeded, work: Work<_>| {
            let id = batch.id().unwrap_or("none");
            println!("    working on {id}, attempt {}", work.attempt());
            sleep(Duration::from_millis(500)).await;
            println!("    done with {id}");
            Ok(())
        })
        .on(async |_: BatchFailed, work: Work<_>| {
            println!(
                "    working on the poison, attempt {}: it kills the worker",
                work.attempt()
            );
            std::process::abort()
        })
        .concurrency(2)
        .max_attempts(ATTEMPTS)
        .heartbeat(HEARTBEAT);
    worker.run_until(pending()).await?;
    Ok(())
}

async fn show() -> Result<(), BoxError> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("webhooks.db");
    let database = file
        .to_str()
        .ok_or("the folder for temporary files has a name that is no text")?;
    let inbox = Inbox::sqlite(database).await?;
    let receiver = WebhookReceiver::builder()
        .signing_secret(testing::SECRET)
        .build()?;
    let app = Router::new().route(
        "/gemini-callback",
        post(inbox.handler()).layer(VerifyLayer::new(receiver)),
    );

    println!("1. Six events arrive, and one of them twice. No worker runs.");
    for number in 1..=6 {
        let event = format!(
            r#"{{"type":"batch.succeeded","version":"v1","data":{{"id":"batches/{number}"}}}}"#
        );
        deliver(&app, &format!("msg_{number}"), &event).await?;
    }
    deliver(
        &app,
        "msg_6",
        r#"{"type":"batch.succeeded","version":"v1","data":{"id":"batches/6"}}"#,
    )
    .await?;
    println!("   stored: {}", inbox.entries().count().await?);

    println!("2. A worker starts, and is killed in the middle of its work.");
    let mut worker = start(database)?;
    while inbox.entries().state(State::Done).count().await? < 2 {
        sleep(Duration::from_millis(20)).await;
    }
    worker.kill().await?;
    let depth = inbox.depth().await?;
    println!(
        "   left: {} that wait, {} that it had begun",
        depth.waiting, depth.running
    );

    println!(
        "3. It starts again. What it had begun runs again {HEARTBEAT:?} after its last sign of life."
    );
    worker = start(database)?;
    finished(&inbox, &mut worker, database).await?;

    println!("4. An event arrives that kills its worker, and one that does not.");
    deliver(&app, "msg_poison", POISON).await?;
    deliver(
        &app,
        "msg_7",
        r#"{"type":"batch.succeeded","version":"v1","data":{"id":"batches/7"}}"#,
    )
    .await?;
    finished(&inbox, &mut worker, database).await?;
    worker.kill().await?;

    println!("5. What has become of them:");
    for entry in inbox.entries().list().await? {
        let why = entry
            .history()
            .iter()
            .rfind(|change| change.what() == What::Dead);
        let why = why.map_or("", |change| change.why());
        println!(
            "   {:<10} {:?}, attempts: {} {why}",
            entry.webhook_id(),
            entry.state(),
            entry.attempts()
        );
    }
    let done = inbox.entries().state(State::Done).count().await?;
    let dead = inbox.entries().state(State::Dead).count().await?;
    if (done, dead) != (7, 1) {
        return Err(format!("{done} are done and {dead} are dead, instead of 7 and 1").into());
    }
    println!(
        "Seven are done, none is lost, and the dead letter can be tried again with `inbox.entries()`."
    );
    Ok(())
}

/// Signs and sends an event as Google does.
async fn deliver(app: &Router, id: &str, event: &str) -> Result<(), BoxError> {
    let now = SystemClock
        .now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_secs();
    let mut request = Request::post("/gemini-callback").body(Body::from(event.to_owned()))?;
    for (name, value) in testing::sign_v1(&testing::SECRET.parse()?, id, now, event) {
        request.headers_mut().insert(name, value.parse()?);
    }
    let answer = app.clone().oneshot(request).await?;
    println!("   {id}: {}", answer.status());
    Ok(())
}

fn start(database: &str) -> Result<Child, BoxError> {
    let worker = Command::new(env::current_exe()?)
        .arg(database)
        // It says why it was aborted, which is no news.
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    Ok(worker)
}

/// Waits until nothing is left to do, and starts the worker again whenever it has died.
async fn finished(
    inbox: &Inbox<Sqlite>,
    worker: &mut Child,
    database: &str,
) -> Result<(), BoxError> {
    loop {
        let depth = inbox.depth().await?;
        if depth.waiting == 0 && depth.running == 0 {
            return Ok(());
        }
        if worker.try_wait()?.is_some() {
            println!("   the worker has died, and is started again");
            *worker = start(database)?;
        }
        sleep(Duration::from_millis(20)).await;
    }
}
