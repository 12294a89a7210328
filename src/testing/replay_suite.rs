//! The acceptance suite of replay guards.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::JoinSet;

use super::ManualClock;
use crate::clock::Clock as _;
use crate::replay::{ClaimKey, ClaimToken, Claimed, GuardFuture, ReplayGuard, Settled};
use crate::scheme::Scheme;

const LEASE: Duration = Duration::from_secs(2);
const RETENTION: Duration = Duration::from_secs(6);
/// A lease or a retention may be rounded up.
const ROUNDING: Duration = Duration::from_secs(1);
/// What is left of the lease is looked at apart.
const IN_FLIGHT: Claimed = Claimed::InFlight { left: None };
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Lets time pass for the guard that [`replay_suite`] tests.
pub trait SuiteClock: Send + Sync {
    /// Lets time pass, by moving a clock or by sleeping.
    fn pass(&self, time: Duration) -> impl Future<Output = ()> + Send;

    /// Sets the wall clock a day forward or back, without monotonic time.
    ///
    /// It does nothing if the suite cannot set the clock.
    fn step_wall(&self, ahead: bool);
}

impl SuiteClock for ManualClock {
    fn pass(&self, time: Duration) -> impl Future<Output = ()> + Send {
        self.advance(time);
        ready(())
    }

    fn step_wall(&self, ahead: bool) {
        let now = self.now();
        self.set(if ahead { now + DAY } else { now - DAY });
    }
}

/// Real time, for a guard whose store has its own clock. The suite then takes half a minute.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a name to pass")]
pub struct RealTime;

impl SuiteClock for RealTime {
    fn pass(&self, time: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(time)
    }

    fn step_wall(&self, _: bool) {}
}

/// Tests that a guard does everything that [`ReplayGuard`] requires.
///
/// Run it on a runtime with several threads. It uses keys that no other run uses, so several runs can
/// share a store. `guard` needs room for a few hundred events.
///
/// ```
/// use gemini_webhooks::replay::MemoryGuard;
/// use gemini_webhooks::testing::{ManualClock, replay_suite};
///
/// # #[tokio::main]
/// # async fn main() {
/// let clock = ManualClock::default();
/// replay_suite(MemoryGuard::new().with_clock(clock.clone()), clock).await;
/// # }
/// ```
///
/// # Panics
///
/// If the guard does something wrong. The message says what.
pub async fn replay_suite(guard: impl ReplayGuard, clock: impl SuiteClock) {
    let suite = Suite {
        guard: Arc::new(guard),
        clock,
        run: format!("suite-{:032x}", rand::random::<u128>()),
    };
    suite.is_ready().await;
    suite.transitions().await;
    suite.wrong_tokens().await;
    suite.leases().await;
    suite.successors().await;
    suite.retention().await;
    suite.keys_are_apart().await;
    suite.one_winner().await;
    suite.steps_of_the_wall_clock().await;
    suite.late_claims().await;
    suite.ends_of_leases().await;
    suite.longest_times().await;
    suite.dropped_futures().await;
}

struct Suite<C> {
    guard: Arc<dyn ReplayGuard>,
    clock: C,
    run: String,
}

/// A claim of the suite: a key, and a token of its own.
struct Holder<'a> {
    guard: &'a dyn ReplayGuard,
    key: ClaimKey,
    token: ClaimToken,
}

impl Holder<'_> {
    async fn claim(&self) -> Claimed {
        self.claim_for(LEASE).await
    }

    async fn claim_for(&self, lease: Duration) -> Claimed {
        match answered(self.guard.claim(&self.key, self.token, lease)).await {
            Claimed::InFlight { left } => {
                let longest = lease.max(LEASE).saturating_add(ROUNDING);
                assert!(left.is_none_or(|left| left <= longest), "{left:?} are left");
                IN_FLIGHT
            }
            claimed => claimed,
        }
    }

    async fn settle(&self) -> Settled {
        answered(self.guard.settle(&self.key, self.token, RETENTION)).await
    }

    async fn release(&self) {
        answered(self.guard.release(&self.key, self.token)).await;
    }
}

#[expect(clippy::panic, reason = "a suite says what is wrong by panicking")]
async fn answered<T>(future: GuardFuture<T>) -> T {
    match future.await {
        Ok(answer) => answer,
        Err(error) => panic!("the guard fails: {error}"),
    }
}

impl<C: SuiteClock> Suite<C> {
    fn holder(&self, id: &str) -> Holder<'_> {
        self.holder_of(ClaimKey::new(&self.run, Scheme::V1, id))
    }

    fn holder_of(&self, key: ClaimKey) -> Holder<'_> {
        Holder {
            guard: self.guard.as_ref(),
            key,
            token: ClaimToken::generate(),
        }
    }

    async fn transitions(&self) {
        let (a, b) = (self.holder("settled"), self.holder("settled"));
        assert_eq!(a.claim().await, Claimed::Claimed, "a free event");
        assert_eq!(
            a.claim().await,
            Claimed::Claimed,
            "again, as the answer may be lost"
        );
        assert_eq!(b.claim().await, IN_FLIGHT, "another's");
        assert_eq!(a.settle().await, Settled::Settled, "by its holder");
        assert_eq!(
            a.settle().await,
            Settled::Settled,
            "again, as the answer may be lost"
        );
        assert_eq!(
            b.claim().await,
            Claimed::Settled,
            "a copy of a settled event"
        );
        assert_eq!(
            a.claim().await,
            Claimed::Settled,
            "also for its former holder"
        );
        a.release().await;
        assert_eq!(
            b.claim().await,
            Claimed::Settled,
            "a release never undoes a settle"
        );

        let (a, b) = (self.holder("released"), self.holder("released"));
        assert_eq!(a.claim().await, Claimed::Claimed);
        a.release().await;
        a.release().await;
        assert_eq!(
            b.claim().await,
            Claimed::Claimed,
            "a released event is free"
        );
        assert_eq!(b.settle().await, Settled::Settled);

        self.holder("never claimed").release().await;
        let free = self.holder("never claimed");
        assert_eq!(
            free.claim().await,
            Claimed::Claimed,
            "a release of nothing does nothing"
        );
    }

    async fn wrong_tokens(&self) {
        let (a, b, c) = (
            self.holder("token"),
            self.holder("token"),
            self.holder("token"),
        );
        assert_eq!(a.claim().await, Claimed::Claimed);
        assert_eq!(b.settle().await, Settled::Lost, "of another's claim");
        b.release().await;
        assert_eq!(
            c.claim().await,
            IN_FLIGHT,
            "another's release frees nothing"
        );
        assert_eq!(a.settle().await, Settled::Settled, "nothing was changed");
        assert_eq!(
            b.settle().await,
            Settled::Lost,
            "of what another has settled"
        );
        b.release().await;
        assert_eq!(c.claim().await, Claimed::Settled);
    }

    async fn leases(&self) {
        let (a, b) = (self.holder("lease"), self.holder("lease"));
        assert_eq!(a.claim().await, Claimed::Claimed);
        self.clock.pass(LEASE / 2).await;
        assert_eq!(b.claim().await, IN_FLIGHT, "within the lease");
        self.clock.pass(LEASE / 2 + ROUNDING).await;
        assert_eq!(b.claim().await, Claimed::Claimed, "after the lease");

        let (a, b) = (self.holder("again"), self.holder("again"));
        assert_eq!(a.claim().await, Claimed::Claimed);
        self.clock.pass(LEASE / 2).await;
        assert_eq!(a.claim().await, Claimed::Claimed, "again");
        self.clock.pass(LEASE / 2 + ROUNDING).await;
        assert_eq!(
            b.claim().await,
            Claimed::Claimed,
            "claiming again does not renew the lease"
        );

        let (a, b) = (self.holder("late"), self.holder("late"));
        assert_eq!(a.claim().await, Claimed::Claimed);
        self.clock.pass(LEASE + ROUNDING).await;
        assert_eq!(a.settle().await, Settled::Settled, "late, but nobody came");
        assert_eq!(b.claim().await, Claimed::Settled);

        let (a, b) = (self.holder("late release"), self.holder("late release"));
        assert_eq!(a.claim().await, Claimed::Claimed);
        self.clock.pass(LEASE + ROUNDING).await;
        a.release().await;
        assert_eq!(b.claim().await, Claimed::Claimed);
    }

    async fn successors(&self) {
        let (a, b) = (self.holder("successor"), self.holder("successor"));
        assert_eq!(a.claim().await, Claimed::Claimed);
        self.clock.pass(LEASE + ROUNDING).await;
        assert_eq!(b.claim().await, Claimed::Claimed);
        assert_eq!(a.claim().await, IN_FLIGHT, "it has a successor");
        assert_eq!(a.settle().await, Settled::Lost, "it has a successor");
        a.release().await;
        assert_eq!(a.claim().await, IN_FLIGHT, "its release frees nothing");
        assert_eq!(b.settle().await, Settled::Settled, "the successor's stands");
        assert_eq!(a.settle().await, Settled::Lost, "the successor has settled");
    }

    async fn retention(&self) {
        let (a, b) = (self.holder("retention"), self.holder("retention"));
        assert_eq!(a.claim().await, Claimed::Claimed);
        assert_eq!(a.settle().await, Settled::Settled);
        self.clock.pass(RETENTION - ROUNDING).await;
        assert_eq!(b.claim().await, Claimed::Settled, "within the retention");
        self.clock.pass(ROUNDING * 2).await;
        assert_eq!(b.claim().await, Claimed::Claimed, "after the retention");
    }

    async fn keys_are_apart(&self) {
        let longest = "x".repeat(256);
        // A token's `jti` may be of any text, and of more than an id may have.
        let beyond = "\u{e9}x".repeat(100);
        let ids = [
            "a",
            "A",
            "a ",
            "a:b",
            "a/b",
            "a\"b",
            "a'b",
            "a;b",
            "a%b",
            "a\\b",
            "{a}",
            "*",
            "?",
            "0",
            "-",
            "_",
            "~",
            "--",
            "null",
            "a\u{1}",
            "a\0",
            "\0a",
            "\0",
            "\u{e9}",
            "e\u{301}",
            "\u{65e5}\u{672c}",
            "\u{1f980}",
            &beyond,
            &beyond[3..],
            &longest,
            &longest[1..],
        ];
        let mut keys = Vec::new();
        for namespace in [
            self.run.clone(),
            format!("{}-", self.run),
            format!("{}:v1", self.run),
        ] {
            for scheme in [Scheme::V1, Scheme::V1a, Scheme::Jwt] {
                keys.extend(ids.map(|id| ClaimKey::new(&namespace, scheme, id)));
            }
        }
        for key in &keys {
            let holder = self.holder_of(key.clone());
            // Hundreds of operations of a slow store take longer than the short times of other tests.
            assert_eq!(
                holder.claim_for(DAY).await,
                Claimed::Claimed,
                "{key:?} is a key of its own"
            );
            if key.scheme() == Some(Scheme::V1) {
                let settled = self.guard.settle(key, holder.token, DAY);
                assert_eq!(answered(settled).await, Settled::Settled, "{key:?}");
            }
        }
        for key in &keys {
            let expected = match key.scheme() {
                Some(Scheme::V1) => Claimed::Settled,
                _ => IN_FLIGHT,
            };
            assert_eq!(
                self.holder_of(key.clone()).claim_for(DAY).await,
                expected,
                "{key:?}"
            );
        }
    }

    /// Of many at the same time, one has it; also when it was free because a lease ended, or when
    /// its holder releases it meanwhile.
    async fn one_winner(&self) {
        for round in ["fresh", "expired", "released"] {
            let first = self.holder(round);
            if round != "fresh" {
                assert_eq!(first.claim().await, Claimed::Claimed);
            }
            match round {
                "expired" => self.clock.pass(LEASE + ROUNDING).await,
                "released" => first.release().await,
                _ => {}
            }
            let mut claims = JoinSet::new();
            for _ in 0..200 {
                let (guard, key) = (Arc::clone(&self.guard), first.key.clone());
                claims.spawn(async move {
                    let token = ClaimToken::generate();
                    let holder = Holder {
                        guard: guard.as_ref(),
                        key,
                        token,
                    };
                    holder.claim_for(LEASE * 10).await
                });
            }
            let outcomes = claims.join_all().await;
            let won = outcomes
                .iter()
                .filter(|claimed| **claimed == Claimed::Claimed);
            assert_eq!(won.count(), 1, "winners among 200 claims, {round}");
            let lost = outcomes.iter().filter(|claimed| **claimed == IN_FLIGHT);
            assert_eq!(lost.count(), 199, "losers among 200 claims, {round}");
        }
    }

    async fn steps_of_the_wall_clock(&self) {
        for (ahead, name) in [(true, "ahead"), (false, "back")] {
            let (a, b) = (
                self.holder(name),
                self.holder(&format!("{name}, in flight")),
            );
            assert_eq!(a.claim().await, Claimed::Claimed);
            assert_eq!(a.settle().await, Settled::Settled);
            assert_eq!(b.claim().await, Claimed::Claimed);
            self.clock.step_wall(ahead);
            assert_eq!(
                self.holder(name).claim().await,
                Claimed::Settled,
                "a step {name}"
            );
            let other = self.holder_of(b.key.clone());
            assert_eq!(other.claim().await, IN_FLIGHT, "a step {name}");
            self.clock.step_wall(!ahead);
            self.clock.pass(LEASE + ROUNDING).await;
            assert_eq!(
                other.claim().await,
                Claimed::Claimed,
                "a step {name} lengthens no lease"
            );
        }
    }

    async fn is_ready(&self) {
        answered(self.guard.ready()).await;
    }

    /// A claim may arrive at the store after it was given up.
    async fn late_claims(&self) {
        let (a, b) = (self.holder("late claim"), self.holder("late claim"));
        a.release().await;
        assert_eq!(a.claim().await, Claimed::Claimed, "after its release");
        assert_eq!(b.claim().await, IN_FLIGHT);
        a.release().await;
        assert_eq!(b.claim().await, Claimed::Claimed, "it was released again");
        assert_eq!(a.claim().await, IN_FLIGHT, "after its successor's");
        a.release().await;
        assert_eq!(b.settle().await, Settled::Settled, "the successor's stands");
        assert_eq!(a.claim().await, Claimed::Settled, "after all was done");
        assert_eq!(a.settle().await, Settled::Lost);
    }

    /// When a lease has ended, the holder may settle at the moment at which another claims.
    async fn ends_of_leases(&self) {
        let holders: Vec<_> = (0..20)
            .map(|number| self.holder(&format!("end of lease {number}")))
            .collect();
        for holder in &holders {
            assert_eq!(holder.claim().await, Claimed::Claimed);
        }
        self.clock.pass(LEASE + ROUNDING).await;
        let mut races = JoinSet::new();
        for Holder { key, token, .. } in holders {
            let guard = Arc::clone(&self.guard);
            races.spawn(async move {
                let (other, token_of_other) = (Arc::clone(&guard), ClaimToken::generate());
                let its_key = key.clone();
                let claim = tokio::spawn(async move {
                    answered(other.claim(&its_key, token_of_other, LEASE * 10)).await
                });
                let settled = answered(guard.settle(&key, token, RETENTION)).await;
                (settled, claim.await)
            });
        }
        for (settled, claimed) in races.join_all().await {
            let expected = match settled {
                Settled::Settled => Claimed::Settled,
                Settled::Lost => Claimed::Claimed,
            };
            assert_eq!(claimed.ok(), Some(expected), "beside {settled:?}");
        }
    }

    async fn longest_times(&self) {
        let (a, b) = (self.holder("longest"), self.holder("longest"));
        assert_eq!(a.claim_for(Duration::MAX).await, Claimed::Claimed);
        assert_eq!(b.claim_for(Duration::MAX).await, IN_FLIGHT);
        a.release().await;
        assert_eq!(b.claim_for(Duration::MAX).await, Claimed::Claimed);
        let settled = b.guard.settle(&b.key, b.token, Duration::MAX);
        assert_eq!(answered(settled).await, Settled::Settled);
        self.clock.pass(ROUNDING).await;
        assert_eq!(a.claim().await, Claimed::Settled);
    }

    /// A request may end while the guard is asked. What was not polled was not sent; what was, the
    /// token gives up, perhaps a moment later.
    async fn dropped_futures(&self) {
        let (a, b) = (self.holder("not polled"), self.holder("not polled"));
        // A guard that never waits has answered when it was called.
        if a.guard.claim(&a.key, a.token, DAY).now().is_err() {
            assert_eq!(b.claim_for(DAY).await, Claimed::Claimed, "nothing was sent");
            drop(b.guard.settle(&b.key, b.token, DAY));
            drop(b.guard.release(&b.key, b.token));
            assert_eq!(a.claim_for(DAY).await, IN_FLIGHT, "nothing was sent");
        }

        for polls in 1..6 {
            let id = format!("dropped after {polls}");
            let (a, b) = (self.holder(&id), self.holder(&id));
            Polled::times(polls, a.guard.claim(&a.key, a.token, DAY)).await;
            let mut attempts = 0;
            loop {
                a.release().await;
                if b.claim_for(DAY).await == Claimed::Claimed {
                    break;
                }
                attempts += 1;
                assert!(
                    attempts < 100,
                    "a claim that was given up is free again soon"
                );
                self.clock.pass(Duration::from_millis(50)).await;
            }
            Polled::times(polls, b.guard.settle(&b.key, b.token, DAY)).await;
            assert_eq!(b.settle().await, Settled::Settled, "once more");
            Polled::times(polls, b.guard.release(&b.key, b.token)).await;
            assert_eq!(
                a.claim().await,
                Claimed::Settled,
                "a release undoes no settle"
            );
        }
    }
}

/// A future that is dropped after so many polls, if it is not done before.
struct Polled<F> {
    future: F,
    left: usize,
}

impl<F: Future + Unpin> Polled<F> {
    async fn times(left: usize, future: F) {
        Self { future, left }.await;
    }
}

impl<F: Future + Unpin> Future for Polled<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.left -= 1;
        let done = Pin::new(&mut self.future).poll(cx).is_ready();
        if done || self.left == 0 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
