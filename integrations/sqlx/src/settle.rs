//! The error of a claim that cannot be settled in the app's transaction.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use gemini_webhooks::Delivery;
use gemini_webhooks::replay::{Claim, ClaimKey};

/// The error when a claim cannot be settled in the app's transaction.
///
/// Return it from the handler, with `?`: the transaction is then rolled back when it is dropped, and
/// the delivery is answered with an error, so that Google retries.
pub struct SettleError(Reason);

enum Reason {
    ClaimLost { key: ClaimKey, lease: Duration },
    NoClaim,
    NoTransaction,
    Database(sqlx::Error),
}

/// Why a claim cannot be settled in the app's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SettleErrorKind {
    /// The claim is not this delivery's to settle. Its lease has ended, the receiver has released it because
    /// the handler was given up, or it is settled already, such as by a transaction whose commit seemed to
    /// fail. Roll back: another delivery may do the work, or it is done. It also comes, and each time, if
    /// the receiver's guard keeps its claims elsewhere: the default one keeps them in memory.
    ClaimLost,
    /// There is no claim, because the receiver was built
    /// [`without_replay_protection`](gemini_webhooks::WebhookReceiverBuilder::without_replay_protection).
    NoClaim,
    /// `settle_in` was called outside of a transaction, where it would take effect at once. Begin one, by
    /// `begin` or `begin_with` of sqlx.
    NoTransaction,
    /// The statement failed. The error's `source` is that of sqlx.
    Database,
}

impl SettleError {
    pub(crate) fn lost(claim: &Claim) -> Self {
        Self(Reason::ClaimLost {
            key: claim.key().clone(),
            lease: claim.lease(),
        })
    }

    /// Outside of a transaction it would not be undone with the work.
    pub(crate) fn unless_in_transaction(is_in_transaction: bool) -> Result<(), Self> {
        if is_in_transaction {
            Ok(())
        } else {
            Err(Self(Reason::NoTransaction))
        }
    }

    pub(crate) fn database(error: sqlx::Error) -> Self {
        Self(Reason::Database(error))
    }

    /// Returns why the claim cannot be settled.
    #[must_use]
    pub fn kind(&self) -> SettleErrorKind {
        match self.0 {
            Reason::ClaimLost { .. } => SettleErrorKind::ClaimLost,
            Reason::NoClaim => SettleErrorKind::NoClaim,
            Reason::NoTransaction => SettleErrorKind::NoTransaction,
            Reason::Database(_) => SettleErrorKind::Database,
        }
    }
}

/// Takes the claim over from the receiver, which then does not settle it by itself.
pub(crate) fn hand_over(delivery: &Delivery) -> Result<&Claim, SettleError> {
    delivery
        .hand_over_claim()
        .ok_or(SettleError(Reason::NoClaim))
}

impl fmt::Display for SettleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reason::ClaimLost { key, lease } => write!(
                f,
                "the claim on {key:?} is not this delivery's to settle: its lease of {lease:?} has ended, the handler \
                 was given up, or it is settled already; roll the transaction back, or the work may be done twice. If \
                 it happens each time, the receiver's guard does not keep its claims in this database: by default it \
                 keeps them in memory"
            ),
            Reason::NoClaim => f.write_str(
                "the delivery has no claim to settle, because its receiver was built with \
                 without_replay_protection(); give the receiver a guard, or do not settle",
            ),
            Reason::NoTransaction => f.write_str(
                "the claim cannot be settled outside of a transaction, where that would take effect at once; \
                 begin one, by begin() or begin_with() of sqlx",
            ),
            Reason::Database(error) => {
                write!(f, "the claim cannot be settled in the transaction: {error}")?;
                // PostgreSQL's `undefined_table`.
                let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
                match code {
                    Some(code) if code == "42P01" => f.write_str(
                        "; the receiver's guard must be a PostgresGuard on this database and search_path",
                    ),
                    _ => Ok(()),
                }
            }
        }
    }
}

/// As `Display`: a failed row in the details of a database's error would show the claim's token.
impl fmt::Debug for SettleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SettleError({:?}: {self})", self.kind())
    }
}

impl Error for SettleError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Reason::Database(error) => Some(error),
            _ => None,
        }
    }
}

/// For a handler that returns the errors of sqlx.
impl From<SettleError> for sqlx::Error {
    fn from(error: SettleError) -> Self {
        match error.0 {
            Reason::Database(error) => error,
            _ => Self::InvalidArgument(error.to_string()),
        }
    }
}
