//! Public keys (JSON Web Key Sets, RFC 7517), for dynamic webhooks: [sets](KeySet) of them, and
//! [where they come from](KeySource).
//!
//! A receiver that fetches keys keeps them in one place, shared by its clones:
//!
//! - The first delivery that needs keys fetches them; others wait for that same fetch.
//! - They are fetched again in the background when four fifths of their age are over, and deliveries
//!   under keys that are known do not wait for it. Their age is what the
//!   [response](FetchedKeys::headers) says, between a minute and an hour; an hour where it says
//!   nothing. A key that is then gone is dead at once.
//! - **Past their age, keys are confirmed before they count.** A delivery waits for the fetch that is
//!   under way, or begins one: two seconds at most. Only if that fails, or has not ended by then, do
//!   the keys that were known count, and nothing more is waited for until the next fetch may begin.
//! - A signature under a key that is not known waits for one fetch, at most five seconds, and is
//!   refused without one within 30 seconds after the last. So a flood of forged deliveries costs
//!   two fetches a minute.
//! - A fetch that fails is not repeated for a second, then two, up to 30. Deliveries under known
//!   keys go on meanwhile, for at most
//!   [a day](crate::WebhookReceiverBuilder::max_stale) after the keys were last confirmed;
//!   others are answered 503, so that the sender tries again. A [source](KeySource) that panics is
//!   a fetch that failed.
//! - At most 256 deliveries wait at a time; what comes beyond them is answered 503.
//! - Keys of a set that are [skipped](KeySet::skipped) are logged with the reason, once until a set
//!   skips others.
//!
//! # Suspended processes
//!
//! A process may stand still between two deliveries, in AWS Lambda, on Cloud Run without CPU outside
//! of requests, or in a virtual machine that is suspended. No refresh runs then, and a key may be
//! withdrawn meanwhile. Monotonic time does not count a suspension on Linux and macOS, so the age of
//! keys, and all that is said above but the waiting itself, goes by the wall clock or by monotonic
//! time, whichever says more. The first delivery after a suspension that was longer than the age of
//! the keys waits for a fetch, two seconds at most.
//!
//! A wall clock that is set back changes nothing, for then monotonic time says more. One that is set
//! forward makes keys older than they are: by an hour, the next delivery waits for a fetch; by a year,
//! they count as too old to be trusted, and deliveries are answered 503 until a fetch has succeeded,
//! which is begun at once. Where the clock is not right again after a suspension before the first
//! delivery comes, nothing can tell how long it lasted.

mod cache;
mod freshness;
mod http;
pub(crate) mod set;
mod source;

pub use http::{GOOGLE_KEYS_URL, HttpKeySource};
pub use set::{KeySet, KeySetError, SkippedKey};
pub use source::{FetchError, FetchedKeys, KeyFuture, KeySource};

pub(crate) use cache::{Aged, Current, KeyCache};
