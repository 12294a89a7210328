//! What goes wrong, on demand.

use std::time::Duration;

/// What happens to a call instead of its usual answer. Set it with
/// [`MockGoogle::fail`](super::MockGoogle::fail).
///
/// A status that is not from 100 to 999 is answered as 500. A `Retry-After` that is not valid in a
/// header is left out.
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
    /// The call is carried out; this many bytes of white space are appended to the answer.
    Oversized(usize),
}

/// What goes wrong with an attempt to deliver an event. Set it with
/// [`MockGoogle::disturb`](super::MockGoogle::disturb).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryFault {
    /// It is sent twice, at the same time.
    Duplicate,
    /// It is made only after this time, by the mock's clock.
    Delay(Duration),
    /// Neither it nor a retry is made: the event never arrives.
    Lose,
    /// The body is changed after it was signed.
    Tamper,
    /// It is signed with a key that belongs to nobody.
    WrongKey,
    /// Its timestamp is ten minutes old, and signed like that.
    Stale,
}
