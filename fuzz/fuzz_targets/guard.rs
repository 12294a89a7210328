//! The guard in memory against a table with times: any order of claims, settles, releases and steps of the
//! clock, of few events and holders.
#![cfg_attr(fuzzing, no_main)]

use std::collections::HashMap;
use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use arbitrary::Arbitrary;
use gemini_webhooks::Scheme;
use gemini_webhooks::replay::{
    ClaimKey, ClaimToken, Claimed, GuardFuture, MemoryGuard, ReplayGuard as _, Settled,
};
use gemini_webhooks::testing::ManualClock;
use gemini_webhooks_fuzz::fuzz_target;

const EVENTS: u8 = 12;
const HOLDERS: u8 = 4;

/// What has expired may stay for so many seconds.
const SPAN: u64 = 16;

#[derive(Arbitrary, Debug)]
struct Input {
    limit: Limit,
    steps: Vec<Step>,
}

/// What a guard does when it is full.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Limit {
    Never,
    Refuses(u8),
    Forgets(u8),
}

impl Limit {
    /// Fewer than there are events.
    fn capacity(self) -> usize {
        match self {
            Self::Never => usize::from(EVENTS),
            Self::Refuses(capacity) | Self::Forgets(capacity) => {
                usize::from(capacity % (EVENTS - 1) + 1)
            }
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Step {
    Claim {
        event: u8,
        holder: u8,
        lease: u8,
    },
    Settle {
        event: u8,
        holder: u8,
        retention: u8,
    },
    Release {
        event: u8,
        holder: u8,
    },
    Advance {
        seconds: u8,
    },
}

/// What is known of an event. It is forgotten at `until`, in seconds since the start.
#[derive(Clone)]
struct Known {
    holder: u8,
    settled: bool,
    until: u64,
    /// Whether the guard may have forgotten it to make room: of those that it may, the model does not know which.
    may_be_gone: bool,
}

#[derive(Clone, Default)]
struct Model {
    now: u64,
    events: HashMap<u8, Known>,
}

impl Model {
    fn known(&mut self, event: u8) -> Option<&mut Known> {
        let now = self.now;
        self.events
            .get_mut(&event)
            .filter(|known| known.until > now)
    }

    fn claim(&mut self, event: u8, holder: u8, lease: u64) -> Claimed {
        let now = self.now;
        match self.known(event) {
            Some(known) if known.settled => Claimed::Settled,
            Some(known) if known.holder == holder => Claimed::Claimed,
            Some(known) => Claimed::InFlight {
                left: Some(Duration::from_secs(known.until - now)),
            },
            None => {
                self.set(event, holder, false, lease);
                Claimed::Claimed
            }
        }
    }

    fn settle(&mut self, event: u8, holder: u8, retention: u64) -> Settled {
        match self.known(event) {
            Some(known) if known.holder != holder => Settled::Lost,
            Some(known) if known.settled => Settled::Settled,
            _ => {
                self.set(event, holder, true, retention);
                Settled::Settled
            }
        }
    }

    fn release(&mut self, event: u8, holder: u8) {
        let ours = |known: &mut Known| known.holder == holder && !known.settled;
        if self.known(event).is_some_and(ours) {
            self.events.remove(&event);
        }
    }

    /// How many the guard may hold.
    fn held(&self, which: impl Fn(&Known) -> bool) -> usize {
        let held = |known: &&Known| known.until + SPAN > self.now && which(known);
        self.events.values().filter(held).count()
    }

    /// Holds an answer of the guard to the model's.
    fn agree<T: PartialEq + std::fmt::Debug>(
        &mut self,
        got: Option<T>,
        event: u8,
        limit: Limit,
        expected: impl Fn(&mut Self) -> T,
    ) {
        let capacity = limit.capacity();
        let forgets = matches!(limit, Limit::Forgets(_));
        let may_be_gone = self.known(event).is_some_and(|known| known.may_be_gone);
        let Some(got) = got else {
            // It refuses nothing that it knows, and only if it is full of what it may not forget.
            assert!(self.known(event).is_none() || may_be_gone);
            assert!(self.held(|known| !forgets || !known.settled) >= capacity);
            return;
        };
        if may_be_gone && let Some(before) = self.events.get(&event).cloned() {
            let mut gone = self.clone();
            gone.events.remove(&event);
            gone.make_room(limit);
            if got == expected(&mut gone) {
                let is_known = got == expected(&mut self.clone());
                *self = gone;
                // Both are possible still: it may have been settled then or now.
                if is_known && let Some(known) = self.events.get_mut(&event) {
                    known.until = known.until.max(before.until);
                    known.may_be_gone = true;
                }
                return;
            }
        }
        if self.known(event).is_none() {
            self.make_room(limit);
        }
        assert_eq!(got, expected(self));
    }

    /// What a guard that may be full may have forgotten for another event.
    fn make_room(&mut self, limit: Limit) {
        if matches!(limit, Limit::Forgets(_)) && self.held(|_| true) >= limit.capacity() {
            let settled = self.events.values_mut().filter(|known| known.settled);
            settled.for_each(|known| known.may_be_gone = true);
        }
    }

    fn set(&mut self, event: u8, holder: u8, settled: bool, time: u64) {
        let until = self.now + time;
        let known = Known {
            holder,
            settled,
            until,
            may_be_gone: false,
        };
        self.events.insert(event, known);
    }
}

fuzz_target!(|input: Input| {
    let clock = ManualClock::default();
    let limit = input.limit;
    let guard = MemoryGuard::new().with_clock(clock.clone());
    let guard = guard.with_capacity(limit.capacity());
    let guard = match limit {
        Limit::Forgets(_) => guard.forgetting_the_oldest(),
        Limit::Never | Limit::Refuses(_) => guard,
    };
    let mut model = Model::default();
    for step in input.steps {
        match step {
            Step::Advance { seconds } => {
                // Also by more than all leases and retentions.
                let seconds = u64::from(seconds) * u64::from(seconds);
                clock.advance(Duration::from_secs(seconds));
                model.now += seconds;
            }
            Step::Claim {
                event,
                holder,
                lease,
            } => {
                let (event, holder) = (event % EVENTS, holder % HOLDERS);
                // A guard that may be full frees in time what has leases of one length.
                let lease = match limit {
                    Limit::Never => u64::from(lease),
                    Limit::Refuses(_) | Limit::Forgets(_) => 120,
                };
                let time = Duration::from_secs(lease);
                let got = answer(guard.claim(&key(event), token(holder), time));
                model.agree(got, event, limit, |model| model.claim(event, holder, lease));
            }
            Step::Settle {
                event,
                holder,
                retention,
            } => {
                let (event, holder) = (event % EVENTS, holder % HOLDERS);
                let retention = u64::from(retention) * 16;
                let time = Duration::from_secs(retention);
                let got = answer(guard.settle(&key(event), token(holder), time));
                model.agree(got, event, limit, |model| {
                    model.settle(event, holder, retention)
                });
            }
            Step::Release { event, holder } => {
                let (event, holder) = (event % EVENTS, holder % HOLDERS);
                model.release(event, holder);
                answer(guard.release(&key(event), token(holder))).expect("it cannot fail");
            }
        }
        assert!(guard.len() <= limit.capacity());
    }
});

fn key(event: u8) -> ClaimKey {
    ClaimKey::new("fuzz", Scheme::V1, &event.to_string())
}

fn token(holder: u8) -> ClaimToken {
    ClaimToken::from_bytes([holder; 16])
}

/// The guard's answer, which is always ready; `None` if it is full.
fn answer<T>(future: GuardFuture<T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.ok(),
        Poll::Pending => panic!("the guard in memory never waits"),
    }
}
