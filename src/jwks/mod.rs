//! Public keys (JSON Web Key Sets, RFC 7517), for dynamic webhooks: [sets](KeySet) of them, and
//! [where they come from](KeySource).
//!
//! A receiver that fetches keys keeps them in one place, shared by its clones:
//!
//! - The first delivery that needs keys fetches them; others wait for that same fetch.
//! - They are fetched again before they expire (`Cache-Control: max-age`, between a minute and an
//!   hour; an hour without one). A key that is then gone is dead at once.
//! - A signature under a key that is not known waits for one fetch, at most five seconds, and is
//!   refused without one within 30 seconds after the last. So a flood of forged deliveries costs
//!   two fetches a minute.
//! - A fetch that fails is not repeated for a second, then two, up to 30. Deliveries under known
//!   keys go on meanwhile, for at most
//!   [a day](crate::WebhookReceiverBuilder::max_stale) after the keys were last confirmed;
//!   others are answered 503, so that the sender tries again.

mod cache;
mod freshness;
mod http;
mod set;
mod source;

pub use http::{GOOGLE_KEYS_URL, HttpKeySource};
pub use set::{KeySet, KeySetError, SkippedKey};
pub use source::{FetchError, FetchedKeys, KeyFuture, KeySource};

pub(crate) use cache::{Aged, Current, KeyCache};
