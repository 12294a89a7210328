//! The acceptance suite of replay guards.

use std::future::{Future, ready};
use std::sync::Arc;
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
    suite.transitions().await;
    suite.wrong_tokens().await;
    suite.leases().await;
    suite.successors().await;
    suite.retention().await;
    suite.keys_are_apart().await;
    suite.one_winner().await;
    suite.steps_of_the_wall_clock().await;
    suite.abandoned().await;
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
        answered(self.guard.claim(&self.key, self.token, LEASE)).await
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
        assert_eq!(b.claim().await, Claimed::InFlight, "another's");
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
            Claimed::InFlight,
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
        assert_eq!(b.claim().await, Claimed::InFlight, "within the lease");
        self.clock.pass(LEASE / 2 + ROUNDING).await;
        assert_eq!(b.claim().await, Claimed::Claimed, "after the lease");

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
        assert_eq!(a.claim().await, Claimed::InFlight, "it has a successor");
        assert_eq!(a.settle().await, Settled::Lost, "it has a successor");
        a.release().await;
        assert_eq!(
            a.claim().await,
            Claimed::InFlight,
            "its release frees nothing"
        );
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
            assert_eq!(
                holder.claim().await,
                Claimed::Claimed,
                "{key:?} is a key of its own"
            );
            if key.scheme() == Scheme::V1 {
                assert_eq!(holder.settle().await, Settled::Settled, "{key:?}");
            }
        }
        for key in &keys {
            let expected = match key.scheme() {
                Scheme::V1 => Claimed::Settled,
                _ => Claimed::InFlight,
            };
            assert_eq!(
                self.holder_of(key.clone()).claim().await,
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
                    answered(guard.claim(&key, ClaimToken::generate(), LEASE * 10)).await
                });
            }
            let outcomes = claims.join_all().await;
            let won = outcomes
                .iter()
                .filter(|claimed| **claimed == Claimed::Claimed);
            assert_eq!(won.count(), 1, "winners among 200 claims, {round}");
            let lost = outcomes
                .iter()
                .filter(|claimed| **claimed == Claimed::InFlight);
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
            assert_eq!(other.claim().await, Claimed::InFlight, "a step {name}");
            self.clock.step_wall(!ahead);
            self.clock.pass(LEASE + ROUNDING).await;
            assert_eq!(
                other.claim().await,
                Claimed::Claimed,
                "a step {name} lengthens no lease"
            );
        }
    }

    /// Some guards need a moment for it.
    async fn abandoned(&self) {
        let (a, b) = (self.holder("abandoned"), self.holder("abandoned"));
        assert_eq!(
            answered(a.guard.claim(&a.key, a.token, DAY)).await,
            Claimed::Claimed
        );
        b.guard.abandon(&b.key, b.token);
        assert_eq!(b.claim().await, Claimed::InFlight, "abandoned by another");
        a.guard.abandon(&a.key, a.token);
        let mut attempts = 0;
        while b.claim().await != Claimed::Claimed {
            attempts += 1;
            assert!(attempts < 100, "an abandoned claim is free again soon");
            self.clock.pass(Duration::from_millis(50)).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(b.settle().await, Settled::Settled);
        a.guard.abandon(&a.key, a.token);
        b.guard.abandon(&b.key, b.token);
        self.clock.pass(Duration::from_millis(200)).await;
        assert_eq!(
            a.claim().await,
            Claimed::Settled,
            "abandoning undoes no settle"
        );
    }
}
