//! The ways to sign a delivery.

use std::fmt;

pub(crate) mod hmac;

/// How a delivery was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Scheme {
    /// HMAC-SHA256 under a shared secret: static webhooks. `v1` of Standard Webhooks.
    V1,
}

impl Scheme {
    /// As it stands in `webhook-signature`: `v1`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => hmac::VERSION,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
