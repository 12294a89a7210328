//! What is claimed, and by whom.

use std::fmt;
use std::sync::Arc;

use crate::scheme::Scheme;

/// What is claimed: an event, as its deliveries name it, within a namespace. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClaimKey {
    namespace: Arc<str>,
    scheme: Scheme,
    id: Arc<str>,
}

impl ClaimKey {
    /// A key for tests; a receiver makes its own.
    #[must_use]
    pub fn new(namespace: &str, scheme: Scheme, id: &str) -> Self {
        Self::of(namespace.into(), scheme, id.into())
    }

    pub(crate) fn of(namespace: Arc<str>, scheme: Scheme, id: Arc<str>) -> Self {
        Self {
            namespace,
            scheme,
            id,
        }
    }

    /// Which app the event is for, among those that share a guard.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// How it was signed: ids of different schemes are different.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// [`Delivery::claim_id`](crate::Delivery::claim_id).
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// All three as one text of bytes, each behind its length (four bytes, big-endian), so that no
    /// two keys have the same: for a store that knows one sort of key.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.namespace.len() + self.id.len() + 16);
        for text in [&*self.namespace, self.scheme.as_str(), &*self.id] {
            // A receiver bounds ids; a namespace of 4 GiB would be the app's own.
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }
}

impl fmt::Debug for ClaimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}/{:?}", self.namespace, self.scheme, self.id)
    }
}

/// Who holds a claim: 128 random bits, made anew for each delivery. A holder whose lease ended has
/// another token than its successor, so it cannot change what is no longer its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClaimToken(u128);

impl ClaimToken {
    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        Self(rand::random())
    }

    /// For a store to keep.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// From what a store has kept.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

/// Not the bits: whoever has them could settle or release.
impl fmt::Debug for ClaimToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimToken(…)")
    }
}

/// The claim of a delivery: for an app that settles it in a transaction of its own, together with
/// what the event changes. The receiver settles it as well, which then finds it done.
#[derive(Clone, Debug)]
pub struct Claim {
    key: ClaimKey,
    token: ClaimToken,
}

impl Claim {
    pub(crate) fn new(key: ClaimKey) -> Self {
        Self {
            key,
            token: ClaimToken::generate(),
        }
    }

    /// What is claimed.
    #[must_use]
    pub fn key(&self) -> &ClaimKey {
        &self.key
    }

    /// Who holds it.
    #[must_use]
    pub fn token(&self) -> ClaimToken {
        self.token
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_keys_have_the_same_bytes() {
        let mut seen = HashSet::new();
        let texts = ["", "a", "b", "ab", "v1", "\0", "\0\0\0\u{1}a"];
        for namespace in texts {
            for scheme in [Scheme::V1, Scheme::V1a, Scheme::Jwt] {
                for id in texts {
                    let key = ClaimKey::new(namespace, scheme, id);
                    assert!(seen.insert(key.to_bytes()), "{key:?}");
                }
            }
        }
        let key = ClaimKey::new("ab", Scheme::V1, "c");
        assert_eq!(key.to_bytes(), b"\0\0\0\x02ab\0\0\0\x02v1\0\0\0\x01c");
    }

    #[test]
    fn tokens_are_new_and_not_shown() {
        let token = ClaimToken::generate();
        assert!(token != ClaimToken::generate());
        assert!(ClaimToken::from_bytes(token.to_bytes()) == token);
        assert_eq!(format!("{token:?}"), "ClaimToken(…)");
    }
}
