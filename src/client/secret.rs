//! A new signing secret.

use std::fmt;

use zeroize::Zeroizing;

use crate::error::ConfigError;
use crate::secret::SigningSecret;

/// A new signing secret of a webhook, which the service shows this once.
///
/// Store what [`expose`](Self::expose) returns where your app keeps its secrets. The service never
/// shows it again; if it is lost, rotate the secret. A receiver takes it as a
/// [`SigningSecret`], or as text.
///
/// `Debug` shows nothing of it. Its text is erased from memory when it is dropped; copies in the
/// buffers of the network stack are not.
#[derive(Clone)]
pub struct NewSecret(Zeroizing<String>);

impl NewSecret {
    pub(super) fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// Returns the text of the secret, to be stored: `whsec_` and base64.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the secret in the form that a receiver takes.
    ///
    /// # Errors
    ///
    /// [`ConfigError::SecretEmpty`], [`ConfigError::SecretTooShort`] or
    /// [`ConfigError::SecretMalformed`] if the service returned a secret in a form that this version
    /// does not know.
    pub fn signing_secret(&self) -> Result<SigningSecret, ConfigError> {
        self.0.parse()
    }
}

impl TryFrom<NewSecret> for SigningSecret {
    type Error = ConfigError;

    fn try_from(secret: NewSecret) -> Result<Self, ConfigError> {
        secret.signing_secret()
    }
}

impl fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_turns_into_a_secret_and_shows_nothing() {
        let text = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let new = NewSecret::new(text);
        assert_eq!(format!("{new:?} {new:#?}"), "NewSecret(…) NewSecret(…)");
        assert_eq!(new.expose(), text);
        let secret: SigningSecret = text.parse().unwrap();
        let turned = SigningSecret::try_from(new).unwrap();
        assert_eq!(turned.key_id(), secret.key_id());
        assert!(NewSecret::new("another form").signing_secret().is_err());
    }
}
