//! Settling a claim in a transaction of the app.

use std::fmt;

use gemini_webhooks::Delivery;
use gemini_webhooks::replay::Claim;
use sqlx::{Connection as _, PgConnection};

use super::microseconds;
use crate::settle::{SettleError, hand_over};

/// The statement of [`settle_in`], for other drivers. [`SettleParameters`] are its parameters.
///
/// It only updates. If it inserted a row, the claims of copies of the event would wait for the end of the
/// transaction. And it settles only once: if it did so again, a transaction that is tried again because the
/// answer of its commit was lost would do its work twice.
pub const SETTLE_STATEMENT: &str = "\
UPDATE gemini_webhooks_claims
SET settled = true, until = clock_timestamp() + $3::bigint * interval '1 microsecond'
WHERE key = $1 AND token = $2 AND NOT settled";

/// Settles the claim of a delivery in the app's transaction, so that the work and the mark that it is
/// done are stored together, or neither is.
///
/// The table of the claims must be in the database of the transaction. If the transaction is rolled back
/// or not committed, a 2xx of the handler is not sent: the answer is 503, and the event is handled again
/// when Google retries. You may try a transaction again: if the first was committed after all, the second is
/// an error.
///
/// ```no_run
/// use gemini_webhooks::{Delivery, EventKind, GeminiEvent};
/// use gemini_webhooks_sqlx::postgres::settle_in;
/// use gemini_webhooks_sqlx::sqlx::{self, PgPool};
///
/// async fn handle(
///     pool: &PgPool,
///     delivery: &Delivery,
///     event: &GeminiEvent,
/// ) -> Result<(), sqlx::Error> {
///     let mut transaction = pool.begin().await?;
///     if let EventKind::BatchSucceeded(batch) = event.kind() {
///         sqlx::query("UPDATE jobs SET completions = completions + 1 WHERE id = $1")
///             .bind(batch.id())
///             .execute(&mut *transaction)
///             .await?;
///     }
///     settle_in(&mut transaction, delivery).await?;
///     transaction.commit().await
/// }
/// ```
///
/// # Errors
///
/// With [`ClaimLost`](crate::SettleErrorKind::ClaimLost), the claim is not this delivery's, or it is settled
/// already, so roll back; `?` does. It happens to a handler that goes on after the lease has ended. With
/// [`NoTransaction`](crate::SettleErrorKind::NoTransaction), the connection is in no transaction that sqlx has
/// begun. With [`NoClaim`](crate::SettleErrorKind::NoClaim), the receiver has no guard. With
/// [`Database`](crate::SettleErrorKind::Database), the statement failed.
pub async fn settle_in(
    transaction: &mut PgConnection,
    delivery: &Delivery,
) -> Result<(), SettleError> {
    let parameters = SettleParameters::of(delivery)?;
    SettleError::unless_in_transaction(transaction.is_in_transaction())?;
    let done = sqlx::query(SETTLE_STATEMENT)
        .bind(parameters.key())
        .bind(parameters.token())
        .bind(parameters.retention())
        .execute(transaction)
        .await
        .map_err(SettleError::database)?;
    parameters.check(done.rows_affected())
}

/// The parameters of [`SETTLE_STATEMENT`], which settles a claim in the app's transaction.
#[derive(Clone)]
pub struct SettleParameters {
    claim: Claim,
    key: Vec<u8>,
    token: [u8; 16],
    retention: i64,
}

impl SettleParameters {
    /// Takes the claim of a delivery over from its receiver.
    ///
    /// From then on the receiver does not settle it: a 2xx of the handler is sent only if the app has.
    ///
    /// # Errors
    ///
    /// [`NoClaim`](crate::SettleErrorKind::NoClaim), if the receiver has no guard.
    pub fn of(delivery: &Delivery) -> Result<Self, SettleError> {
        let claim = hand_over(delivery)?;
        Ok(Self {
            key: claim.key().to_bytes(),
            token: claim.token().to_bytes(),
            retention: microseconds(claim.retention()),
            claim: claim.clone(),
        })
    }

    /// Returns the key of the event, `$1`.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Returns the token of the claim's holder, `$2`.
    #[must_use]
    pub fn token(&self) -> &[u8] {
        &self.token
    }

    /// Returns how long the event is remembered, `$3`, in microseconds.
    #[must_use]
    pub fn retention(&self) -> i64 {
        self.retention
    }

    /// Judges how many rows the statement has changed: one if the claim is settled.
    ///
    /// # Errors
    ///
    /// [`ClaimLost`](crate::SettleErrorKind::ClaimLost), if there was none. Roll the transaction back.
    pub fn check(&self, rows: u64) -> Result<(), SettleError> {
        if rows == 0 {
            return Err(SettleError::lost(&self.claim));
        }
        Ok(())
    }
}

impl fmt::Debug for SettleParameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettleParameters")
            .field("key", self.claim.key())
            .field("retention", &self.claim.retention())
            .finish_non_exhaustive()
    }
}
