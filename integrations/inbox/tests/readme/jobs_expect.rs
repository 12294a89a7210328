use std::error::Error;
use std::time::Duration;

use gemini_webhooks::event::{JobId, JobKind};
use gemini_webhooks_inbox::Inbox;
use gemini_webhooks_inbox::sqlx::{PgPool, Postgres, query};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// `batch` is what another SDK has returned, such as `batches/8kq2`.
async fn write_down(
    inbox: &Inbox<Postgres>,
    pool: &PgPool,
    order: i64,
    batch: &str,
) -> Result<(), Box<dyn Error>> {
    let job = JobId::new(JobKind::Batch, batch).ok_or("no name of a batch")?;
    let mut transaction = pool.begin().await?;
    query("UPDATE orders SET batch = $1 WHERE id = $2")
        .bind(batch)
        .bind(order)
        .execute(&mut *transaction)
        .await?;
    inbox.expect_in(&mut transaction, &job, DAY).await?;
    transaction.commit().await?;
    Ok(())
}
