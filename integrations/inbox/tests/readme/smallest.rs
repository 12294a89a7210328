use axum::routing::{MethodRouter, post};
use gemini_webhooks::event::BatchSucceeded;
use gemini_webhooks_inbox::sqlx::Sqlite;
use gemini_webhooks_inbox::{Inbox, InboxError, Work, Worker};

async fn open(db: &str) -> Result<(MethodRouter, Worker<Sqlite>), InboxError> {
    let inbox = Inbox::sqlite(db).await?;
    let callback = post(inbox.handler()); // Put a `VerifyLayer` on it.
    let worker = inbox
        .worker()
        .on(async |batch: BatchSucceeded, _: Work<_>| {
            println!("{:?} is ready", batch.id());
            Ok(())
        });
    Ok((callback, worker)) // Run it with `run_until`.
}
