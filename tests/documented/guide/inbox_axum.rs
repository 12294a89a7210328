use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::{Router, http::StatusCode, routing::post};
use gemini_webhooks::{Delivery, GeminiEvent, VerifyLayer, WebhookReceiver};
use rusqlite::{Connection, OptionalExtension as _, params};

type BoxError = Box<dyn Error>;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS inbox (
    number   INTEGER PRIMARY KEY,
    scheme   TEXT NOT NULL,
    claim_id TEXT NOT NULL,
    body     BLOB NOT NULL,
    done_at  INTEGER, -- seconds since 1970; NULL until the work is done
    UNIQUE (scheme, claim_id)
)";

/// Events in a SQLite file. Clones share one connection.
#[derive(Clone)]
struct Inbox(Arc<Mutex<Connection>>);

impl Inbox {
    fn open(file: impl AsRef<Path>) -> rusqlite::Result<Self> {
        let db = Connection::open(file)?;
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

    /// Works on the oldest event that is not done. `false`: there is none.
    fn work_on_next(
        &self,
        work: impl FnOnce(&GeminiEvent) -> Result<(), BoxError>,
    ) -> Result<bool, BoxError> {
        let next = self.db().query_row(
            "SELECT number, body FROM inbox WHERE done_at IS NULL
             ORDER BY number LIMIT 1",
            [],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)),
        );
        let Some((number, body)) = next.optional()? else {
            return Ok(false);
        };
        work(&GeminiEvent::parse(body))?;
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
