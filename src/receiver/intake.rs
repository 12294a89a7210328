//! The body of a delivery, bounded while it arrives.

use std::fmt;
use std::sync::atomic::Ordering;

use bytes::{Buf, BufMut as _, Bytes, BytesMut};

use super::finish::Arrived;
use super::{Finish, WebhookReceiver};
use crate::error::{BoxError, Detail, VerifyError, VerifyErrorKind};
use crate::verifier::Checked;

/// A delivery whose headers were accepted and whose body is arriving.
///
/// An error ends it: the rest of the body need not be read.
#[must_use]
pub struct Intake {
    checked: Checked,
    body: Body,
    held: Held,
}

/// One frame is handed on as it is; a second one begins a copy.
enum Body {
    Empty,
    One(Bytes),
    Many(BytesMut),
}

impl Intake {
    pub(super) fn new(
        receiver: &WebhookReceiver,
        checked: Checked,
        content_length: Option<u64>,
    ) -> Result<Self, VerifyError> {
        let intake = Self {
            checked,
            body: Body::Empty,
            held: Held {
                receiver: receiver.clone(),
                bytes: 0,
            },
        };
        let limit = receiver.shared.max_body_bytes;
        match content_length {
            Some(length) if usize::try_from(length).map_or(true, |length| length > limit) => {
                Err(intake.refuse(VerifyErrorKind::BodyTooLarge, Detail::Limit(limit)))
            }
            _ => Ok(intake),
        }
    }

    pub(super) fn receiver(&self) -> &WebhookReceiver {
        &self.held.receiver
    }

    /// Takes the next part of the body.
    ///
    /// # Errors
    ///
    /// [`VerifyErrorKind::BodyTooLarge`], [`VerifyErrorKind::Overloaded`]. Nothing of the part is
    /// kept then.
    pub fn push(&mut self, mut part: impl Buf) -> Result<(), VerifyError> {
        let length = part.remaining();
        let limit = self.held.receiver.shared.max_body_bytes;
        if length > limit.saturating_sub(self.held.bytes) {
            return Err(self.refuse(VerifyErrorKind::BodyTooLarge, Detail::Limit(limit)));
        }
        if !self.held.grow(length) {
            let all = self.held.receiver.shared.max_buffered_bytes;
            return Err(self.refuse(VerifyErrorKind::Overloaded, Detail::Limit(all)));
        }
        match &mut self.body {
            Body::Many(bytes) => bytes.put(part),
            Body::Empty => self.body = Body::One(part.copy_to_bytes(length)),
            Body::One(first) => {
                let mut bytes = BytesMut::with_capacity(first.len() + length);
                bytes.extend_from_slice(first);
                bytes.put(part);
                self.body = Body::Many(bytes);
            }
        }
        Ok(())
    }

    /// Steps 6 to 9, once the body is there: verifies it, reads the event, asks the app, claims the
    /// event. Waits where a public key is not known yet, 5 seconds at most, for
    /// [`accept_if`](super::WebhookReceiverBuilder::accept_if), 2 seconds, and for
    /// a guard that has to ask a store, 2 seconds unless that is changed.
    ///
    /// # Errors
    ///
    /// The delivery is refused.
    pub fn finish(self) -> Finish {
        let body = match self.body {
            Body::Empty => Bytes::new(),
            Body::One(bytes) => bytes,
            Body::Many(bytes) => bytes.freeze(),
        };
        let arrived = Arrived {
            checked: self.checked,
            body,
            held: self.held,
        };
        arrived.finish()
    }

    /// The refusal when the body did not arrive within
    /// [`body_timeout`](WebhookReceiver::body_timeout).
    #[must_use]
    pub fn timed_out(&self) -> VerifyError {
        let limit = self.held.receiver.body_timeout();
        self.refuse(VerifyErrorKind::BodyTimeout, Detail::After(limit))
    }

    /// The refusal when reading the body failed.
    #[must_use]
    pub fn broke_off(&self, source: impl Into<BoxError>) -> VerifyError {
        self.refuse(
            VerifyErrorKind::BodyIncomplete,
            Detail::Source(source.into().into()),
        )
    }

    fn refuse(&self, kind: VerifyErrorKind, detail: Detail) -> VerifyError {
        self.held
            .receiver
            .refuse(VerifyError::new(kind, detail), Some(self.checked.id()))
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake")
            .field("checked", &self.checked)
            .field("bytes", &self.held.bytes)
            .finish_non_exhaustive()
    }
}

/// Bytes counted against `max_buffered_bytes`, given back on drop.
pub(super) struct Held {
    pub(super) receiver: WebhookReceiver,
    bytes: usize,
}

impl Held {
    fn grow(&mut self, bytes: usize) -> bool {
        let shared = &self.receiver.shared;
        // A lone counter guards no other memory, so no ordering is needed.
        let before = shared.buffered.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > shared.max_buffered_bytes {
            shared.buffered.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes += bytes;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.receiver
            .shared
            .buffered
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
