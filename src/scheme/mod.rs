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

/// How a delivery was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Scheme {
    /// HMAC-SHA256 under a shared secret: static webhooks. `v1` of Standard Webhooks.
    V1,
    /// Ed25519 under a key that Google publishes: dynamic webhooks. `v1a` of Standard Webhooks.
    V1a,
    /// A token (JWT) signed with RS256 under a key that Google publishes: dynamic webhooks as
    /// Google's guide shows them. **It signs neither id nor timestamp of the delivery.**
    Jwt,
}

impl Scheme {
    /// As it stands in `webhook-signature`: `v1`, `v1a`; and `jwt`, which stands there without a
    /// name.
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
