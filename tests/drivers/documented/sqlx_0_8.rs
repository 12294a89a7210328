use std::error::Error;

use gemini_webhooks::Delivery;
use gemini_webhooks_sqlx::postgres::{SETTLE_STATEMENT, SettleParameters};
use sqlx::PgConnection;

/// Marks the event as handled if the transaction is committed.
///
/// If it fails, roll the transaction back: another delivery may have the
/// event.
pub async fn settle_in(
    transaction: &mut PgConnection,
    delivery: &Delivery,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let parameters = SettleParameters::of(delivery)?;
    let done = sqlx::query(SETTLE_STATEMENT)
        .bind(parameters.key())
        .bind(parameters.token())
        .bind(parameters.retention())
        .execute(transaction)
        .await?;
    Ok(parameters.check(done.rows_affected())?)
}
