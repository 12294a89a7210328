use gemini_webhooks::{Delivery, EventKind, GeminiEvent};
use rusqlite::{Connection, params};

/// Both statements take effect, or neither does.
fn handle(
    db: &mut Connection,
    delivery: &Delivery,
    event: &GeminiEvent,
) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    let inserted = transaction.execute(
        "INSERT INTO handled (scheme, claim_id) VALUES (?1, ?2)
         ON CONFLICT DO NOTHING",
        params![delivery.scheme().as_str(), delivery.claim_id()],
    )?;
    if inserted == 0 {
        // An earlier delivery of this event has done the work.
        return Ok(());
    }
    if let EventKind::BatchSucceeded(batch) = event.kind() {
        transaction.execute(
            "UPDATE jobs SET completions = completions + 1 WHERE id = ?1",
            [batch.id()],
        )?;
    }
    transaction.commit()
}
