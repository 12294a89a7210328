//! The guard in the memory of the process.

use std::error::Error;
use std::fmt;
use std::hash::Hasher as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::{ClaimKey, ClaimToken, Claimed, GuardError, GuardFuture, ReplayGuard, Settled};
use crate::clock::{Clock, SystemClock};

mod shard;
#[cfg(test)]
mod tests;

use shard::{Digest, Held, Seconds, Shard};

const DEFAULT_CAPACITY: usize = 1_000_000;

/// So many that a table which grows holds up a 64th of the deliveries, and for a short time.
const SHARDS: usize = 64;

/// A guard that remembers events in the memory of this process. The default.
///
/// - **It forgets everything when the process ends.** After a restart, a retry of a handled event
///   reaches the handler again.
/// - **It is not shared.** Each of several replicas would handle the event once.
///
/// If either matters, use a guard in a store that all replicas share (the crates
/// `gemini-webhooks-sqlx` and `gemini-webhooks-redis`), or recognise duplicates by
/// [`Delivery::claim_id`](crate::Delivery::claim_id) in your own database.
///
/// An event takes at most 64 bytes. Events that have expired are removed as new ones arrive; there is
/// no background task. When it holds as many as its [capacity](Self::with_capacity), new events are
/// answered 503 until some expire: to forget a handled event could have it handled twice. Leases and
/// retention are rounded up to whole seconds.
///
/// **If the process is suspended**, as in AWS Lambda, on Cloud Run without CPU outside of requests,
/// or in a virtual machine that sleeps, its monotonic clock stands still on Linux and macOS. Leases
/// and retention then last longer than by the wall clock. A longer retention does no harm. But a
/// lease lasts until the process has run for that long. Until then, other deliveries of the event
/// that reach this process are answered 409. If the process runs for a few milliseconds for each
/// request, that can outlast the day of retries. In such an environment, end handlers before you
/// answer, and use a guard in a store, whose leases end by the store's clock.
///
/// It keeps a digest of each key, of 128 bits, under a random key of this process.
/// ```
/// use gemini_webhooks::WebhookReceiver;
/// use gemini_webhooks::replay::MemoryGuard;
///
/// let guard = MemoryGuard::new().with_capacity(10_000_000);
/// let receiver = WebhookReceiver::builder()
///     .signing_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
///     .guard("my-app", guard)
///     .build()?;
/// # Ok::<(), gemini_webhooks::ConfigError>(())
/// ```
pub struct MemoryGuard {
    shards: Box<[Mutex<Shard>]>,
    /// Ids in all shards.
    len: AtomicUsize,
    capacity: usize,
    forget_oldest: bool,
    key: (u64, u64),
    clock: Arc<dyn Clock>,
    start: Instant,
}

impl MemoryGuard {
    /// Makes a guard that remembers up to 1,000,000 events.
    #[must_use]
    pub fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            len: AtomicUsize::new(0),
            capacity: DEFAULT_CAPACITY,
            forget_oldest: false,
            key: rand::random(),
            start: clock.monotonic(),
            clock,
        }
    }

    /// Sets how many events it remembers at most. 1,000,000 by default.
    ///
    /// Both events that are being handled and events that have been handled count. With the default
    /// retention of 25 hours, the default is enough for 11 events a second. Zero counts as one.
    #[must_use]
    pub fn with_capacity(mut self, events: usize) -> Self {
        self.capacity = events.max(1);
        self
    }

    /// Makes a full guard forget handled events instead of refusing new ones.
    ///
    /// It forgets the event that would expire first, give or take some seconds. **A retry of a
    /// forgotten event is handled again.**
    #[must_use]
    pub fn forgetting_the_oldest(mut self) -> Self {
        self.forget_oldest = true;
        self
    }

    /// Sets the clock, for tests. The system's clock by default.
    ///
    /// The guard reads monotonic time only, so a change of the wall clock has no effect.
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        self.by_clock(Arc::new(clock))
    }

    pub(crate) fn by_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.start = clock.monotonic();
        self.clock = clock;
        self
    }

    /// Returns how many events are remembered, including some that have expired.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Returns whether no event is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn digest(&self, key: &ClaimKey) -> Digest {
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        // As unambiguous as the bytes of the key, in fewer steps: the id is what is left.
        hasher.write_usize(key.namespace().len());
        hasher.write(key.namespace().as_bytes());
        hasher.write_u8(key.scheme().map_or(u8::MAX, |scheme| scheme as u8));
        hasher.write(key.id().as_bytes());
        hasher.finish128().as_bytes()
    }

    /// The shard of a key. Its table goes by other bits of the digest.
    fn shard(&self, digest: &Digest) -> MutexGuard<'_, Shard> {
        #[expect(clippy::indexing_slicing, reason = "there are as many")]
        lock(&self.shards[shard_of(digest)])
    }

    fn elapsed(&self) -> Duration {
        let now = self.clock.monotonic();
        now.saturating_duration_since(self.start)
    }

    /// Frees what has expired, a few at a time: more than what is added, so that it never piles up.
    fn sweep(&self, shard: &mut Shard, now: Seconds) {
        let mut freed = 0;
        while freed < 4 && shard.free_expired(now) {
            freed += 1;
        }
        if freed > 0 {
            self.len.fetch_sub(freed, Ordering::Relaxed);
        }
    }

    /// Takes a place among those that are free.
    fn reserve(&self) -> bool {
        let more = |len| (len < self.capacity).then_some(len + 1);
        self.len
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    /// Takes over the place of an event of any shard that has expired, or may be forgotten.
    fn make_room(&self, digest: &Digest, now: Seconds) -> bool {
        // Of several that are as old the key's own shard comes first: else the first shards would
        // be emptied, and forget what came just now.
        let (before, from_own) = self.shards.split_at(shard_of(digest));
        let shards = || from_own.iter().chain(before).map(lock);
        if shards().any(|mut shard| shard.free_expired(now)) {
            return true;
        }
        if !self.forget_oldest {
            return false;
        }
        let first = shards().enumerate().filter_map(|(index, shard)| {
            let expires = shard.first_to_expire()?;
            Some((expires, index))
        });
        // Another thread may have freed it since.
        let first = first.min().and_then(|(_, index)| shards().nth(index));
        first.is_some_and(|mut shard| shard.forget_first())
            || shards().any(|mut shard| shard.forget_first())
    }

    /// Changes what is known of a key, if `decide` says so by what is held of it, and says what
    /// `decide` says; `None` where there is no room.
    fn update<T>(
        &self,
        key: &ClaimKey,
        token: ClaimToken,
        time: Duration,
        settled: bool,
        decide: impl Fn(Option<&Held>) -> Step<T>,
    ) -> Option<T> {
        let (digest, elapsed) = (self.digest(key), self.elapsed());
        let (now, until) = (
            Seconds::floor(elapsed),
            Seconds::ceil(elapsed.saturating_add(time)),
        );
        let mut reserved = false;
        loop {
            let mut shard = self.shard(&digest);
            self.sweep(&mut shard, now);
            let held = shard.find(&digest, now);
            let outcome = match decide(held.as_ref()) {
                Step::Keep(outcome) => outcome,
                Step::Set(outcome) if held.is_some() => {
                    shard.set(digest, token, until, settled);
                    outcome
                }
                Step::Set(outcome) if reserved || self.reserve() => {
                    let known = shard.set(digest, token, until, settled);
                    self.len.fetch_sub(usize::from(known), Ordering::Relaxed);
                    return Some(outcome);
                }
                Step::Set(_) => {
                    // Another shard may have room, and one lock is held at a time.
                    drop(shard);
                    if !self.make_room(&digest, now) {
                        return None;
                    }
                    reserved = true;
                    continue;
                }
            };
            if reserved {
                self.len.fetch_sub(1, Ordering::Relaxed);
            }
            return Some(outcome);
        }
    }

    fn full(&self) -> GuardError {
        GuardError::unavailable(Full(self.capacity))
    }
}

impl ReplayGuard for MemoryGuard {
    fn claim(&self, key: &ClaimKey, token: ClaimToken, lease: Duration) -> GuardFuture<Claimed> {
        let claimed = self.update(key, token, lease, false, |held| match held {
            Some(Held { settled: true, .. }) => Step::Keep(Claimed::Settled),
            Some(held) if held.token != token => Step::Keep(Claimed::InFlight {
                left: Some(held.left),
            }),
            Some(_) => Step::Keep(Claimed::Claimed),
            None => Step::Set(Claimed::Claimed),
        });
        GuardFuture::ready(claimed.ok_or_else(|| self.full()))
    }

    fn settle(
        &self,
        key: &ClaimKey,
        token: ClaimToken,
        retention: Duration,
    ) -> GuardFuture<Settled> {
        let settled = self.update(key, token, retention, true, |held| match held {
            Some(held) if held.token != token => Step::Keep(Settled::Lost),
            Some(held) if held.settled => Step::Keep(Settled::Settled),
            // Also where the lease ended and nobody came: the work is done, so it is remembered.
            Some(_) | None => Step::Set(Settled::Settled),
        });
        GuardFuture::ready(settled.ok_or_else(|| self.full()))
    }

    fn release(&self, key: &ClaimKey, token: ClaimToken) -> GuardFuture<()> {
        let digest = self.digest(key);
        let now = Seconds::floor(self.elapsed());
        let mut shard = self.shard(&digest);
        let is_ours = |held: Held| !held.settled && held.token == token;
        if shard.find(&digest, now).is_some_and(is_ours) && shard.remove(&digest) {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
        GuardFuture::ready(Ok(()))
    }

    fn ready(&self) -> GuardFuture<Vec<String>> {
        GuardFuture::ready(Ok(Vec::new()))
    }
}

impl Default for MemoryGuard {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryGuard")
            .field("len", &self.len())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

/// What to do with what is held of a key.
enum Step<T> {
    Keep(T),
    Set(T),
}

fn shard_of(digest: &Digest) -> usize {
    usize::from(digest[0]) % SHARDS
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // Nothing panics while it is held; if something did, other events must go on.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As many events as may be are remembered.
#[derive(Debug)]
struct Full(usize);

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} events are remembered, which is its capacity; raise it with `MemoryGuard::with_capacity`",
            self.0
        )
    }
}

impl Error for Full {}
