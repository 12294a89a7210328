//! How an event came.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::WebhookReceiver;
use crate::replay::Claim;
use crate::scheme::Scheme;
use crate::trace::Who;
use crate::verifier::Verified;

/// How an event came: id, time and signature of the delivery. A handler names it beside
/// [`GeminiEvent`](crate::GeminiEvent). Cheap to clone.
#[derive(Clone)]
pub struct Delivery {
    inner: Arc<DeliveryInner>,
}

struct DeliveryInner {
    id: Arc<str>,
    timestamp: u64,
    scheme: Scheme,
    key_id: Arc<str>,
    /// Where it is not the id.
    claim_id: Option<Arc<str>>,
    /// Of a token.
    accepted_until: Option<SystemTime>,
    claim: Option<Claim>,
    /// The receiver that verified it.
    receiver: u64,
}

impl Delivery {
    pub(crate) fn new(id: Arc<str>, verified: &Verified<'_>, receiver: &WebhookReceiver) -> Self {
        #[cfg(feature = "jwt")]
        let claim_id = verified.token().map(|token| Arc::clone(&token.claim_id));
        #[cfg(not(feature = "jwt"))]
        let claim_id: Option<Arc<str>> = None;
        let claim = receiver.shared.claims.as_ref().map(|claims| {
            claims.of(
                verified.scheme(),
                Arc::clone(claim_id.as_ref().unwrap_or(&id)),
            )
        });
        Self {
            inner: Arc::new(DeliveryInner {
                id,
                timestamp: verified.timestamp(),
                scheme: verified.scheme(),
                key_id: Arc::clone(verified.shared_key_id()),
                claim_id,
                #[cfg(feature = "jwt")]
                accepted_until: verified.token_valid_until(),
                #[cfg(not(feature = "jwt"))]
                accepted_until: None,
                claim,
                receiver: receiver.shared.id,
            }),
        }
    }

    /// `webhook-id`: opaque, the same over all retries of one event.
    ///
    /// Nobody vouches for it where [`id_is_signed`](Self::id_is_signed) is false:
    /// [`claim_id`](Self::claim_id) is then what tells events apart.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// When this attempt was made, in seconds since the Unix epoch. Nobody vouches for it where
    /// [`id_is_signed`](Self::id_is_signed) is false.
    #[must_use]
    pub fn timestamp(&self) -> u64 {
        self.inner.timestamp
    }

    /// How it was signed.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.inner.scheme
    }

    /// Whether id and timestamp were signed together with the event. They are, but for
    /// [`Scheme::Jwt`], where the token alone is signed.
    #[must_use]
    pub fn id_is_signed(&self) -> bool {
        self.inner.scheme != Scheme::Jwt
    }

    /// What a repeat of the event is known by: the [id](Self::id); for a token its `jti`, else a
    /// digest of the token. Within one [scheme](Self::scheme).
    ///
    /// A token that is signed anew for a retry and has no `jti` cannot be known for a repeat.
    #[must_use]
    pub fn claim_id(&self) -> &str {
        self.inner.claim_id.as_ref().unwrap_or(&self.inner.id)
    }

    /// The claim on the event, for an app that settles it in a transaction of its own. `None` where
    /// events are not claimed
    /// ([`without_replay_protection`](crate::WebhookReceiverBuilder::without_replay_protection)).
    #[must_use]
    pub fn claim(&self) -> Option<&Claim> {
        self.inner.claim.as_ref()
    }

    /// Until when a copy of it would be accepted, where the timestamp does not say so.
    pub(crate) fn accepted_until(&self) -> Option<SystemTime> {
        self.inner.accepted_until
    }

    pub(crate) fn is_of(&self, receiver: &WebhookReceiver) -> bool {
        self.inner.receiver == receiver.shared.id
    }

    /// For the log.
    pub(crate) fn who(&self) -> Who<'_> {
        Who {
            id: self.id(),
            claim_id: self.inner.claim_id.as_deref(),
            scheme: self.scheme(),
            key_id: self.key_id(),
        }
    }

    /// Which key signed it: [`SigningSecret::key_id`](crate::SigningSecret::key_id), or the name of
    /// a public key.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.inner.key_id
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("id", &self.id())
            .field("timestamp", &self.timestamp())
            .field("scheme", &self.scheme())
            .field("key_id", &self.key_id())
            .field("claim_id", &self.claim_id())
            .finish()
    }
}
