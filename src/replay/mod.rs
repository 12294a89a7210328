//! Each event handled once, and none lost: [`ReplayGuard`], and [`MemoryGuard`].
//!
//! Google delivers at least once, and tries again for a day under the same id. Marking an id before
//! the handler has succeeded would turn a failed handler into a lost event; marking it after would
//! let two copies run side by side. So a delivery first *claims* its event, and after the handler
//! *settles* the claim, if it succeeded, or *releases* it, if not:
//!
//! ```text
//!            claim                    settle
//!  (free) ──────────▶ in flight ──────────────────▶ settled
//!     ▲                 │    │                         │
//!     └─────────────────┘    │ the lease ends          │ the retention ends
//!     │  release             ▼                         ▼
//!     └──────────────────── (free) ◀───────────────────┘
//! ```
//!
//! - A copy of a claim in flight is answered 409, so that it comes again later.
//! - A copy of a settled one is answered 200 and does not reach the handler.
//! - A claim whose holder died is free again when its *lease* ends. Who claims it then is its
//!   successor, and the former holder can no longer change anything: both `settle` and `release`
//!   carry the *token* of the claim, and only the present holder's fits.
//!
//! # Which guard
//!
//! [`MemoryGuard`] is what a receiver has if nothing is said. It is enough for one process. Several
//! replicas need one guard that they share, or each would handle its own copy.
//!
//! # Writing a guard
//!
//! A guard is four operations over a table of keys. Each must be atomic: two that run at the same
//! time must come out as if one had run after the other. With a row of `(state, token, until)` for
//! each key, where a row whose `until` has passed counts as none:
//!
//! | | there is none | in flight, same token | in flight, another token | settled, same token | settled, another token |
//! |---|---|---|---|---|---|
//! | `claim` | insert in flight, until now + lease: `Claimed` | `Claimed` | `InFlight` | `Settled` | `Settled` |
//! | `settle` | insert settled, until now + retention: `Settled` | make it settled, until now + retention: `Settled` | `Lost` | `Settled` | `Lost` |
//! | `release` | | remove | | | |
//!
//! - **A settle that finds no row** comes after the lease, and nobody has claimed since: the work is
//!   done, so it is remembered.
//! - **Claiming again with one's own token** is `Claimed`: an answer may be lost on its way.
//! - **The time is the store's**, or monotonic: clocks of replicas differ.
//! - **Errors are answers.** What cannot be told is [`GuardError::unavailable`], never a guess; the
//!   delivery is then answered 503 and comes again.
//! - **Waiting is bounded** by the receiver
//!   ([`guard_timeout`](crate::WebhookReceiverBuilder::guard_timeout)), which drops the future.
//! - **[`abandon`](ReplayGuard::abandon) is called from `drop`**: it must not block. A guard that has
//!   to ask a server spawns a task; where no runtime is left (`Handle::try_current` fails), the
//!   lease ends the claim.
//!
//! `testing::replay_suite` tries all of it; every guard should pass it.
//!
//! ```
//! use std::collections::HashMap;
//! use std::sync::{Mutex, PoisonError};
//! use std::time::{Duration, Instant};
//! use gemini_webhooks::replay::{
//!     ClaimKey, ClaimToken, Claimed, GuardFuture, ReplayGuard, Settled,
//! };
//!
//! /// A guard that never forgets by itself.
//! #[derive(Debug, Default)]
//! struct Simple(Mutex<HashMap<Vec<u8>, Row>>);
//!
//! #[derive(Debug)]
//! struct Row { settled: bool, token: ClaimToken, until: Instant }
//!
//! impl Simple {
//!     fn with<T>(&self, key: &ClaimKey, f: impl FnOnce(&mut Option<Row>) -> T) -> GuardFuture<T> {
//!         let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
//!         let mut row = rows.remove(&key.to_bytes()).filter(|row| Instant::now() < row.until);
//!         let result = f(&mut row);
//!         rows.extend(row.map(|row| (key.to_bytes(), row)));
//!         GuardFuture::ready(Ok(result))
//!     }
//! }
//!
//! impl ReplayGuard for Simple {
//!     fn claim(&self, key: &ClaimKey, token: ClaimToken, lease: Duration) -> GuardFuture<Claimed> {
//!         self.with(key, |row| match row {
//!             Some(row) if row.settled => Claimed::Settled,
//!             Some(row) if row.token != token => Claimed::InFlight,
//!             _ => {
//!                 *row = Some(Row { settled: false, token, until: Instant::now() + lease });
//!                 Claimed::Claimed
//!             }
//!         })
//!     }
//!
//!     fn settle(&self, key: &ClaimKey, token: ClaimToken, retention: Duration) -> GuardFuture<Settled> {
//!         self.with(key, |row| match row {
//!             Some(row) if row.token != token => Settled::Lost,
//!             Some(row) if row.settled => Settled::Settled,
//!             _ => {
//!                 *row = Some(Row { settled: true, token, until: Instant::now() + retention });
//!                 Settled::Settled
//!             }
//!         })
//!     }
//!
//!     fn release(&self, key: &ClaimKey, token: ClaimToken) -> GuardFuture<()> {
//!         self.with(key, |row| {
//!             row.take_if(|row| !row.settled && row.token == token);
//!         })
//!     }
//!
//!     fn abandon(&self, key: &ClaimKey, token: ClaimToken) {
//!         drop(self.release(key, token));
//!     }
//! }
//! # fn is_guard(_: impl ReplayGuard) {}
//! # is_guard(Simple::default());
//! ```

use std::fmt;
use std::time::Duration;

mod claim;
mod error;
mod future;
mod memory;

pub use claim::{Claim, ClaimKey, ClaimToken};
pub use error::{GuardError, GuardErrorKind};
pub use future::GuardFuture;
pub use memory::MemoryGuard;

/// Remembers which events are being handled and which have been. The [module](self) says how to
/// write one.
///
/// Keys and tokens are passed by reference and value; a guard whose future must wait keeps what it
/// needs of them.
pub trait ReplayGuard: fmt::Debug + Send + Sync + 'static {
    /// Claims `key` for the holder of `token`, for as long as `lease`.
    fn claim(&self, key: &ClaimKey, token: ClaimToken, lease: Duration) -> GuardFuture<Claimed>;

    /// Marks the claim as handled, to be remembered for `retention`.
    fn settle(
        &self,
        key: &ClaimKey,
        token: ClaimToken,
        retention: Duration,
    ) -> GuardFuture<Settled>;

    /// Gives the claim up, so that a retry can have it. Never undoes a settle.
    fn release(&self, key: &ClaimKey, token: ClaimToken) -> GuardFuture<()>;

    /// As [`release`](Self::release), from where nobody can wait: the request was dropped. Must not
    /// block.
    fn abandon(&self, key: &ClaimKey, token: ClaimToken);
}

/// What became of a [`claim`](ReplayGuard::claim).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no fourth outcome")]
pub enum Claimed {
    /// The event is this delivery's to handle.
    Claimed,
    /// Another delivery of the event is being handled.
    InFlight,
    /// The event has been handled.
    Settled,
}

/// What became of a [`settle`](ReplayGuard::settle).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third outcome")]
pub enum Settled {
    /// It is settled, by this holder, now or before.
    Settled,
    /// The claim is no longer this holder's: its lease ended.
    Lost,
}
