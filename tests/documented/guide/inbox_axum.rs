use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use axum::extract::State;
use axum::{Router, http::StatusCode, routing::post};
use gemini_webhooks::{Delivery, GeminiEvent, VerifyLayer, WebhookReceiver};
use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::net::TcpListener;

type BoxError = Box<dyn Error>;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS inbox (
    number   INTEGER PRIMARY KEY,
    scheme   TEXT NOT NULL,
    claim_id TEXT NOT NULL,
    body     BLOB NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    stored_at INTEGER NOT NULL DEFAULT (unixepoch()), -- seconds since 1970
    done_at  INTEGER, -- NULL until the work is done
    UNIQUE (scheme, claim_id)
);
CREATE INDEX IF NOT EXISTS inbox_next ON inbox (done_at, attempts, number)";

/// Events in a SQLite file. Clones share one connection.
#[derive(Clone)]
struct Inbox(Arc<Mutex<Connection>>);

impl Inbox {
    fn open(file: impl AsRef<Path>) -> rusqlite::Result<Self> {
        let db = Connection::open(file)?;
        // If the file is locked for longer, the answer is 503: Google waits a
        // few seconds only.
        db.busy_timeout(Duration::from_secs(1))?;
        // A commit returns when the data is on the disk, not earlier.
        db.pragma_update(None, "synchronous", "FULL")?;
        db.execute_batch(TABLE)?;
        Ok(Self(Arc::new(Mutex::new(db))))
    }

    fn db(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores the event. A duplicate changes nothing.
    fn insert(
        &self,
        delivery: &Delivery,
        event: &GeminiEvent,
    ) -> rusqlite::Result<()> {
        let row = params![
            delivery.scheme().as_str(),
            delivery.claim_id(),
            event.raw().as_ref()
        ];
        self.db().execute(
            "INSERT INTO inbox (scheme, claim_id, body) VALUES (?1, ?2, ?3)
             ON CONFLICT DO NOTHING",
            row,
        )?;
        Ok(())
    }

    /// Works on an event that is not done. What was tried the least comes
    /// first, so one that always fails comes after the others.
    /// Returns `false` if there is none.
    fn work_on_next(
        &self,
        work: impl FnOnce(&GeminiEvent) -> Result<(), BoxError>,
    ) -> Result<bool, BoxError> {
        // Counts the try before the work, so a crash counts too.
        let next = self.db().query_row(
            "UPDATE inbox SET attempts = attempts + 1 WHERE number =
             (SELECT number FROM inbox WHERE done_at IS NULL
              ORDER BY attempts, number LIMIT 1)
             RETURNING number, body",
            [],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)),
        );
        let Some((number, body)) = next.optional()? else {
            self.remove_old()?;
            return Ok(false);
        };
        let event = GeminiEvent::parse(body);
        // A panic would end the worker, and nobody would see.
        catch_unwind(AssertUnwindSafe(|| work(&event)))
            .map_err(|_| "the work panicked")??;
        // After the work: a crash in between repeats it.
        self.db().execute(
            "UPDATE inbox SET done_at = unixepoch() WHERE number = ?1",
            [number],
        )?;
        Ok(true)
    }

    /// Google retries for a day, so a row stays for 25 hours after its work.
    fn remove_old(&self) -> rusqlite::Result<()> {
        self.db().execute(
            "DELETE FROM inbox WHERE done_at < unixepoch() - 25 * 3600",
            [],
        )?;
        Ok(())
    }
}

/// Starts the worker in a thread of its own. Keep what this returns: the worker
/// ends when it is dropped.
#[must_use]
fn start_worker(
    inbox: Inbox,
    work: impl Fn(&GeminiEvent) -> Result<(), BoxError> + Send + 'static,
) -> Sender<()> {
    let (running, stop) = mpsc::channel();
    thread::spawn(move || {
        loop {
            let pause = match inbox.work_on_next(&work) {
                Ok(true) => Duration::ZERO,
                Ok(false) => Duration::from_secs(1),
                Err(error) => {
                    eprintln!("inbox: {error}");
                    Duration::from_secs(10)
                }
            };
            if stop.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    });
    running
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let receiver = WebhookReceiver::builder()
        .signing_secret_from_env("WEBHOOK_SIGNING_SECRET")
        .build()?;
    let inbox = Inbox::open("inbox.sqlite")?;
    // `let _ = …` would drop it, and so end the worker at once.
    let _running = start_worker(inbox.clone(), work);
    let listener = TcpListener::bind("127.0.0.1:8000").await?;
    axum::serve(listener, app(receiver, inbox)).await?;
    Ok(())
}

/// Your work.
fn work(event: &GeminiEvent) -> Result<(), BoxError> {
    println!("{:?}", event.kind());
    Ok(())
}

fn app(receiver: WebhookReceiver, inbox: Inbox) -> Router {
    let callback = post(on_event).layer(VerifyLayer::new(receiver));
    Router::new()
        .route("/gemini-callback", callback)
        .with_state(inbox)
}

/// Answers 200 only when the event is on the disk.
async fn on_event(
    State(inbox): State<Inbox>,
    delivery: Delivery,
    event: GeminiEvent,
) -> StatusCode {
    let insert = move || inbox.insert(&delivery, &event);
    match tokio::task::spawn_blocking(insert).await {
        Ok(Ok(())) => StatusCode::OK,
        // Google sends the event again.
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}
