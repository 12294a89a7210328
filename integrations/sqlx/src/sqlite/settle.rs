//! Settling a claim in a transaction of the app.

use gemini_webhooks::Delivery;
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;

use super::milliseconds;
use super::statements::SETTLE_IN;
use crate::settle::{SettleError, hand_over};

/// Settles the claim of a delivery in your own transaction, so that your work and the mark that the event is
/// handled are committed together, or not at all.
///
/// The table of the claims must be in the database of the transaction. From this call on the receiver does not settle
/// the claim. After a 2xx of the handler it looks whether the claim is settled. If it is not, because the
/// transaction was rolled back or not committed, it answers 503, and Google retries.
///
/// ```
/// use gemini_webhooks::Delivery;
/// use gemini_webhooks_sqlx::sqlite::settle_in;
/// use gemini_webhooks_sqlx::sqlx::{self, sqlite::SqlitePool};
///
/// async fn store_order(pool: &SqlitePool, delivery: &Delivery) -> Result<(), sqlx::Error> {
///     let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
///     sqlx::query("INSERT INTO orders (event) VALUES (?)")
///         .bind(delivery.id().to_owned())
///         .execute(&mut *transaction)
///         .await?;
///     settle_in(&mut transaction, delivery).await?;
///     transaction.commit().await
/// }
/// # drop(store_order);
/// ```
///
/// Begin the transaction with `BEGIN IMMEDIATE`. It then waits for other writers before it begins. A plain `BEGIN`
/// begins with a read: if another connection writes before your first write, that write fails at once with
/// `SQLITE_BUSY_SNAPSHOT` (517), however long the `busy_timeout`. Nothing is lost by it: return the error, and the
/// retry runs.
///
/// Keep the transaction short, and wait in it for nothing but the database. Claims of other events cannot be
/// made meanwhile. Copies of this event are answered 409.
///
/// # Errors
///
/// [`SettleErrorKind`](crate::SettleErrorKind) says which there are. Return them from the handler with `?`, so that the
/// transaction is rolled back. If the claim is lost, its lease had ended, and another delivery has claimed the event, or
/// a clean-up has deleted the row. A claim that is settled already counts as lost, so that a transaction that is tried
/// again after its commit seemed to fail does not do its work twice.
pub async fn settle_in(
    transaction: &mut SqliteConnection,
    delivery: &Delivery,
) -> Result<(), SettleError> {
    let claim = hand_over(delivery)?;
    SettleError::unless_in_transaction(transaction.is_in_transaction())?;
    let done = sqlx::query(SETTLE_IN)
        .bind(claim.key().to_bytes())
        .bind(claim.token().to_bytes().to_vec())
        .bind(milliseconds(claim.retention()))
        .execute(transaction)
        .await
        .map_err(SettleError::database)?;
    if done.rows_affected() == 0 {
        return Err(SettleError::lost(claim));
    }
    Ok(())
}
