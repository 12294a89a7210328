//! What remembers events, so that each is handled once: [`ReplayGuard`] and [`MemoryGuard`].
//!
//! Google delivers an event at least once, and retries for 24 hours under the same id (Google's
//! guide, copies up to 2026-10-05). So a delivery *claims* its event before the handler runs: it
//! marks the event as being handled. What keeps the claims is called a *guard*. After the handler,
//! the delivery *settles* the claim, which marks the event as handled, or *releases* it, which
//! frees the event for the retry:
//!
//! ```text
//!            claim                    settle (2xx)
//!  (free) ──────────▶ in flight ──────────────────▶ settled
//!     ▲                 │    │                         │
//!     └─────────────────┘    │ the lease ends          │ the retention ends
//!     │  release             ▼                         ▼
//!     └──────────────────── (free) ◀───────────────────┘
//! ```
//!
//! - While an event is in flight, another delivery of it is answered 409, so that it is sent again.
//! - When an event is settled, a duplicate is answered 200 and does not reach the handler.
//! - If the process dies, nobody settles or releases the claim. So a claim has a *lease*: when it
//!   ends, the next delivery may claim the event. A claim carries a *token*, and only the present
//!   holder's token can settle or release it.
//! - A settled event is remembered for the *retention*.
//!
//! # Which guard
//!
//! [`MemoryGuard`] is the default. It is enough for one process. If several replicas receive the same
//! webhook, they need one guard that they share: `PostgresGuard` or `SqliteGuard` of the crate
//! `gemini-webhooks-sqlx`, or `RedisGuard` of `gemini-webhooks-redis`.
//!
//! # Writing a guard
//!
//! Implement [`ReplayGuard`]: three operations over a table with one row for each key. This is what
//! they return, for a row of `(state, token, until)`, where a row whose `until` has passed counts
//! as missing:
//!
//! | | no row | in flight, same token | in flight, other token | settled, same token | settled, other token |
//! |---|---|---|---|---|---|
//! | `claim` | insert in flight, until now + lease: `Claimed` | `Claimed`, the lease as it was | `InFlight` | `Settled` | `Settled` |
//! | `settle` | insert settled, until now + retention: `Settled` | make it settled, until now + retention: `Settled` | `Lost` | `Settled` | `Lost` |
//! | `release` | nothing | remove | nothing | nothing | nothing |
//!
//! - **Each operation is atomic.** Two at the same time must have the same effect as one after the
//!   other.
//! - **A settle without a row** comes after the lease has ended, and nobody has claimed the event
//!   since. The work is done, so the guard remembers it.
//! - **A second claim with the same token** is `Claimed`, because the first answer may have been
//!   lost.
//! - **The time is that of the store**, or monotonic, because the clocks of replicas differ.
//! - **A guard that cannot tell returns an error**, [`GuardError::unavailable`], and never guesses.
//!   The delivery is then answered 503, and Google retries.
//! - **The receiver limits the wait**
//!   ([`guard_timeout`](crate::WebhookReceiverBuilder::guard_timeout)). When the time is over, a
//!   future whose request was not sent is dropped. One whose request was sent is awaited in the
//!   background, and the claim is released: it may still be made. [`GuardFuture::tracked`] says
//!   when a request is sent.
//! - **An operation is sent when its future is polled**, not before.
//!
//! Run `testing::replay_suite` over your guard: it checks all of this. The guide's page *Writing a
//! guard* has the same example with a test.
//! ```
//! use std::collections::HashMap;
//! use std::sync::{Mutex, PoisonError};
//! use std::time::{Duration, Instant};
//! use gemini_webhooks::replay::{
//!     ClaimKey, ClaimToken, Claimed, GuardFuture, ReplayGuard, Settled,
//! };
//!
//! /// Removes an expired row only when its key is used again.
//! #[derive(Debug, Default)]
//! struct Simple(Mutex<HashMap<Vec<u8>, Row>>);
//!
//! #[derive(Debug)]
//! struct Row {
//!     settled: bool,
//!     token: ClaimToken,
//!     until: Instant,
//! }
//!
//! impl Simple {
//!     fn with<T>(
//!         &self,
//!         key: &ClaimKey,
//!         decide: impl FnOnce(&mut Option<Row>) -> T,
//!     ) -> GuardFuture<T> {
//!         let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
//!         let now = Instant::now();
//!         let mut row = rows.remove(&key.to_bytes()).filter(|row| now < row.until);
//!         let answer = decide(&mut row);
//!         rows.extend(row.map(|row| (key.to_bytes(), row)));
//!         GuardFuture::ready(Ok(answer))
//!     }
//! }
//!
//! impl ReplayGuard for Simple {
//!     fn claim(
//!         &self,
//!         key: &ClaimKey,
//!         token: ClaimToken,
//!         lease: Duration,
//!     ) -> GuardFuture<Claimed> {
//!         self.with(key, |row| match row {
//!             Some(row) if row.settled => Claimed::Settled,
//!             Some(row) if row.token != token => {
//!                 let left = row.until.duration_since(Instant::now());
//!                 Claimed::InFlight { left: Some(left) }
//!             }
//!             Some(_) => Claimed::Claimed,
//!             None => {
//!                 let until = after(lease);
//!                 *row = Some(Row { settled: false, token, until });
//!                 Claimed::Claimed
//!             }
//!         })
//!     }
//!
//!     fn settle(
//!         &self,
//!         key: &ClaimKey,
//!         token: ClaimToken,
//!         retention: Duration,
//!     ) -> GuardFuture<Settled> {
//!         self.with(key, |row| match row {
//!             Some(row) if row.token != token => Settled::Lost,
//!             Some(row) if row.settled => Settled::Settled,
//!             _ => {
//!                 let until = after(retention);
//!                 *row = Some(Row { settled: true, token, until });
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
//!     fn ready(&self) -> GuardFuture<Vec<String>> {
//!         GuardFuture::ready(Ok(Vec::new()))
//!     }
//! }
//!
//! /// A lease or a retention may be `Duration::MAX`.
//! fn after(time: Duration) -> Instant {
//!     let ten_years = Duration::from_secs(10 * 365 * 24 * 60 * 60);
//!     Instant::now() + time.min(ten_years)
//! }
//! # fn is_guard(_: impl ReplayGuard) {}
//! # is_guard(Simple::default());
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

mod claim;
mod error;
mod future;
mod memory;

pub use claim::{Claim, ClaimKey, ClaimToken};
pub use error::{GuardError, GuardErrorKind};
pub use future::{GuardFuture, Reach};
pub use memory::MemoryGuard;

/// Remembers which events are being handled and which have been handled.
///
/// [`MemoryGuard`] implements it. The [module](self) says how to write one for a store, with an
/// example. A future that waits must own what it needs: clone the key.
///
/// Its `Debug` and its errors must show no password, such as that of a URL: they are logged.
pub trait ReplayGuard: fmt::Debug + Send + Sync + 'static {
    /// Marks the event as being handled by the holder of `token`, until `lease` is over.
    ///
    /// It is called before the handler runs. It is called again, with the same token, to see whether
    /// an app that settles the claim in its own transaction has done so. That does not renew the
    /// lease.
    fn claim(&self, key: &ClaimKey, token: ClaimToken, lease: Duration) -> GuardFuture<Claimed>;

    /// Marks the event as handled, and remembers it for `retention`.
    ///
    /// It is called after the handler has answered with a 2xx. If the guard gives no answer, it is
    /// called again in the background, so it must do no harm twice.
    fn settle(
        &self,
        key: &ClaimKey,
        token: ClaimToken,
        retention: Duration,
    ) -> GuardFuture<Settled>;

    /// Frees the event for the retry. It never undoes a settle.
    ///
    /// It is called after the handler has failed or was dropped, and after a claim whose answer
    /// nobody waited for. It may be called again, also before a claim that is late arrives.
    fn release(&self, key: &ClaimKey, token: ClaimToken) -> GuardFuture<()>;

    /// Checks that the store can be used, as far as that shows without a claim.
    ///
    /// It returns what an operator should know, though the guard works: one sentence for each
    /// concern, such as that the server may evict keys. It is an error if claims would fail: the
    /// store cannot be reached, or its table is missing.
    ///
    /// [`WebhookReceiver::ready`](crate::WebhookReceiver::ready) calls it.
    fn ready(&self) -> GuardFuture<Vec<String>>;
}

/// Several receivers of one process share a guard so, such as those of a static and a dynamic route.
impl<G: ReplayGuard + ?Sized> ReplayGuard for Arc<G> {
    fn claim(&self, key: &ClaimKey, token: ClaimToken, lease: Duration) -> GuardFuture<Claimed> {
        (**self).claim(key, token, lease)
    }

    fn settle(
        &self,
        key: &ClaimKey,
        token: ClaimToken,
        retention: Duration,
    ) -> GuardFuture<Settled> {
        (**self).settle(key, token, retention)
    }

    fn release(&self, key: &ClaimKey, token: ClaimToken) -> GuardFuture<()> {
        (**self).release(key, token)
    }

    fn ready(&self) -> GuardFuture<Vec<String>> {
        (**self).ready()
    }
}

/// The answer of a guard to a [`claim`](ReplayGuard::claim).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claimed {
    /// This delivery holds the claim, and its handler runs.
    Claimed,
    /// Another delivery of the event is being handled: the answer is 409.
    InFlight {
        /// What is left of its lease, if the store knows. The answer's `Retry-After` says so.
        left: Option<Duration>,
    },
    /// The event has been handled: the answer is 200, and the handler does not run.
    Settled,
}

impl Claimed {
    /// Returns whether another delivery of the event is being handled.
    #[must_use]
    pub fn is_in_flight(self) -> bool {
        matches!(self, Self::InFlight { .. })
    }
}

/// The answer of a guard to a [`settle`](ReplayGuard::settle).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third outcome")]
pub enum Settled {
    /// This holder has settled the event, now or before.
    Settled,
    /// The lease had ended, and another delivery has claimed the event: it may be handled twice,
    /// which is logged as an error.
    Lost,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_says_that_another_runs() {
        for (claimed, is_in_flight) in [
            (Claimed::Claimed, false),
            (Claimed::InFlight { left: None }, true),
            (Claimed::Settled, false),
        ] {
            assert_eq!(claimed.is_in_flight(), is_in_flight, "{claimed:?}");
        }
    }
}
