use std::error::Error;

use diesel::sql_types::{BigInt, Bytea};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};
use gemini_webhooks::Delivery;
use gemini_webhooks_sqlx::postgres::{SETTLE_STATEMENT, SettleParameters};

/// Marks the event as handled if the transaction is committed.
///
/// If it fails, roll the transaction back: another delivery may have the
/// event.
///
/// Run the transaction in a task of its own, with `tokio::spawn`. If its
/// future is dropped, diesel-async leaves it open, and the event is locked
/// until the connection is closed.
pub async fn settle_in(
    transaction: &mut AsyncPgConnection,
    delivery: &Delivery,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let parameters = SettleParameters::of(delivery)?;
    let rows = diesel::sql_query(SETTLE_STATEMENT)
        .bind::<Bytea, _>(parameters.key())
        .bind::<Bytea, _>(parameters.token())
        .bind::<BigInt, _>(parameters.retention())
        .execute(transaction)
        .await?;
    Ok(parameters.check(rows.try_into()?)?)
}
