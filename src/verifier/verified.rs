//! What a verifier says of a delivery that is authentic.

use std::sync::Arc;
#[cfg(feature = "jwt")]
use std::time::{Duration, SystemTime};

use crate::scheme::Scheme;
#[cfg(feature = "jwt")]
use crate::scheme::jwt::SignedToken;

/// What is known of a delivery once its signature has been verified.
#[derive(Clone, Debug)]
pub struct Verified<'a> {
    pub(super) id: &'a str,
    pub(super) sent_at: u64,
    pub(super) signed: Signed<'a>,
}

/// What was signed, and with which key.
#[derive(Clone, Debug)]
pub(super) enum Signed<'a> {
    /// Id, timestamp and body.
    Delivery(Scheme, &'a Arc<str>),
    /// The token alone.
    #[cfg(feature = "jwt")]
    Token(Box<SignedToken>),
}

impl<'a> Verified<'a> {
    /// `webhook-id`: opaque, the same over all retries of one event. [`Scheme::Jwt`] does not sign
    /// it.
    #[must_use]
    pub fn id(&self) -> &'a str {
        self.id
    }

    /// When this attempt was made, in seconds since the Unix epoch. [`Scheme::Jwt`] does not sign
    /// it.
    #[must_use]
    pub fn timestamp(&self) -> u64 {
        self.sent_at
    }

    /// How it was signed.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        match &self.signed {
            Signed::Delivery(scheme, _) => *scheme,
            #[cfg(feature = "jwt")]
            Signed::Token(_) => Scheme::Jwt,
        }
    }

    /// Which key signed it: [`SigningSecret::key_id`](crate::SigningSecret::key_id), or the name
    /// of a public key.
    #[must_use]
    pub fn key_id(&self) -> &str {
        self.shared_key_id()
    }

    pub(crate) fn shared_key_id(&self) -> &Arc<str> {
        match &self.signed {
            Signed::Delivery(_, key_id) => key_id,
            #[cfg(feature = "jwt")]
            Signed::Token(token) => &token.key_id,
        }
    }

    /// What a repeat of the event is known by: the [id](Self::id); for a token its `jti`, else a
    /// digest of it.
    #[must_use]
    pub fn claim_id(&self) -> &str {
        match &self.signed {
            Signed::Delivery(..) => self.id,
            #[cfg(feature = "jwt")]
            Signed::Token(token) => &token.claim_id,
        }
    }

    /// The event, if a token carried it instead of the body.
    #[cfg(feature = "jwt")]
    #[must_use]
    pub fn payload(&self) -> Option<&[u8]> {
        Some(&self.token()?.payload)
    }

    /// Until when the token is accepted, if there is one: remember its claim id so long at least.
    #[cfg(feature = "jwt")]
    #[must_use]
    pub fn token_valid_until(&self) -> Option<SystemTime> {
        let seconds = Duration::from_secs(self.token()?.valid_until);
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    }

    #[cfg(feature = "jwt")]
    pub(crate) fn token(&self) -> Option<&SignedToken> {
        match &self.signed {
            Signed::Delivery(..) => None,
            Signed::Token(token) => Some(token),
        }
    }
}
