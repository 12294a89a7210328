use std::error::Error;

use gemini_webhooks::Delivery;
use gemini_webhooks_sqlx::postgres::{SETTLE_STATEMENT, SettleParameters};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend, Statement};

/// Marks the event as handled if the transaction is committed.
///
/// If it fails, roll the transaction back: another delivery may have the
/// event.
pub async fn settle_in(
    transaction: &DatabaseTransaction,
    delivery: &Delivery,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let parameters = SettleParameters::of(delivery)?;
    let statement = Statement::from_sql_and_values(
        DbBackend::Postgres,
        SETTLE_STATEMENT,
        [
            parameters.key().into(),
            parameters.token().into(),
            parameters.retention().into(),
        ],
    );
    let done = transaction.execute_raw(statement).await?;
    Ok(parameters.check(done.rows_affected())?)
}
