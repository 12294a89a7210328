//! Settling a claim in a transaction of the app.

use gemini_webhooks::Delivery;
use sqlx::sqlite::SqliteConnection;

use super::milliseconds;
use super::statements::SETTLE_IN;
use crate::settle::{SettleError, hand_over};

/// Settles the claim of a delivery in the app's transaction.
///
/// # Errors
///
/// See [`SettleErrorKind`](crate::SettleErrorKind).
pub async fn settle_in(
    transaction: &mut SqliteConnection,
    delivery: &Delivery,
) -> Result<(), SettleError> {
    let claim = hand_over(delivery)?;
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
