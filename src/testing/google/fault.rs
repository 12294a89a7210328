//! What goes wrong, on demand.

use std::time::Duration;

/// What becomes of a call instead of its answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The call is not carried out; this status is answered, in Google's form.
    Status(u16),
    /// The call is not carried out; this status is answered, in Google's form, with this
    /// `Retry-After`.
    RetryAfter(u16, String),
    /// The call is not carried out; this status and this body are answered, as a proxy would.
    Body(u16, String),
    /// The call is not carried out; the connection is closed.
    CloseBefore,
    /// The call is carried out; the connection is closed without an answer.
    CloseAfter,
    /// The call is carried out; no answer comes, and the connection stays open.
    NoAnswer,
    /// The call is carried out; the connection is closed in the middle of the answer.
    Truncated,
    /// The call is carried out; so many bytes of white space are appended to the answer.
    Oversized(usize),
}

/// What happens to an attempt to deliver an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryFault {
    /// It is sent twice, at the same time.
    Duplicate,
    /// It is made only after so long, by the mock's clock.
    Delay(Duration),
    /// It is not made, nor is any other: the event never comes.
    Lose,
    /// The body is changed after it was signed.
    Tamper,
    /// It is signed with a key that is nobody's.
    WrongKey,
    /// It is signed for a time ten minutes ago.
    Stale,
}
