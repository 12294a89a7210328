//! A delivery between its headers and its body.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::{Rules, Verified};
use crate::error::VerifyError;
use crate::headers::{Fields, Signatures};
#[cfg(feature = "receiver")]
use crate::headers::{WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};
use crate::scheme::{Failure, KeySet};

/// A delivery whose headers have been checked, and whose body is still to come.
///
/// [`Verifier::check`](crate::Verifier::check) returns it. It owns what it needs, so that it can wait
/// for the body, and it verifies with the secrets and the time that the headers were checked with.
pub struct Checked {
    id: Arc<str>,
    /// Timestamp and signature list.
    values: Box<[u8]>,
    timestamp_length: usize,
    sent_at: u64,
    now: SystemTime,
    rules: Arc<Rules>,
}

impl Checked {
    pub(super) fn new(fields: &Fields<'_>, now: SystemTime, rules: Arc<Rules>) -> Self {
        let values = [fields.timestamp, fields.signatures.as_bytes()];
        Self {
            id: fields.id.into(),
            values: values.concat().into_boxed_slice(),
            timestamp_length: fields.timestamp.len(),
            sent_at: fields.sent_at,
            now,
            rules,
        }
    }

    /// Returns the `webhook-id`, which is not authenticated yet.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The three headers, as they were received.
    #[cfg(feature = "receiver")]
    pub(crate) fn lines(&self) -> [(&'static str, &[u8]); 3] {
        let (timestamp, signatures) = self.values.split_at(self.timestamp_length);
        [
            (WEBHOOK_ID, self.id.as_bytes()),
            (WEBHOOK_TIMESTAMP, timestamp),
            (WEBHOOK_SIGNATURE, signatures),
        ]
    }

    #[cfg(feature = "receiver")]
    pub(crate) fn now(&self) -> SystemTime {
        self.now
    }

    #[cfg(feature = "receiver")]
    pub(crate) fn shared_id(&self) -> Arc<str> {
        Arc::clone(&self.id)
    }

    /// Verifies that a key of the verifier signed these headers and this body.
    ///
    /// # Errors
    ///
    /// [`VerifyErrorKind::SignatureMismatch`](crate::VerifyErrorKind::SignatureMismatch), or what is
    /// wrong with a JWT.
    pub fn verify(&self, body: &[u8]) -> Result<Verified<'_>, VerifyError> {
        self.verify_under(self.rules.given_keys(), body)
            .map_err(Failure::into_error)
    }

    /// As [`verify`](Self::verify), under these public keys; `None` if none are known.
    pub(crate) fn verify_under<'a>(
        &'a self,
        keys: Option<&'a KeySet>,
        body: &[u8],
    ) -> Result<Verified<'a>, Failure> {
        self.rules.verify(keys, &self.fields(), body, self.now)
    }

    fn fields(&self) -> Fields<'_> {
        let (timestamp, signatures) = self.values.split_at(self.timestamp_length);
        Fields {
            id: &self.id,
            timestamp,
            sent_at: self.sent_at,
            signatures: Signatures::reread(signatures),
        }
    }
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked")
            .field("id", &self.id())
            .field("timestamp", &self.sent_at)
            .finish_non_exhaustive()
    }
}
