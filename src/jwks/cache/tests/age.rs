//! Keys that are past their age, by either clock.

use std::sync::atomic::AtomicBool;

use super::*;

/// The time of the runtime, and a wall clock that can be set.
#[derive(Debug)]
pub(super) struct Steppable {
    start: Instant,
    wall: Mutex<SystemTime>,
    broken: AtomicBool,
}

impl Steppable {
    pub(super) fn cache(script: &Script) -> (Arc<Self>, KeyCache) {
        let clock = Arc::new(Self {
            start: Paused.monotonic(),
            wall: Mutex::new(SystemTime::UNIX_EPOCH + HOUR * 24 * 365 * 50),
            broken: AtomicBool::new(false),
        });
        let shared = Arc::clone(&clock) as Arc<dyn Clock>;
        let cache = KeyCache::new(Arc::new(script.clone()), shared, HOUR * 24, false);
        (clock, cache)
    }

    /// As a process finds it that was suspended: monotonic time stood still meanwhile. Or as an
    /// administrator sets it.
    fn step(&self, time: Duration) {
        *self.wall.lock().unwrap() += time;
    }

    fn step_back(&self, time: Duration) {
        *self.wall.lock().unwrap() -= time;
    }

    pub(super) fn breaks(&self) {
        self.broken.store(true, Ordering::SeqCst);
    }
}

impl Clock for Steppable {
    fn now(&self) -> SystemTime {
        assert!(!self.broken.load(Ordering::SeqCst), "a clock may be broken");
        *self.wall.lock().unwrap() + (Paused.monotonic() - self.start)
    }

    fn monotonic(&self) -> Instant {
        Paused.monotonic()
    }
}

/// Lambda freezes a process for hours; the key was withdrawn meanwhile.
#[tokio::test(start_paused = true)]
async fn after_a_suspension_keys_are_confirmed_first() {
    let script = Script::new(Answer::Key(0));
    let (clock, cache) = Steppable::cache(&script);
    cache.ready().await.unwrap();
    script.answer(Answer::Key(1));
    // Within the cool-down of the fetch, by monotonic time.
    pass(SECOND).await;
    clock.step(HOUR * 10);
    let (keys, waited) = cache.verified_with().await;
    assert_eq!((&*keys, waited), (r#"["1"]"#, Duration::ZERO));
    assert_eq!(script.fetches(), 2);
    assert_eq!(cache.known(), r#"["1"]"#, "nothing more is waited for");
}

#[tokio::test(start_paused = true)]
async fn keys_past_their_age_wait_two_seconds_for_a_fetch_once_a_cool_down() {
    let script = Script::new(Answer::Key(0));
    let (clock, cache) = Steppable::cache(&script);
    cache.ready().await.unwrap();
    let old = r#"["0"]"#.to_owned();
    script.answer(Answer::Never);
    clock.step(HOUR + SECOND);
    assert_eq!(cache.verified_with().await, (old.clone(), SECOND * 2));
    // The fetch goes on for three seconds, and then it cools down.
    assert_eq!(cache.known(), old);
    pass(SECOND * 3).await;
    script.answer(Answer::Gated(1));
    assert_eq!(cache.known(), old);
    pass(SECOND - Duration::from_millis(1)).await;
    assert_eq!(cache.known(), old);
    assert_eq!(script.fetches(), 2);
    pass(Duration::from_millis(1)).await;
    assert_eq!(cache.known(), "wait");
    settle().await;
    assert_eq!(script.fetches(), 3);
    // Others wait for the same fetch; once one has waited in vain, nobody does any more.
    let begun = Paused.monotonic();
    let second = async {
        tokio::time::sleep(SECOND).await;
        cache.verified_with().await
    };
    let third = async {
        tokio::time::sleep(SECOND * 2 + Duration::from_millis(1)).await;
        cache.verified_with().await
    };
    let (first, second, third) = tokio::join!(cache.verified_with(), second, third);
    assert_eq!(
        (&first, &second),
        (&(old.clone(), SECOND * 2), &(old.clone(), SECOND * 2))
    );
    assert_eq!(third, (old.clone(), Duration::ZERO));
    assert_eq!(Paused.monotonic() - begun, SECOND * 3);
    assert_eq!(cache.known(), old);
    script.gate.add_permits(1);
    settle().await;
    assert_eq!(cache.known(), r#"["1"]"#);
}

#[tokio::test(start_paused = true)]
async fn keys_past_their_age_count_as_soon_as_a_fetch_has_failed() {
    let script = Script::new(Answer::Key(0));
    let (clock, cache) = Steppable::cache(&script);
    cache.ready().await.unwrap();
    script.answer(Answer::Fails);
    clock.step(HOUR + SECOND);
    let old = (r#"["0"]"#.to_owned(), Duration::ZERO);
    for (cool_down, fetches) in [(1, 2), (2, 3), (4, 4), (8, 5), (16, 6), (30, 7), (30, 8)] {
        assert_eq!(cache.known(), "wait", "within {cool_down} s");
        assert_eq!(cache.verified_with().await, old);
        assert_eq!(cache.known(), old.0);
        assert_eq!(script.fetches(), fetches);
        pass(SECOND * cool_down).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_is_under_way_is_what_keys_past_their_age_wait_for() {
    let script = Script::new(Answer::Key(0));
    let cache = script.cache();
    cache.ready().await.unwrap();
    script.answer(Answer::Fails);
    // The last one fails 20 s before the keys are too old; the next is due 10 s after.
    pass(HOUR - SECOND * 3).await;
    let failed = script.fetches();
    script.answer(Answer::Gated(1));
    // At the latest when it has cooled down.
    for _ in 0..30 {
        if script.fetches() == failed {
            assert_eq!(cache.known(), r#"["0"]"#);
            pass(SECOND).await;
        }
    }
    assert_eq!(script.fetches(), failed + 1);
    pass(SECOND * 3).await;
    assert_eq!(cache.known(), "wait");
    let confirmed = cache.verified_with();
    script.gate.add_permits(1);
    assert_eq!(confirmed.await, (r#"["1"]"#.to_owned(), Duration::ZERO));
    assert_eq!(script.fetches(), failed + 1);
}

#[tokio::test(start_paused = true)]
async fn before_their_age_nothing_is_waited_for() {
    let script = Script::new(Answer::MaxAge(0, "max-age=600"));
    let (clock, cache) = Steppable::cache(&script);
    cache.ready().await.unwrap();
    script.answer(Answer::Never);
    clock.step(SECOND * 479);
    assert_eq!(cache.known(), r#"["0"]"#);
    settle().await;
    assert_eq!(script.fetches(), 1);
    clock.step(SECOND);
    assert_eq!(cache.known(), r#"["0"]"#);
    settle().await;
    assert_eq!(script.fetches(), 2, "in the background");
    clock.step(SECOND * 9);
    // That fetch was suspended too, and is given up after ten seconds.
    assert_eq!(cache.known(), r#"["0"]"#);
    clock.step(SECOND);
    assert_eq!(cache.known(), r#"["0"]"#);
    settle().await;
    assert_eq!(script.fetches(), 3);
    clock.step(SECOND * 110);
    assert_eq!(cache.known(), r#"["0"]"#, "as old as it may be");
    clock.step(SECOND);
    assert_eq!(cache.known(), "wait");
}

/// Its answer was read from a socket that had held it for hours.
#[tokio::test(start_paused = true)]
async fn a_fetch_that_was_suspended_confirms_nothing() {
    let script = Script::new(Answer::Gated(0));
    let (clock, cache) = Steppable::cache(&script);
    let cache = Arc::new(cache);
    let ready = tokio::spawn({
        let cache = Arc::clone(&cache);
        async move { cache.ready().await }
    });
    settle().await;
    clock.step(HOUR * 10);
    script.answer(Answer::Key(1));
    script.gate.add_permits(1);
    ready.await.unwrap().unwrap();
    assert_eq!(cache.verified_with().await.0, r#"["1"]"#);
    assert_eq!(script.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_is_set() {
    let script = Script::new(Answer::Key(0));
    let (clock, cache) = Steppable::cache(&script);
    cache.ready().await.unwrap();
    // Back: keys are as old as before, and are refreshed as before.
    clock.step_back(HOUR * 24 * 365);
    script.answer(Answer::Key(1));
    pass(HOUR / 5 * 4).await;
    assert_eq!(cache.known(), r#"["1"]"#);
    script.answer(Answer::Fails);
    pass(HOUR + SECOND).await;
    clock.step_back(HOUR * 24 * 365);
    assert_eq!(cache.known(), r#"["1"]"#);
    pass(HOUR * 23).await;
    assert_eq!(
        cache.known(),
        "none",
        "a day after, whatever the wall clock says"
    );
    // Forward: they count as too old, until a fetch has succeeded.
    script.answer(Answer::Key(0));
    pass(COOL_DOWN).await;
    cache.ready().await.unwrap();
    clock.step(HOUR * 24 * 365);
    script.answer(Answer::Fails);
    assert_eq!(cache.known(), "none");
    cache.others(None).await.unwrap_err();
    script.answer(Answer::Key(2));
    pass(SECOND).await;
    assert_eq!(names(cache.others(None).await.unwrap()), r#"["2"]"#);
    assert_eq!(cache.known(), r#"["2"]"#);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_keys_past_their_age_is_bounded_too() {
    let script = Script::new(Answer::Key(0));
    let (clock, cache) = Steppable::cache(&script);
    let cache = Arc::new(cache);
    cache.ready().await.unwrap();
    script.answer(Answer::Gated(1));
    clock.step(HOUR * 2);
    // Not by who never waits, such as a delivery under a shared secret.
    let unpolled: Vec<_> = (0..256).map(|_| cache.current()).collect();
    assert!(unpolled.iter().all(|one| matches!(one, Current::Aged(_))));
    assert_eq!(cache.inner.lock().waiting(), 0);
    let mut tasks = JoinSet::new();
    for _ in 0..256 {
        let cache = Arc::clone(&cache);
        tasks.spawn(async move { cache.verified_with().await.0 });
    }
    settle().await;
    let Current::Aged(aged) = cache.current() else {
        panic!("it is under way")
    };
    let refused = aged.confirmed().await.unwrap_err();
    assert!(refused.to_string().contains("256"), "{refused}");
    script.gate.add_permits(1);
    assert_eq!(tasks.join_all().await, vec![r#"["1"]"#; 256]);
    assert_eq!((script.fetches(), cache.inner.lock().waiting()), (2, 0));
}

/// Nothing can be fetched, so nothing is waited for.
#[test]
fn keys_past_their_age_outside_of_a_runtime() {
    let script = Script::new(Answer::Key(0));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let (clock, cache) = runtime.block_on(async {
        let (clock, cache) = Steppable::cache(&script);
        cache.ready().await.unwrap();
        (clock, cache)
    });
    clock.step(HOUR * 2);
    let mut keys = std::pin::pin!(async {
        match cache.current() {
            Current::Aged(aged) => names(aged.confirmed().await.unwrap()),
            _ => cache.known(),
        }
    });
    let waker = std::task::Waker::noop();
    let polled = keys.as_mut().poll(&mut Context::from_waker(waker));
    assert_eq!(polled, Poll::Ready(r#"["0"]"#.to_owned()));
}

/// The task that keeps keys fresh looks again when a fetch has had its time.
#[tokio::test(start_paused = true)]
async fn a_fetch_that_hangs_is_repeated_without_a_delivery() {
    let script = Script::new(Answer::Key(0));
    let cache = script.cache();
    cache.ready().await.unwrap();
    script.answer(Answer::Never);
    pass(HOUR / 5 * 4).await;
    script.answer(Answer::Key(1));
    assert_eq!(script.fetches(), 2);
    // It is cut after five seconds; the task looks every five.
    pass(SECOND * 5).await;
    pass(SECOND * 5).await;
    assert_eq!((script.fetches(), &*cache.known()), (3, r#"["1"]"#));
}
