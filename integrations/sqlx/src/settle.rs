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
    Database(sqlx::Error),
}

/// Why a claim cannot be settled in the app's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SettleErrorKind {
    /// The claim is no longer this delivery's: its lease has ended, or the receiver has released it
    /// because the handler was given up. Roll back: another delivery may do the work, or has done it.
    ClaimLost,
    /// There is no claim, because the receiver was built
    /// [`without_replay_protection`](gemini_webhooks::WebhookReceiverBuilder::without_replay_protection).
    NoClaim,
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

    pub(crate) fn database(error: sqlx::Error) -> Self {
        Self(Reason::Database(error))
    }

    /// Returns why the claim cannot be settled.
    #[must_use]
    pub fn kind(&self) -> SettleErrorKind {
        match self.0 {
            Reason::ClaimLost { .. } => SettleErrorKind::ClaimLost,
            Reason::NoClaim => SettleErrorKind::NoClaim,
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
                "the claim on {key:?} is no longer this delivery's: its lease of {lease:?} has ended, \
                 or the handler was given up; another delivery may have the event, so roll the transaction back, \
                 or the work is done twice"
            ),
            Reason::NoClaim => f.write_str(
                "the delivery has no claim to settle, because its receiver was built with \
                 without_replay_protection(); give the receiver a guard, or do not settle",
            ),
            Reason::Database(error) => {
                write!(f, "the claim cannot be settled in the transaction: {error}")
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
            Reason::ClaimLost { .. } | Reason::NoClaim => None,
        }
    }
}

/// For a handler that returns the errors of sqlx.
impl From<SettleError> for sqlx::Error {
    fn from(error: SettleError) -> Self {
        match error.0 {
            Reason::Database(error) => error,
            Reason::ClaimLost { .. } | Reason::NoClaim => Self::InvalidArgument(error.to_string()),
        }
    }
}
