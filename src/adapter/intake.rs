//! The body of a delivery, limited while it arrives. Step 5.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::atomic::Ordering;

use bytes::{Buf, BufMut as _, Bytes};

use super::Finish;
use super::finish::Arrived;
use crate::error::{BoxError, Detail, VerifyError, VerifyErrorKind};
use crate::metrics::{self, Begun, Known};
use crate::receiver::WebhookReceiver;
use crate::verifier::Checked;

/// A delivery whose headers were accepted, and whose body is arriving.
///
/// [`WebhookReceiver::admit`] returns it. [Push](Self::push) the parts of the body, then
/// [finish](Self::finish). An error ends the delivery: do not push further parts.
#[must_use]
pub struct Intake {
    checked: Checked,
    /// How long the headers say that the body is.
    declared: Option<u64>,
    body: Body,
    held: Held,
    begun: Begun,
}

/// One part is handed on as it is; a second one begins a copy.
enum Body {
    Empty,
    One(Bytes),
    Many(Chunks),
}

impl Intake {
    pub(super) fn new(
        receiver: &WebhookReceiver,
        checked: Checked,
        content_length: Option<u64>,
        begun: Begun,
    ) -> Result<Self, VerifyError> {
        let intake = Self {
            checked,
            declared: content_length,
            body: Body::Empty,
            held: Held {
                receiver: receiver.clone(),
                bytes: 0,
            },
            begun,
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

    /// Adds the next part of the body.
    ///
    /// # Errors
    ///
    /// [`VerifyErrorKind::BodyTooLarge`] if the body is longer than its limit, and
    /// [`VerifyErrorKind::Overloaded`] if all bodies in flight hold too much. The part is not kept then.
    pub fn push(&mut self, mut part: impl Buf) -> Result<(), VerifyError> {
        let (more, limit) = (part.remaining(), self.held.receiver.shared.max_body_bytes);
        if more > limit.saturating_sub(self.held.bytes) {
            return Err(self.refuse(VerifyErrorKind::BodyTooLarge, Detail::Limit(limit)));
        }
        if !self.held.grow(more) {
            let all = self.held.receiver.shared.max_buffered_bytes;
            return Err(self.refuse(VerifyErrorKind::Overloaded, Detail::Limit(all)));
        }
        match &mut self.body {
            Body::Empty => self.body = Body::One(part.copy_to_bytes(more)),
            Body::One(first) => {
                let mut chunks = Chunks::default();
                chunks.put(first);
                chunks.put(part);
                self.body = Body::Many(chunks);
            }
            Body::Many(chunks) => chunks.put(part),
        }
        Ok(())
    }

    /// Verifies the delivery when its body is complete, and claims its event.
    ///
    /// These are the steps 6 (signature), 7 (event), 8 (`accept_if`) and 9 (claim). The future
    /// waits at most 2 seconds to confirm old public keys, 5 seconds for a public key that is not
    /// known yet, 2 seconds for [`accept_if`](crate::WebhookReceiverBuilder::accept_if), and
    /// [`guard_timeout`](crate::WebhookReceiverBuilder::guard_timeout) for the guard.
    ///
    /// # Errors
    ///
    /// The delivery is refused, and the error is the answer.
    pub fn finish(self) -> Finish {
        let body = match self.body {
            Body::Empty => Bytes::new(),
            Body::One(bytes) => bytes,
            Body::Many(chunks) => chunks.join(),
        };
        let arrived = Arrived {
            checked: self.checked,
            declared: self.declared,
            body,
            held: self.held,
            begun: self.begun,
        };
        arrived.finish()
    }

    /// Returns the error when the body did not arrive within
    /// [`body_timeout`](WebhookReceiver::body_timeout).
    #[must_use]
    pub fn timed_out(&self) -> VerifyError {
        let limit = self.held.receiver.body_timeout();
        self.refuse(VerifyErrorKind::BodyTimeout, Detail::After(limit))
    }

    /// Returns the error when reading the body failed with `source`.
    ///
    /// Either the connection broke, or the body is longer than a middleware outside allows, such as
    /// `RequestBodyLimitLayer` of tower-http.
    #[must_use]
    pub fn broke_off(&self, source: impl Into<BoxError>) -> VerifyError {
        let source = source.into();
        let kind = if is_over_a_limit(source.as_ref()) {
            VerifyErrorKind::BodyTooLarge
        } else {
            VerifyErrorKind::BodyIncomplete
        };
        self.refuse(kind, Detail::Source(source.into()))
    }

    fn refuse(&self, kind: VerifyErrorKind, detail: Detail) -> VerifyError {
        let (error, id) = (VerifyError::new(kind, detail), Some(self.checked.id()));
        let receiver = &self.held.receiver;
        receiver.refuse(error, id, Known::default())
    }
}

/// A body in pieces of one size: a buffer that grows would be copied time and again, hold up to twice
/// as much as it is filled, and leave holes behind.
#[derive(Default)]
struct Chunks(Vec<Vec<u8>>);

impl Chunks {
    /// A connection costs its server as much.
    const SIZE: usize = 8 * 1024;

    fn put(&mut self, mut part: impl Buf) {
        while part.has_remaining() {
            let room = self.0.last().map_or(0, |chunk| Self::SIZE - chunk.len());
            if room == 0 {
                self.0.push(Vec::with_capacity(Self::SIZE));
            }
            if let Some(chunk) = self.0.last_mut() {
                let room = Self::SIZE - chunk.len();
                chunk.put((&mut part).take(room));
            }
        }
    }

    fn join(self) -> Bytes {
        self.0.concat().into()
    }
}

/// Whether a limit of length is among the causes.
fn is_over_a_limit(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| cause(error)).any(|error| {
        #[cfg(feature = "tower")]
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        #[cfg(feature = "actix-web")]
        if let Some(error) = error.downcast_ref::<actix_web::error::PayloadError>() {
            return matches!(error, actix_web::error::PayloadError::Overflow);
        }
        // Without an adapter that knows one.
        let _ = error;
        false
    })
}

fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>() {
        // Its source is not what it wraps, but the source of that.
        Some(wraps) => Some(wraps.get_ref()?),
        None => error.source(),
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
        metrics::buffered(bytes);
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.receiver
            .shared
            .buffered
            .fetch_sub(self.bytes, Ordering::Relaxed);
        metrics::freed(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_any_size_become_one_body() {
        let body: Vec<u8> = (0..=255).cycle().take(40_000).collect();
        for size in [1, 7, 100, 8191, 8192, 8193, 20_000, 40_000] {
            let mut chunks = Chunks::default();
            for part in body.chunks(size) {
                chunks.put(part);
            }
            let full = |chunk: &Vec<u8>| chunk.len() == Chunks::SIZE;
            let last = chunks.0.len() - 1;
            assert!(chunks.0[..last].iter().all(full), "{size}");
            assert!(
                chunks
                    .0
                    .iter()
                    .all(|chunk| chunk.capacity() == Chunks::SIZE)
            );
            assert_eq!(chunks.join(), body, "{size}");
        }
    }
}
