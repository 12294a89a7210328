//! Public keys for dynamic webhooks: [sets of keys](KeySet), and [where they come from](KeySource).
//!
//! A key set is a JSON Web Key Set (RFC 7517). Most apps only call
//! [`google_keys`](crate::WebhookReceiverBuilder::google_keys). This page says how a receiver keeps
//! fetched keys fresh. All clones of a receiver share them.
//!
//! - **First use.** The first delivery that needs keys fetches them, and others wait for that fetch.
//! - **Refresh.** Keys are fetched again in the background when four fifths of their lifetime are
//!   over. Deliveries do not wait for that. The lifetime is what the
//!   [response](FetchedKeys::headers) says, but at least a minute and at most an hour. It is an
//!   hour if the response says nothing. A key that is no longer in the set is refused at once.
//! - **Old keys.** When the lifetime is over, a delivery waits for a fetch, 2 seconds at most. If the
//!   fetch fails or takes longer, the known keys are used, and nothing is waited for until the next
//!   fetch may begin.
//! - **Unknown keys.** A signature that no known key made waits for one fetch, 5 seconds at most.
//!   Within 30 seconds after the last fetch it is refused without one. So a flood of forged
//!   deliveries causes two fetches a minute.
//! - **Failures.** After a failed fetch, the next one is made after a second, then after two, up to
//!   30. Meanwhile the known keys are used, for at most [a
//!   day](crate::WebhookReceiverBuilder::max_stale) after the last successful fetch. Other
//!   deliveries are answered 503, so that Google retries. A [source](KeySource) that panics counts
//!   as a failed fetch.
//! - **Waiting.** At most 256 deliveries wait at a time. More are answered 503.
//! - **Logs.** Keys of a set that are [skipped](KeySet::skipped) are logged with the reason, once
//!   until a set skips other keys.
//!
//! # Suspended processes
//!
//! A process may be suspended between two deliveries: in AWS Lambda, on Cloud Run without CPU
//! outside of requests, or in a virtual machine that sleeps. No refresh runs then, and a key may be
//! withdrawn meanwhile. On Linux and macOS, monotonic time does not count the suspension. So the
//! age of keys is read from the wall clock and from monotonic time, and the greater of the two
//! counts. The first delivery after a suspension that was longer than the lifetime of the keys
//! waits for a fetch, 2 seconds at most.
//!
//! If the wall clock is set back, nothing changes, because monotonic time then says more. If it is
//! set forward, keys count as older than they are. After an hour, the next delivery waits for a
//! fetch. After a year, they count as too old to be used, and deliveries are answered 503 until a
//! fetch, which begins at once, succeeds. If the clock is still wrong when the first delivery
//! arrives after a suspension, nothing can tell how long the suspension was.

mod cache;
mod freshness;
mod http;
pub(crate) mod set;
mod source;

pub use http::{GOOGLE_KEYS_URL, HttpKeySource};
pub use set::{KeySet, KeySetError, SkippedKey};
pub use source::{FetchError, FetchedKeys, KeyFuture, KeySource};

pub(crate) use cache::{Aged, Current, KeyCache};
