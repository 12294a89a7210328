use std::error::Error;

use gemini_webhooks::Delivery;
use gemini_webhooks_sqlx::postgres::{SETTLE_STATEMENT, SettleParameters};
use tokio_postgres::Transaction;

/// Marks the event as handled if the transaction is committed.
///
/// If it fails, roll the transaction back: another delivery may have the
/// event.
pub async fn settle_in(
    transaction: &Transaction<'_>,
    delivery: &Delivery,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let parameters = SettleParameters::of(delivery)?;
    let rows = transaction
        .execute(
            SETTLE_STATEMENT,
            &[
                &parameters.key(),
                &parameters.token(),
                &parameters.retention(),
            ],
        )
        .await?;
    Ok(parameters.check(rows)?)
}
