use gemini_webhooks::event::BatchSucceeded;
use gemini_webhooks_inbox::sqlx::{self, PgPool, Postgres};
use gemini_webhooks_inbox::{Inbox, InboxError, Work, WorkError, Worker};

async fn worker(pool: PgPool) -> Result<Worker<Postgres>, InboxError> {
    let inbox = Inbox::postgres(pool).await?;
    Ok(inbox.worker().on(count))
}

/// All of it takes effect, and the event is done, or nothing happens and it is tried again.
async fn count(batch: BatchSucceeded, work: Work<Postgres>) -> Result<(), WorkError> {
    let mut transaction = work.transaction().await?;
    sqlx::query("UPDATE jobs SET completions = completions + 1 WHERE id = $1")
        .bind(batch.id())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(())
}
