//! A guard in the memory of the process.

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

/// Remembers events in the memory of this process. What a receiver has if nothing is said.
///
/// **It forgets everything when the process ends**: after a restart, a delivery that was handled
/// before and is sent again is handled again. **It is not shared**: of several replicas, each would
/// handle its own copy. Where either matters, use a guard over a store that all of them share, or
/// make the handler idempotent by [`Delivery::claim_id`](crate::Delivery::claim_id).
///
/// An event takes at most 64 bytes. Expired ones make room as new ones come; no task runs in the
/// background. When as many as the [capacity](Self::with_capacity) are remembered, new events are
/// refused with 503 until some expire: forgetting a settled one could have it handled twice. Leases
/// and retention are rounded up to whole seconds.
///
/// **Where a process is suspended**, as in AWS Lambda, on Cloud Run without CPU outside of requests, or in a
/// virtual machine that sleeps, monotonic time stands still on Linux and macOS, so leases and retention last
/// longer by the clock on the wall. For the retention that does no harm: an event is remembered for longer
/// than asked. A lease lasts until its process has run for that long; until then copies that reach this
/// process are answered 409, and with a process that runs for a few milliseconds at each request that may be
/// for as long as Google tries. There, let handlers end before the response, and use a guard over a store,
/// whose leases end by the store's time.
///
/// Keys are kept as a digest of 128 bits, under a random key of this process.
///
/// ```
/// use gemini_webhooks::WebhookReceiver;
/// use gemini_webhooks::replay::MemoryGuard;
///
/// # let builder = WebhookReceiver::builder();
/// let builder = builder.guard("my-app", MemoryGuard::new().with_capacity(10_000_000));
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
    /// Remembers up to a million events.
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

    /// How many events are remembered at most, in flight and settled. With 25 hours of retention
    /// the default, 1,000,000, is enough for 11 events a second. At least one.
    #[must_use]
    pub fn with_capacity(mut self, events: usize) -> Self {
        self.capacity = events.max(1);
        self
    }

    /// Where there is no more room, forgets the settled event that would expire first, give or take
    /// some seconds, instead of refusing a new one. **A late copy of what is forgotten is handled
    /// again.**
    #[must_use]
    pub fn forgetting_the_oldest(mut self) -> Self {
        self.forget_oldest = true;
        self
    }

    /// Where the time comes from; for tests. The system's clock by default. Monotonic time counts:
    /// a step of the wall clock changes nothing.
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        self.by_clock(Arc::new(clock))
    }

    pub(crate) fn by_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.start = clock.monotonic();
        self.clock = clock;
        self
    }

    /// How many events are remembered, some that have expired among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn digest(&self, key: &ClaimKey) -> Digest {
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        // As unambiguous as the bytes of the key, in fewer steps: the id is what is left.
        hasher.write_usize(key.namespace().len());
        hasher.write(key.namespace().as_bytes());
        hasher.write_u8(key.scheme() as u8);
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

    fn release_now(&self, key: &ClaimKey, token: ClaimToken) {
        let digest = self.digest(key);
        let now = Seconds::floor(self.elapsed());
        let mut shard = self.shard(&digest);
        let is_ours = |held: Held| !held.settled && held.token == token;
        if shard.find(&digest, now).is_some_and(is_ours) && shard.remove(&digest) {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl ReplayGuard for MemoryGuard {
    fn claim(&self, key: &ClaimKey, token: ClaimToken, lease: Duration) -> GuardFuture<Claimed> {
        let claimed = self.update(key, token, lease, false, |held| match held {
            Some(Held { settled: true, .. }) => Step::Keep(Claimed::Settled),
            Some(held) if held.token != token => Step::Keep(Claimed::InFlight),
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
        self.release_now(key, token);
        GuardFuture::ready(Ok(()))
    }

    fn abandon(&self, key: &ClaimKey, token: ClaimToken) {
        self.release_now(key, token);
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
