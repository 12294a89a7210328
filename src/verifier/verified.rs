//! What is known of a delivery that has been verified.

use std::borrow::Cow;
use std::sync::Arc;
#[cfg(feature = "jwt")]
use std::time::{Duration, SystemTime};

use crate::scheme::Scheme;
#[cfg(feature = "jwt")]
use crate::scheme::jwt::SignedToken;

/// A delivery whose signature has been verified: its id, time and key.
///
/// [`Verifier::verify`](crate::Verifier::verify) returns it.
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
    Delivery(Scheme, Cow<'a, Arc<str>>),
    /// The token alone.
    #[cfg(feature = "jwt")]
    Token(Box<SignedToken>),
}

impl<'a> Verified<'a> {
    /// Returns the `webhook-id`, which is the same in all retries of one event.
    ///
    /// The text is opaque. [`Scheme::Jwt`] does not sign it.
    #[must_use]
    pub fn id(&self) -> &'a str {
        self.id
    }

    /// Returns when this delivery was sent, in seconds since the Unix epoch.
    ///
    /// [`Scheme::Jwt`] does not sign it.
    #[must_use]
    pub fn timestamp(&self) -> u64 {
        self.sent_at
    }

    /// Returns how the delivery was signed.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        match &self.signed {
            Signed::Delivery(scheme, _) => *scheme,
            #[cfg(feature = "jwt")]
            Signed::Token(_) => Scheme::Jwt,
        }
    }

    /// Returns the name of the key that signed the delivery.
    ///
    /// For a signing secret it is [`SigningSecret::key_id`](crate::SigningSecret::key_id), for a
    /// public key its `kid`.
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

    /// Returns the text by which a duplicate of the event is recognised, within one scheme.
    ///
    /// It is the [id](Self::id), except for a JWT: there it is the `jti` claim, or a digest of the
    /// JWT if it has none.
    #[must_use]
    pub fn claim_id(&self) -> &str {
        match &self.signed {
            Signed::Delivery(..) => self.id,
            #[cfg(feature = "jwt")]
            Signed::Token(token) => &token.claim_id,
        }
    }

    /// Returns the event if a JWT carried it, and `None` if the body is the event.
    #[cfg(feature = "jwt")]
    #[must_use]
    pub fn payload(&self) -> Option<&[u8]> {
        Some(&self.token()?.payload)
    }

    /// Returns until when the JWT is accepted, if the delivery has one.
    ///
    /// Remember its [`claim_id`](Self::claim_id) at least that long.
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
