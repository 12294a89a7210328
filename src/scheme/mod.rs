//! The ways to sign a delivery.

use std::fmt;

use crate::error::VerifyError;
#[cfg(feature = "jwks")]
pub(crate) use crate::jwks::set::KeySet;

#[cfg(feature = "jwks")]
pub(crate) mod ed25519;
pub(crate) mod hmac;
#[cfg(feature = "jwt")]
pub(crate) mod jwt;

/// How a delivery was signed: with a secret, a public key, or as a JWT.
///
/// [`Delivery::scheme`](crate::Delivery::scheme) returns it. Which schemes a receiver accepts follows from the
/// keys that it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Scheme {
    /// `v1` of Standard Webhooks: HMAC-SHA256 with a signing secret. Static webhooks use it.
    V1,
    /// `v1a` of Standard Webhooks: Ed25519 with a key that Google publishes. Dynamic webhooks use it
    /// (one user's report, 2026-08-31, googleapis/python-genai #2927).
    V1a,
    /// A JWT, signed with RS256 and a key that Google publishes. Google's guide (copies up to
    /// 2026-10-05) shows it for dynamic webhooks. **The id and the timestamp of the delivery are not
    /// signed.**
    Jwt,
}

impl Scheme {
    /// Returns the name of the scheme: `v1`, `v1a` or `jwt`.
    ///
    /// The first two are as in `webhook-signature`. A JWT has no such name there.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1a => "v1a",
            Self::Jwt => "jwt",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// There are no public keys without the feature.
#[cfg(not(feature = "jwks"))]
pub(crate) enum KeySet {}

/// Why a delivery does not verify.
pub(crate) enum Failure {
    Refused(VerifyError),
    /// As far as is known; a public key that is not known yet may have signed it.
    #[cfg(feature = "jwks")]
    UnknownKey(VerifyError),
}

impl Failure {
    pub(crate) fn into_error(self) -> VerifyError {
        match self {
            Self::Refused(error) => error,
            #[cfg(feature = "jwks")]
            Self::UnknownKey(error) => error,
        }
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        Self::Refused(error)
    }
}
