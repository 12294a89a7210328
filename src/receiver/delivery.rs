//! How an event came.

use std::fmt;
use std::sync::Arc;

use crate::scheme::Scheme;
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
}

impl Delivery {
    pub(super) fn new(id: Arc<str>, verified: &Verified<'_>) -> Self {
        Self {
            inner: Arc::new(DeliveryInner {
                id,
                timestamp: verified.timestamp(),
                scheme: verified.scheme(),
                key_id: verified.shared_key_id(),
            }),
        }
    }

    /// `webhook-id`: opaque, the same over all retries of one event.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// When this attempt was made, in seconds since the Unix epoch.
    #[must_use]
    pub fn timestamp(&self) -> u64 {
        self.inner.timestamp
    }

    /// How it was signed.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.inner.scheme
    }

    /// Which key signed it: [`SigningSecret::key_id`](crate::SigningSecret::key_id).
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
            .finish()
    }
}
