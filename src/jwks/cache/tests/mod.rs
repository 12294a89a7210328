use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant as TokioInstant, advance};

use super::*;
use crate::jwks::{FetchedKeys, KeyFuture};

mod age;
mod faults;

/// The time of the runtime, which stands still while anything can be done.
#[derive(Debug)]
struct Paused;

#[expect(clippy::disallowed_methods, reason = "this is a clock")]
impl Clock for Paused {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn monotonic(&self) -> Instant {
        TokioInstant::now().into_std()
    }
}

/// What a source answers from now on.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// The key of this number.
    Key(usize),
    /// The same, after something was let through.
    Gated(usize),
    MaxAge(usize, &'static str),
    Text(&'static str),
    Fails,
    Panics(Where),
    Never,
}

/// Where a source panics.
#[derive(Clone, Copy, Debug)]
enum Where {
    Asked,
    Polled,
    /// When its answer is there.
    Dropped,
    /// When it is given up.
    GivenUp,
}

/// An answer that panics when it is dropped.
struct Fragile<F>(F);

impl<F: Future + Unpin> Future for Fragile<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<F> Drop for Fragile<F> {
    fn drop(&mut self) {
        panic!("an answer may be broken")
    }
}

#[derive(Clone, Debug)]
struct Script {
    answer: Arc<Mutex<Answer>>,
    fetches: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Script {
    fn new(answer: Answer) -> Self {
        Self {
            answer: Arc::new(Mutex::new(answer)),
            fetches: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    fn cache(&self) -> KeyCache {
        self.cache_for(Duration::from_secs(24 * 60 * 60))
    }

    fn cache_for(&self, max_stale: Duration) -> KeyCache {
        KeyCache::new(Arc::new(self.clone()), Arc::new(Paused), max_stale, false)
    }
}

impl KeySource for Script {
    fn fetch(&self) -> KeyFuture<'_> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let answer = *self.answer.lock().unwrap();
        match answer {
            Answer::Panics(Where::Asked) => panic!("a source may be broken"),
            Answer::Panics(Where::Dropped) => {
                let ready = std::future::ready(Ok(FetchedKeys::new(json(0))));
                return Box::pin(Fragile(ready));
            }
            Answer::Panics(Where::GivenUp) => return Box::pin(Fragile(std::future::pending())),
            _ => {}
        }
        Box::pin(async move {
            Ok(match answer {
                Answer::Key(key) => FetchedKeys::new(json(key)),
                Answer::Gated(key) => {
                    self.gate.acquire().await?.forget();
                    FetchedKeys::new(json(key))
                }
                Answer::MaxAge(key, value) => FetchedKeys::new(json(key)).cache_control(value),
                Answer::Text(text) => FetchedKeys::new(text),
                Answer::Fails => return Err("it is down".into()),
                Answer::Panics(_) => panic!("a source may be broken"),
                Answer::Never => std::future::pending().await,
            })
        })
    }
}

/// The public keys of RFC 8032, 7.1, tests 1 to 3.
fn json(key: usize) -> String {
    let x = [
        "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw",
        "_FHNjmIYoaONpH7QAjDwWAgW7RO6MwOsXeuRFUiQgCU",
    ][key];
    format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"{key}","x":"{x}"}}]}}"#)
}

fn names(keys: Option<KeySet>) -> String {
    keys.map_or("none".to_owned(), |keys| format!("{keys:?}"))
}

impl KeyCache {
    /// The names of the keys to verify with, at once.
    fn known(&self) -> String {
        match self.current() {
            Current::Known(keys) => format!("{keys:?}"),
            Current::Aged(_) => "wait".to_owned(),
            Current::Unknown => "none".to_owned(),
        }
    }

    fn seen(&self) -> KeySet {
        match self.current() {
            Current::Known(keys) => keys,
            Current::Aged(_) | Current::Unknown => panic!("nothing is known"),
        }
    }

    /// The names of the keys that a delivery is verified with, and how long it waited for them.
    async fn verified_with(&self) -> (String, Duration) {
        let begun = Paused.monotonic();
        let names = match self.current() {
            Current::Aged(aged) => names(aged.confirmed().await.unwrap()),
            _ => self.known(),
        };
        (names, Paused.monotonic() - begun)
    }
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Lets tasks that are ready run.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

async fn pass(time: Duration) {
    advance(time).await;
    settle().await;
}

#[tokio::test(start_paused = true)]
async fn forty_on_a_cold_cache_make_one_fetch() {
    let script = Script::new(Answer::Gated(0));
    let cache = Arc::new(script.cache());
    assert_eq!(cache.known(), "none");
    assert_eq!(script.fetches(), 0, "only a need for keys fetches them");
    let mut tasks = JoinSet::new();
    for _ in 0..40 {
        let cache = Arc::clone(&cache);
        tasks.spawn(async move { names(cache.others(None).await.unwrap()) });
    }
    settle().await;
    script.gate.add_permits(1);
    assert_eq!(tasks.join_all().await, vec![r#"["0"]"#; 40]);
    assert_eq!(script.fetches(), 1);
    assert_eq!(cache.known(), r#"["0"]"#);
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_bounded_and_who_leaves_does_not_cancel() {
    let script = Script::new(Answer::Gated(0));
    let cache = Arc::new(script.cache());
    let mut tasks = JoinSet::new();
    for _ in 0..256 {
        let cache = Arc::clone(&cache);
        tasks.spawn(async move { cache.others(None).await });
    }
    settle().await;
    let refused = cache.others(None).await.unwrap_err();
    assert!(refused.to_string().contains("256"), "{refused}");
    // All leave: their places are free again, and the fetch goes on.
    tasks.shutdown().await;
    assert_eq!(cache.inner.lock().waiting(), 0);
    script.gate.add_permits(1);
    settle().await;
    assert_eq!(cache.known(), r#"["0"]"#);
    assert_eq!(script.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn keys_are_refreshed_before_they_expire_even_if_nothing_arrives() {
    for (answer, due) in [
        (Answer::Key(1), HOUR / 5 * 4),
        (Answer::MaxAge(1, "max-age=600"), Duration::from_secs(480)),
        (Answer::MaxAge(1, "max-age=1"), Duration::from_secs(48)),
        (Answer::MaxAge(1, "no-store"), Duration::from_secs(48)),
        (Answer::MaxAge(1, "max-age=86400"), HOUR / 5 * 4),
    ] {
        let script = Script::new(answer);
        let cache = script.cache();
        cache.ready().await.unwrap();
        pass(due - SECOND).await;
        assert_eq!(
            (script.fetches(), cache.known()),
            (1, r#"["1"]"#.to_owned())
        );
        script.answer(Answer::Key(2));
        pass(SECOND * 2).await;
        assert_eq!(script.fetches(), 2, "{answer:?}");
        // A successful fetch replaces the set: the key that is gone is dead.
        assert_eq!(cache.known(), r#"["2"]"#);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_fetched_for_a_receiver_that_is_gone() {
    let script = Script::new(Answer::Key(0));
    let cache = script.cache();
    cache.ready().await.unwrap();
    drop(cache);
    pass(HOUR * 3).await;
    assert_eq!(script.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn known_keys_are_not_delayed_by_a_server_that_never_answers() {
    let script = Script::new(Answer::Key(0));
    let cache = script.cache();
    cache.ready().await.unwrap();
    script.answer(Answer::Never);
    let begun = Paused.monotonic();
    pass(HOUR - SECOND).await;
    assert!(script.fetches() > 1);
    assert_eq!(cache.known(), r#"["0"]"#);
    assert_eq!(
        Paused.monotonic() - begun,
        HOUR - SECOND,
        "nothing was waited for"
    );
}

#[tokio::test(start_paused = true)]
async fn known_keys_stay_in_use_for_max_stale_and_no_longer() {
    let script = Script::new(Answer::Key(0));
    let cache = script.cache_for(HOUR * 24);
    cache.ready().await.unwrap();
    script.answer(Answer::Fails);
    pass(HOUR * 24).await;
    assert_eq!(cache.known(), r#"["0"]"#);
    pass(SECOND).await;
    assert_eq!(cache.known(), "none");
    let error = cache.others(None).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the public keys cannot be fetched: it is down"
    );
    script.answer(Answer::Key(1));
    pass(COOL_DOWN).await;
    cache.ready().await.unwrap();
    assert_eq!(cache.known(), r#"["1"]"#);
}

#[tokio::test(start_paused = true)]
async fn less_than_an_hour_of_max_stale_is_kept_too() {
    let script = Script::new(Answer::Key(0));
    let cache = script.cache_for(SECOND * 100);
    cache.ready().await.unwrap();
    pass(SECOND * 79).await;
    assert_eq!(script.fetches(), 1);
    pass(SECOND * 2).await;
    assert_eq!(script.fetches(), 2);
    script.answer(Answer::Never);
    pass(SECOND * 101).await;
    assert_eq!(cache.known(), "none");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_waits_for_one_refresh_outside_the_cool_down() {
    let script = Script::new(Answer::Key(0));
    let cache = script.cache();
    cache.ready().await.unwrap();
    let seen = cache.seen();
    script.answer(Answer::Key(1));
    // Within the cool-down: refused at once.
    pass(COOL_DOWN - SECOND).await;
    assert_eq!(names(cache.others(Some(&seen)).await.unwrap()), "none");
    assert_eq!(script.fetches(), 1);
    // After it: one fetch, and only the keys that are new are tried.
    pass(SECOND).await;
    assert_eq!(names(cache.others(Some(&seen)).await.unwrap()), r#"["1"]"#);
    assert_eq!(script.fetches(), 2);
    // Whoever looked at the older set gets the newer one without a fetch.
    assert_eq!(names(cache.others(Some(&seen)).await.unwrap()), r#"["1"]"#);
    // A refresh that brings nothing new: nothing to try.
    let seen = cache.seen();
    pass(COOL_DOWN).await;
    assert_eq!(names(cache.others(Some(&seen)).await.unwrap()), "none");
    assert_eq!(script.fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_unknown_keys_cost_at_most_two_fetches() {
    let script = Script::new(Answer::Key(0));
    let cache = script.cache();
    cache.ready().await.unwrap();
    let seen = cache.seen();
    pass(COOL_DOWN).await;
    for _ in 0..1000 {
        assert!(cache.others(Some(&seen)).await.unwrap().is_none());
        pass(Duration::from_millis(25)).await;
    }
    assert_eq!(script.fetches(), 2, "one at first, one for all of them");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_waits_five_seconds_at_most() {
    let script = Script::new(Answer::Key(0));
    let cache = script.cache();
    cache.ready().await.unwrap();
    let seen = cache.seen();
    pass(COOL_DOWN).await;
    script.answer(Answer::Never);
    let begun = Paused.monotonic();
    let error = cache.others(Some(&seen)).await.unwrap_err();
    assert!(error.to_string().contains("in time"), "{error}");
    assert_eq!((Paused.monotonic() - begun).as_secs(), 5);
    // Meanwhile, and after, known keys go on.
    assert_eq!(cache.known(), r#"["0"]"#);
}

#[tokio::test(start_paused = true)]
async fn a_failed_fetch_cools_down_from_one_second_to_thirty() {
    let script = Script::new(Answer::Fails);
    let cache = script.cache();
    let mut fetches = 0;
    for wait in [1, 2, 4, 8, 16].into_iter().chain([30; 40]) {
        assert!(cache.others(None).await.is_err());
        fetches += 1;
        pass(SECOND * wait - Duration::from_millis(1)).await;
        // At once, and without asking again.
        assert!(cache.others(None).await.is_err());
        assert!(cache.ready().await.is_err());
        assert_eq!(script.fetches(), fetches, "within {wait} s");
        pass(Duration::from_millis(1)).await;
    }
    script.answer(Answer::Key(0));
    cache.ready().await.unwrap();
    // A success forgets the failures.
    script.answer(Answer::Fails);
    cache.refresh().await.unwrap_err();
    let seen = cache.seen();
    assert!(
        cache.others(Some(&seen)).await.is_err(),
        "503: the key may be a new one"
    );
    let fetches = script.fetches();
    pass(SECOND).await;
    assert!(cache.others(Some(&seen)).await.is_err());
    assert_eq!(script.fetches(), fetches + 1);
    // And the next one that they are over: the sender is to blame for a key that is unknown.
    script.answer(Answer::Key(0));
    cache.refresh().await.unwrap();
    let seen = cache.seen();
    assert_eq!(names(cache.others(Some(&seen)).await.unwrap()), "none");
}

#[tokio::test(start_paused = true)]
async fn a_set_that_cannot_be_used_counts_as_a_failure() {
    for (text, why) in [
        ("", "it is empty"),
        ("<html>", "it is an HTML page"),
        (r#"{"keys":[]}"#, "its list `keys` is empty"),
        (
            r#"{"keys":[{"kty":"EC"}]}"#,
            "none of its keys can be used: without a kid: its `kty` is \"EC\"",
        ),
    ] {
        let script = Script::new(Answer::Key(0));
        let cache = script.cache();
        cache.ready().await.unwrap();
        script.answer(Answer::Text(text));
        let error = cache.refresh().await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(cache.known(), r#"["0"]"#, "{text:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_forced_refresh_heeds_no_cool_down_and_no_fetch_that_began_before() {
    let script = Script::new(Answer::Gated(0));
    let cache = Arc::new(script.cache());
    let waiting = tokio::spawn({
        let cache = Arc::clone(&cache);
        async move { cache.ready().await }
    });
    settle().await;
    let forced = tokio::spawn({
        let cache = Arc::clone(&cache);
        async move { cache.refresh().await }
    });
    settle().await;
    script.answer(Answer::Key(1));
    script.gate.add_permits(1);
    waiting.await.unwrap().unwrap();
    forced.await.unwrap().unwrap();
    assert_eq!(script.fetches(), 2);
    assert_eq!(cache.known(), r#"["1"]"#);
    cache.refresh().await.unwrap();
    assert_eq!(script.fetches(), 3);
}

#[test]
fn a_runtime_that_ends_does_not_take_the_cache_with_it() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
    };
    let script = Script::new(Answer::Never);
    let cache = script.cache();
    let first = runtime();
    first.block_on(async {
        tokio::select! {
            _ = cache.ready() => panic!("it never answers"),
            () = settle() => {}
        }
    });
    drop(first);
    assert!(
        !cache.inner.lock().fetching(),
        "the fetch ended with its runtime"
    );
    script.answer(Answer::Key(0));
    runtime().block_on(async {
        advance(COOL_DOWN).await;
        cache.refresh().await.unwrap();
        assert_eq!(cache.known(), r#"["0"]"#);
    });
    assert!(
        !cache.inner.lock().kept_fresh(),
        "and so did the task that keeps them fresh"
    );
    // Outside of any runtime: what is known is known, nothing hangs, nothing panics.
    assert_eq!(cache.known(), r#"["0"]"#);
}

/// A runtime that is kept but not driven any more, with a fetch in it.
#[test]
fn a_fetch_that_nobody_drives_is_given_up() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
    };
    #[derive(Debug, Default)]
    struct Shared(Mutex<Option<Duration>>, std::sync::OnceLock<Instant>);
    impl Clock for Shared {
        fn now(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
        }
        fn monotonic(&self) -> Instant {
            let begun = *self.1.get_or_init(|| crate::clock::SystemClock.monotonic());
            begun + self.0.lock().unwrap().unwrap_or_default()
        }
    }
    let clock = Arc::new(Shared::default());
    let script = Script::new(Answer::Never);
    let cache = KeyCache::new(
        Arc::new(script.clone()),
        Arc::clone(&clock) as Arc<dyn Clock>,
        HOUR,
        false,
    );
    let forgotten = runtime();
    forgotten.block_on(async {
        tokio::select! {
            _ = cache.ready() => panic!("it never answers"),
            () = settle() => {}
        }
    });
    script.answer(Answer::Gated(0));
    let second = runtime();
    // It may still end: as late as that, no fetch on a slow machine is.
    *clock.0.lock().unwrap() = Some(SECOND * 10 - Duration::from_millis(1));
    assert!(second.block_on(cache.ready()).is_err());
    assert_eq!(script.fetches(), 1);
    *clock.0.lock().unwrap() = Some(SECOND * 10);
    second.block_on(async {
        tokio::select! {
            _ = cache.ready() => panic!("it is not let through yet"),
            () = settle() => {}
        }
    });
    assert_eq!(script.fetches(), 2);
    // The old one ends at last, and ends nothing but itself.
    drop(forgotten);
    assert!(cache.inner.lock().fetching());
    script.gate.add_permits(1);
    second.block_on(cache.ready()).unwrap();
    assert_eq!(cache.known(), r#"["0"]"#);
    assert_eq!(script.fetches(), 2);
}

#[test]
fn outside_of_a_runtime_there_is_an_error() {
    let cache = Script::new(Answer::Key(0)).cache();
    let mut ready = std::pin::pin!(cache.ready());
    let waker = std::task::Waker::noop();
    match ready.as_mut().poll(&mut Context::from_waker(waker)) {
        Poll::Ready(Err(error)) => {
            assert!(error.to_string().contains("no tokio runtime"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn forced_refreshes_do_not_trip_over_each_other() {
    let script = Script::new(Answer::Key(0));
    let cache = Arc::new(script.cache());
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let cache = Arc::clone(&cache);
        tasks.spawn(async move {
            for _ in 0..500 {
                cache.refresh().await.unwrap();
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_too_old_are_no_reason_to_blame_the_sender() {
    let script = Script::new(Answer::Key(0));
    let cache = script.cache_for(SECOND * 10);
    cache.ready().await.unwrap();
    let seen = Some(cache.seen());
    script.answer(Answer::Never);
    advance(SECOND * 11).await;
    assert!(cache.others(seen.as_ref()).await.is_err());
    assert!(cache.others(None).await.is_err());
}
