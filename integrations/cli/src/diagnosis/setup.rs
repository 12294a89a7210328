//! What a receiver is set up with.

use std::fmt;
use std::time::Duration;

use gemini_webhooks::jwks::KeySet;
use gemini_webhooks::{ConfigError, EndpointToken, Keyring, SigningSecret, Verifier};
use zeroize::Zeroizing;

use crate::capture::Capture;

/// What the receiver that a delivery reached trusts.
///
/// Give each secret a label, such as the name of the variable or file that it is in: a diagnosis calls it so. `Debug`
/// shows no secret.
///
/// ```
/// use gemini_webhooks_cli::Setup;
///
/// let setup = Setup::new()
///     .secret("the app's", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?
///     .other_secret("staging's", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")?;
/// # Ok::<(), gemini_webhooks::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Setup {
    /// Those that the receiver has.
    pub(super) secrets: Vec<Known>,
    /// Those that it does not have.
    pub(super) others: Vec<Known>,
    pub(super) keys: Option<KeySet>,
    pub(super) other_keys: Option<KeySet>,
    pub(super) tokens: Vec<EndpointToken>,
    pub(super) audiences: Vec<String>,
    pub(super) tolerance: Option<Duration>,
    pub(super) max_body_bytes: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            secrets: Vec::new(),
            others: Vec::new(),
            keys: None,
            other_keys: None,
            tokens: Vec::new(),
            audiences: Vec::new(),
            tolerance: None,
            max_body_bytes: 64 * 1024,
        }
    }
}

/// A secret, with a name for it that people know.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) label: String,
    /// As it was given, since a sender may have used the text as the key.
    pub(super) text: Zeroizing<String>,
    pub(super) secret: SigningSecret,
}

/// What people call a secret, and what the logs call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) label: String,
    pub(super) key_id: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.label, self.key_id)
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())
    }
}

impl Known {
    fn new(label: impl Into<String>, text: &str) -> Result<Self, ConfigError> {
        Ok(Self {
            label: label.into(),
            text: Zeroizing::new(text.trim().to_owned()),
            secret: text.parse()?,
        })
    }

    pub(super) fn name(&self) -> Name {
        Name {
            label: self.label.clone(),
            key_id: self.secret.key_id().to_owned(),
        }
    }
}

impl Setup {
    /// Returns a setup that trusts nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a signing secret that the receiver has.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the text is no secret.
    pub fn secret(
        mut self,
        label: impl Into<String>,
        text: impl AsRef<str>,
    ) -> Result<Self, ConfigError> {
        self.secrets.push(Known::new(label, text.as_ref())?);
        Ok(self)
    }

    /// Adds a signing secret that the receiver does not have, such as that of another webhook, to find out whether
    /// it signed.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the text is no secret.
    pub fn other_secret(
        mut self,
        label: impl Into<String>,
        text: impl AsRef<str>,
    ) -> Result<Self, ConfigError> {
        self.others.push(Known::new(label, text.as_ref())?);
        Ok(self)
    }

    /// Sets the public keys that the receiver has, for dynamic webhooks.
    #[must_use]
    pub fn keys(mut self, keys: KeySet) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Sets public keys that the receiver does not have, such as Google's, to find out whether one of them signed.
    #[must_use]
    pub fn other_keys(mut self, keys: KeySet) -> Self {
        self.other_keys = Some(keys);
        self
    }

    /// Adds an endpoint token that the receiver accepts. It is looked for if the capture has a target.
    #[must_use]
    pub fn endpoint_token(mut self, token: EndpointToken) -> Self {
        self.tokens.push(token);
        self
    }

    /// Accepts JWTs for this audience, under the public keys.
    #[must_use]
    pub fn accept_jwt(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Sets how far a timestamp may be off, in either direction. 5 minutes by default; a fraction of a second is
    /// dropped, and less than a second counts as a second.
    #[must_use]
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = Some(tolerance.max(Duration::from_secs(1)));
        self
    }

    /// Sets the longest body that the receiver takes. 64 KiB by default.
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// Whether it has neither a secret nor public keys.
    #[must_use]
    pub fn trusts_nothing(&self) -> bool {
        self.secrets.is_empty() && self.keys.is_none()
    }

    /// A verifier with these secrets, keys and limits; `None` if there is nothing to verify with.
    pub(super) fn verifier(&self) -> Option<Verifier> {
        let mut secrets = self.secrets.iter().map(|known| known.secret.clone());
        let keyring = secrets
            .next()
            .map(|first| secrets.fold(Keyring::new(first), Keyring::add));
        let verifier = match (keyring, self.keys.clone()) {
            (Some(keyring), Some(keys)) => Verifier::new(keyring).with_keys(keys),
            (Some(keyring), None) => Verifier::new(keyring),
            (None, Some(keys)) => Verifier::for_keys(keys),
            (None, None) => return None,
        };
        let verifier = self.audiences.iter().fold(verifier, Verifier::accept_jwt);
        match self.tolerance {
            Some(tolerance) => verifier.with_tolerance(tolerance).ok(),
            None => Some(verifier),
        }
    }

    /// What people call the key of this id.
    pub(super) fn name_of(&self, key_id: &str) -> String {
        let known = self
            .secrets
            .iter()
            .find(|known| known.secret.key_id() == key_id);
        match known {
            Some(known) => format!("{} ({key_id})", known.label),
            None => key_id.to_owned(),
        }
    }

    /// Whether the URL carries an endpoint token that is accepted, as far as either is known.
    pub(super) fn is_addressed(&self, capture: &Capture) -> bool {
        let Some(target) = capture.target() else {
            return true;
        };
        self.tokens.is_empty() || self.tokens.iter().any(|token| token.is_carried_by(target))
    }
}
