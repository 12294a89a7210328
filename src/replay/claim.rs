//! The key and the holder of a claim.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::event::JobId;
use crate::scheme::Scheme;

/// The key of a claim: the namespace, the scheme and the claim id of an event, or the namespace and
/// the job that it ends.
///
/// A guard keeps one row for each key. All deliveries of an event have the same key. It is cheap to
/// clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClaimKey {
    namespace: Arc<str>,
    /// `None` for a job.
    scheme: Option<Scheme>,
    id: Arc<str>,
}

/// Where a key has the name of the scheme otherwise.
const JOB: &str = "job";

impl ClaimKey {
    /// Makes a key, for the tests of a guard. A receiver makes its own.
    #[must_use]
    pub fn new(namespace: &str, scheme: Scheme, id: &str) -> Self {
        Self::of(namespace.into(), scheme, id.into())
    }

    pub(crate) fn of(namespace: Arc<str>, scheme: Scheme, id: Arc<str>) -> Self {
        Self {
            namespace,
            scheme: Some(scheme),
            id,
        }
    }

    /// Makes the key of a job, for an app that remembers jobs itself.
    ///
    /// A receiver makes it if it was built with
    /// [`once_per_job`](crate::WebhookReceiverBuilder::once_per_job).
    #[must_use]
    pub fn for_job(namespace: &str, job: &JobId) -> Self {
        Self::of_job(namespace.into(), job)
    }

    pub(crate) fn of_job(namespace: Arc<str>, job: &JobId) -> Self {
        Self {
            namespace,
            scheme: None,
            id: job.to_string().into(),
        }
    }

    /// Returns the namespace, which separates the apps that share a guard.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns how the event was signed: the same id in another scheme is another event. `None` if the
    /// key is that of a job, whoever says that it has ended.
    #[must_use]
    pub fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }

    pub(crate) fn shared_id(&self) -> Arc<str> {
        Arc::clone(&self.id)
    }

    fn space(&self) -> &'static str {
        self.scheme.map_or(JOB, Scheme::as_str)
    }

    /// Returns the id of the event within its scheme:
    /// [`Delivery::claim_id`](crate::Delivery::claim_id). For a job it is its kind and id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the key as bytes, for a store with keys of one column.
    ///
    /// They are namespace, scheme (`job` for a job) and id, each after its length in four bytes, big-endian. So two
    /// keys never have the same bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.namespace.len() + self.id.len() + 16);
        for text in [&*self.namespace, self.space(), &*self.id] {
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
        write!(f, "{:?}/{}/{:?}", self.namespace, self.space(), self.id)
    }
}

/// The token of a claim's holder: 128 random bits, different for each delivery.
///
/// If a lease has ended and another delivery has claimed the event, the former holder's token no
/// longer fits, so that it cannot settle or release a claim that is no longer its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClaimToken(u128);

impl ClaimToken {
    /// Makes a new random token.
    #[must_use]
    pub fn generate() -> Self {
        Self(rand::random())
    }

    /// Returns the token as bytes, for a store to keep.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Makes the token of bytes that a store has kept.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

/// Does not show the bits: anyone who has them could settle or release the claim.
impl fmt::Debug for ClaimToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimToken(…)")
    }
}

/// The claim of a delivery on its event: a key, the holder's token, and for how long.
///
/// [`Delivery::hand_over_claim`](crate::Delivery::hand_over_claim) returns it, for an app that
/// settles it: that marks the event as handled, in the same transaction as the app's work.
#[derive(Clone, Debug)]
pub struct Claim {
    key: ClaimKey,
    token: ClaimToken,
    lease: Duration,
    retention: Duration,
}

impl Claim {
    pub(crate) fn new(key: ClaimKey, lease: Duration, retention: Duration) -> Self {
        Self {
            key,
            token: ClaimToken::generate(),
            lease,
            retention,
        }
    }

    /// Returns the key of the event that is claimed.
    #[must_use]
    pub fn key(&self) -> &ClaimKey {
        &self.key
    }

    /// Returns the token of the holder.
    #[must_use]
    pub fn token(&self) -> ClaimToken {
        self.token
    }

    /// Returns how long the claim holds, counted from when the guard made it.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// Returns how long the event is to be remembered, counted from when it is settled.
    ///
    /// It is the receiver's [`retention`](crate::WebhookReceiverBuilder::retention) and a margin, or
    /// for as long as the JWT that brought the event is accepted, if that is longer.
    #[must_use]
    pub fn retention(&self) -> Duration {
        self.retention
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::event::JobKind;

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
        let job = JobId::new(JobKind::Batch, "a").unwrap();
        assert!(seen.insert(ClaimKey::for_job("", &job).to_bytes()));
        let key = ClaimKey::new("ab", Scheme::V1, "c");
        assert_eq!(key.to_bytes(), b"\0\0\0\x02ab\0\0\0\x02v1\0\0\0\x01c");
        assert_eq!(format!("{key:?}"), r#""ab"/v1/"c""#);
        assert_eq!(
            format!("{:?}", ClaimKey::for_job("", &job)),
            r#"""/job/"batch/a""#
        );
    }

    #[test]
    fn a_claim_says_what_it_was_made_for() {
        let key = ClaimKey::new("ab", Scheme::V1a, "c");
        let (lease, retention) = (Duration::from_secs(60), Duration::from_secs(90_000));
        let claim = Claim::new(key.clone(), lease, retention);
        assert_eq!(*claim.key(), key);
        assert_eq!((claim.lease(), claim.retention()), (lease, retention));
        assert_eq!((key.namespace(), key.id()), ("ab", "c"));
        assert_eq!(key.scheme(), Some(Scheme::V1a));
    }

    #[test]
    fn tokens_are_new_and_not_shown() {
        let token = ClaimToken::generate();
        assert!(token != ClaimToken::generate());
        assert!(ClaimToken::from_bytes(token.to_bytes()) == token);
        assert_eq!(format!("{token:?}"), "ClaimToken(…)");
    }
}
