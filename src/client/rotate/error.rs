//! The error of a rotation.

use std::error::Error;
use std::fmt;

use crate::client::error::ClientError;
use crate::client::secret::NewSecret;
use crate::client::shown::without_secrets;
use crate::error::{BoxError, Chain, ConfigError, Plain};

/// Says how far a rotation came: the kind of a [`RotationError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RotationErrorKind {
    /// The call failed. The keyring is as it was, and nothing was stored.
    NotRotated,
    /// There is a new secret, and your `store` failed.
    NotStored,
    /// There is a new secret, it is stored, and this version cannot read it. The keyring is as it was.
    UnknownForm,
}

/// The error when [`rotate_into`](crate::client::WebhookService::rotate_into) did not come to its end.
///
/// If Google has rotated the secret, the error has the new one: [`secret`](Self::secret). `Debug` and
/// `Display` show nothing of it. What your `store` returned is the [`source`](Error::source), as it is.
pub struct RotationError(Box<Why>);

enum Why {
    NotRotated(ClientError),
    Rotated {
        new: NewSecret,
        /// Why it is not in the keyring.
        unreadable: Option<ConfigError>,
        /// Why it is not stored.
        not_stored: Option<BoxError>,
    },
}

impl RotationError {
    pub(super) fn not_rotated(error: ClientError) -> Self {
        let error = error.if_carried_out(
            "the secret may have been rotated, and nobody knows the new one: keep the one before, and call `rotate_into` again",
        );
        Self(Box::new(Why::NotRotated(error)))
    }

    pub(super) fn new(
        new: NewSecret,
        unreadable: Option<ConfigError>,
        not_stored: Option<BoxError>,
    ) -> Self {
        Self(Box::new(Why::Rotated {
            new,
            unreadable,
            not_stored,
        }))
    }

    /// Returns how far the rotation came. If the new secret could neither be read nor stored, it is
    /// [`NotStored`](RotationErrorKind::NotStored).
    #[must_use]
    pub fn kind(&self) -> RotationErrorKind {
        match &*self.0 {
            Why::NotRotated(_) => RotationErrorKind::NotRotated,
            Why::Rotated { not_stored, .. } if not_stored.is_some() => RotationErrorKind::NotStored,
            Why::Rotated { .. } => RotationErrorKind::UnknownForm,
        }
    }

    /// Returns the new secret, if there is one.
    #[must_use]
    pub fn secret(&self) -> Option<&NewSecret> {
        match &*self.0 {
            Why::NotRotated(_) => None,
            Why::Rotated { new, .. } => Some(new),
        }
    }

    /// Returns whether the keyring has the new secret.
    #[must_use]
    pub fn is_in_keyring(&self) -> bool {
        match &*self.0 {
            Why::NotRotated(_) => false,
            Why::Rotated { unreadable, .. } => unreadable.is_none(),
        }
    }

    /// Returns the error of the call, if the secret was not rotated, or if its answer was lost
    /// ([`may_have_been_carried_out`](ClientError::may_have_been_carried_out)).
    #[must_use]
    pub fn client_error(&self) -> Option<&ClientError> {
        match &*self.0 {
            Why::NotRotated(error) => Some(error),
            Why::Rotated { .. } => None,
        }
    }
}

impl fmt::Display for RotationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (new, unreadable, not_stored) = match &*self.0 {
            Why::NotRotated(error) => {
                return write!(f, "the keyring is as it was, because {error}");
            }
            Why::Rotated {
                new,
                unreadable,
                not_stored,
            } => (new, unreadable, not_stored),
        };
        f.write_str("the secret was rotated")?;
        match unreadable {
            None => f.write_str(", and the new one is in the keyring")?,
            Some(error) => write!(
                f,
                ", but the new one is not in the keyring, because this version does not know its form ({error}): \
                 update gemini-webhooks before the old one ends"
            )?,
        }
        match not_stored {
            None => f.write_str("; it is stored"),
            Some(error) => write!(
                f,
                "; it is not stored ({}): store the secret that this error has, or it is lost when the process ends",
                Plain::new(without(new, &Chain(&**error).to_string()))
            ),
        }
    }
}

/// What somebody else says, without any secret. Where there is still a piece of this one, such as a part of
/// a URL, all of it is left out.
fn without(new: &NewSecret, text: &str) -> String {
    const PIECE: usize = 6;
    let new = new.expose().trim();
    let bare = new.strip_prefix("whsec_").unwrap_or(new);
    let text = match bare {
        "" => text.to_owned(),
        bare => text.replace(bare, "…"),
    };
    let has = |piece: &[u8]| text.as_bytes().windows(PIECE).any(|part| part == piece);
    if bare.as_bytes().windows(PIECE).any(has) {
        return "its error shows a part of the secret, and is left out".to_owned();
    }
    without_secrets(&text)
}

/// Shows the kind, and the text of `Display`.
impl fmt::Debug for RotationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RotationError")
            .field("kind", &self.kind())
            .field("message", &format_args!("{self}"))
            .finish()
    }
}

impl Error for RotationError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &*self.0 {
            Why::NotRotated(error) => Some(error),
            Why::Rotated {
                unreadable,
                not_stored,
                ..
            } => match (not_stored, unreadable) {
                (Some(error), _) => Some(&**error),
                (None, Some(error)) => Some(error),
                (None, None) => None,
            },
        }
    }
}
