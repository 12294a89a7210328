use super::*;
use crate::scheme::Scheme;
use crate::testing::{ManualClock, replay_suite};

const HOUR: Duration = Duration::from_secs(60 * 60);

fn key(id: usize) -> ClaimKey {
    ClaimKey::new("", Scheme::V1, &format!("msg_{id}"))
}

fn guard(capacity: usize) -> (MemoryGuard, ManualClock) {
    let clock = ManualClock::default();
    let guard = MemoryGuard::new()
        .with_capacity(capacity)
        .with_clock(clock.clone());
    (guard, clock)
}

/// What it answers; `None` where it is full.
fn now<T>(answer: GuardFuture<T>) -> Option<T> {
    answer.now().ok()?.ok()
}

fn claim(guard: &MemoryGuard, id: usize) -> Option<Claimed> {
    now(guard.claim(&key(id), ClaimToken::generate(), HOUR))
}

fn handle(guard: &MemoryGuard, id: usize, retention: Duration) {
    let token = ClaimToken::generate();
    assert_eq!(
        now(guard.claim(&key(id), token, HOUR)),
        Some(Claimed::Claimed),
        "{id}"
    );
    assert_eq!(
        now(guard.settle(&key(id), token, retention)),
        Some(Settled::Settled)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn passes_the_suite() {
    let (guard, clock) = guard(10_000);
    replay_suite(guard, clock).await;
}

#[test]
fn a_full_guard_refuses_what_is_new_and_knows_what_is_old() {
    let (guard, clock) = guard(100);
    for id in 0..99 {
        handle(&guard, id, HOUR * 25);
    }
    assert_eq!(claim(&guard, 99), Some(Claimed::Claimed));
    assert_eq!(claim(&guard, 100), None);
    assert_eq!(claim(&guard, 0), Some(Claimed::Settled));
    assert_eq!(
        claim(&guard, 99),
        Some(Claimed::InFlight { left: Some(HOUR) })
    );
    assert_eq!(guard.len(), 100);
    // The lease of the one in flight ends, and its place is free.
    clock.advance(HOUR + Duration::from_secs(32));
    assert_eq!(claim(&guard, 100), Some(Claimed::Claimed));
    assert_eq!(claim(&guard, 101), None);
    // All expire, and are freed as new ones come.
    clock.advance(HOUR * 25);
    for id in 200..300 {
        handle(&guard, id, HOUR);
    }
    assert_eq!(claim(&guard, 300), None);
    assert_eq!(guard.len(), 100);
}

#[test]
fn to_settle_again_prolongs_nothing() {
    let (guard, clock) = guard(10);
    let token = ClaimToken::generate();
    assert_eq!(
        now(guard.claim(&key(1), token, HOUR)),
        Some(Claimed::Claimed)
    );
    for _ in 0..2 {
        let settled = now(guard.settle(&key(1), token, HOUR * 2));
        assert_eq!(settled, Some(Settled::Settled));
        clock.advance(HOUR);
    }
    assert_eq!(claim(&guard, 1), Some(Claimed::Claimed));
}

#[test]
fn what_expires_first_is_forgotten_first_in_whatever_shard() {
    for first in 0..40 {
        let (guard, _) = guard(40);
        let guard = guard.forgetting_the_oldest();
        for id in 0..40 {
            let retention = if id == first { HOUR } else { HOUR * 2 };
            handle(&guard, id, retention);
        }
        assert_eq!(claim(&guard, 100), Some(Claimed::Claimed));
        assert_eq!(guard.len(), 40);
        let kept = (0..40).filter(|id| *id != first);
        for id in kept {
            assert_eq!(claim(&guard, id), Some(Claimed::Settled), "{first}, {id}");
        }
    }
}

#[test]
fn keys_are_spread_over_all_shards() {
    let mut used = [0; SHARDS];
    for byte in 0..=u8::MAX {
        used[shard_of(&[byte; 16])] += 1;
    }
    assert_eq!(used, [256 / SHARDS; SHARDS]);
}

#[test]
fn it_is_empty_until_something_is_claimed() {
    let (guard, _) = guard(10);
    assert_eq!((guard.is_empty(), guard.len()), (true, 0));
    assert_eq!(claim(&guard, 1), Some(Claimed::Claimed));
    assert_eq!((guard.is_empty(), guard.len()), (false, 1));
}

#[test]
fn an_error_of_a_full_guard_says_so() {
    let (guard, _) = guard(1);
    handle(&guard, 1, HOUR);
    let full = guard.claim(&key(2), ClaimToken::generate(), HOUR).now();
    let error = full.ok().and_then(Result::err).unwrap();
    assert_eq!(error.kind(), crate::replay::GuardErrorKind::Unavailable);
    assert!(
        error.to_string().contains("1 events are remembered"),
        "{error}"
    );
}

#[test]
fn the_oldest_is_forgotten_only_if_that_is_asked_for() {
    let (guard, _) = guard(64);
    let guard = guard.forgetting_the_oldest();
    for id in 0..1000 {
        handle(&guard, id, HOUR * 25);
        assert_eq!(claim(&guard, id), Some(Claimed::Settled));
    }
    assert_eq!(guard.len(), 64);
    // What is in flight is never forgotten.
    let (guard, _) = self::guard(8);
    let guard = guard.forgetting_the_oldest();
    for id in 0..8 {
        assert_eq!(claim(&guard, id), Some(Claimed::Claimed));
    }
    assert_eq!(claim(&guard, 8), None);
}

#[test]
fn what_came_last_is_forgotten_last() {
    let (guard, _) = guard(6400);
    let guard = guard.forgetting_the_oldest();
    for id in 0..128_000 {
        handle(&guard, id, HOUR * 25);
    }
    for id in 128_000 - 640..128_000 {
        assert_eq!(claim(&guard, id), Some(Claimed::Settled), "{id}");
    }
    assert_eq!(guard.len(), 6400);
    assert_eq!(claim(&guard, 0), Some(Claimed::Claimed));
}

/// After its lease, when nobody has come: it is remembered like a new one, where there is room.
#[test]
fn a_late_settle_keeps_to_the_capacity() {
    let (guard, clock) = guard(1);
    let token = ClaimToken::generate();
    let late = |guard: &MemoryGuard| now(guard.settle(&key(1), token, HOUR));
    assert_eq!(
        now(guard.claim(&key(1), token, HOUR)),
        Some(Claimed::Claimed)
    );
    clock.advance(HOUR + Duration::from_secs(60));
    handle(&guard, 2, HOUR);
    assert_eq!((late(&guard), guard.len()), (None, 1));
    clock.advance(HOUR + Duration::from_secs(60));
    assert_eq!((late(&guard), guard.len()), (Some(Settled::Settled), 1));
    assert_eq!(claim(&guard, 1), Some(Claimed::Settled));
}

/// Claimed, failed and tried again, and expired: the count stays right.
#[test]
fn places_are_counted() {
    let (guard, clock) = guard(1000);
    for round in 0..50 {
        for id in 0..40 {
            let token = ClaimToken::generate();
            drop(guard.claim(&key(id), token, Duration::from_secs(20)));
            match (id + round) % 4 {
                0 => drop(guard.release(&key(id), token)),
                1 => drop(guard.settle(&key(id), token, Duration::from_secs(50))),
                _ => {}
            }
        }
        clock.advance(Duration::from_secs(7));
    }
    let counted: usize = guard.shards.iter().map(|shard| lock(shard).len()).sum();
    assert_eq!(guard.len(), counted);
    assert!(counted <= 40, "{counted}");
}

#[test]
fn no_background_task_and_no_pile_of_what_has_expired() {
    let (guard, clock) = guard(1_000_000);
    for id in 0..20_000 {
        handle(&guard, id, Duration::from_secs(60));
        clock.advance(Duration::from_millis(100));
    }
    // A minute's worth is 600; spans of 16 seconds and shards that were not visited add some.
    assert!(guard.len() < 1500, "{}", guard.len());
}

#[test]
fn threads_share_it() {
    let (guard, _) = guard(1_000_000);
    let won = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for id in 0..2000 {
                    let token = ClaimToken::generate();
                    if now(guard.claim(&key(id), token, HOUR)) == Some(Claimed::Claimed) {
                        won.fetch_add(1, Ordering::Relaxed);
                        assert_eq!(
                            now(guard.settle(&key(id), token, HOUR)),
                            Some(Settled::Settled)
                        );
                    }
                }
            });
        }
    });
    assert_eq!((won.into_inner(), guard.len()), (2000, 2000));
}

#[test]
fn debug_shows_no_key() {
    let (guard, _) = guard(5);
    handle(&guard, 7, HOUR);
    assert_eq!(
        format!("{guard:?}"),
        "MemoryGuard { len: 1, capacity: 5, .. }"
    );
}

/// Between the making of room and its use another delivery may have claimed the event.
#[test]
fn room_that_was_made_and_is_not_needed_is_given_back() {
    let (guard, clock) = guard(1);
    handle(&guard, 0, HOUR);
    clock.advance(HOUR * 2);
    let shard = |id| shard_of(&guard.digest(&key(id)));
    let elsewhere = (1..).find(|id| shard(*id) != shard(0)).unwrap();
    let asked = std::cell::Cell::new(0);
    let outcome = guard.update(
        &key(elsewhere),
        ClaimToken::generate(),
        HOUR,
        false,
        |_| match asked.replace(asked.get() + 1) {
            0 => Step::Set("claimed"),
            _ => Step::Keep("in flight"),
        },
    );
    assert_eq!((outcome, asked.get()), (Some("in flight"), 2));
    assert_eq!(guard.len(), 0);
    assert_eq!(claim(&guard, 1), Some(Claimed::Claimed));
}
