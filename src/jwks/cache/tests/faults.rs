//! Code of others that panics while a cache runs it.

use super::age::Steppable;
use super::*;

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_fails_the_fetch() {
    for (place, why) in [
        (Where::Asked, Some("the source of public keys panicked")),
        (Where::Polled, Some("the source of public keys panicked")),
        (Where::Dropped, None),
        (
            Where::GivenUp,
            Some("the public keys did not arrive in time"),
        ),
    ] {
        let script = Script::new(Answer::Panics(place));
        let cache = script.cache();
        let fetched = cache.ready().await.map_err(|error| error.to_string());
        let shown = fetched.as_ref().err().map(String::as_str);
        assert_eq!(
            shown.map(|error| error.split(':').next().unwrap()),
            why,
            "{place:?}"
        );
        settle().await;
        assert!(!cache.inner.lock().fetching());
        script.answer(Answer::Key(1));
        pass(SECOND).await;
        cache.refresh().await.unwrap();
        assert_eq!(cache.known(), r#"["1"]"#, "{place:?}");
    }
}

/// As by a task that shuts down while a panic unwinds: a second one would abort the process.
#[test]
fn a_source_that_panics_when_its_runtime_ends() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let script = Script::new(Answer::Panics(Where::GivenUp));
    let cache = script.cache();
    runtime.block_on(async {
        tokio::select! {
            _ = cache.ready() => panic!("it never answers"),
            () = settle() => {}
        }
    });
    drop(runtime);
    assert!(!cache.inner.lock().fetching());
}

/// The app's own fault; but a fetch ends, and nothing is called while the process unwinds.
#[tokio::test(start_paused = true)]
async fn a_clock_that_panics_does_not_keep_a_fetch_from_ending() {
    let script = Script::new(Answer::Gated(0));
    let (clock, cache) = Steppable::cache(&script);
    let cache = Arc::new(cache);
    let ready = tokio::spawn({
        let cache = Arc::clone(&cache);
        async move { cache.ready().await }
    });
    settle().await;
    clock.breaks();
    script.gate.add_permits(1);
    assert!(ready.await.unwrap_err().is_panic());
    let state = cache.inner.lock();
    assert_eq!((state.fetching(), state.waiting()), (false, 0));
    assert_eq!(format!("{:?}", state.last().unwrap()), r#"["0"]"#);
}

/// As where stderr is a pipe that nobody reads any more, and the report of that goes there too.
#[cfg(feature = "tracing")]
mod logging {
    use std::io;

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    /// What was logged, or the panic of the log.
    #[derive(Clone, Default)]
    struct Log {
        text: Arc<Mutex<Vec<u8>>>,
        broken: bool,
    }

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            assert!(!self.broken, "failed printing to stderr: Broken pipe");
            self.text.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Log {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    impl Log {
        fn begin(&self) -> tracing::subscriber::DefaultGuard {
            let subscriber = tracing_subscriber::fmt()
                .with_writer(self.clone())
                .with_ansi(false)
                .without_time()
                .finish();
            tracing::subscriber::set_default(subscriber)
        }

        /// What was logged of keys that are skipped, since the last time.
        fn skipped(&self) -> Vec<String> {
            let text = std::mem::take(&mut *self.text.lock().unwrap());
            let text = String::from_utf8(text).unwrap();
            let skipped = text.lines().filter(|line| line.contains("skipped"));
            skipped.map(str::to_owned).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_panics_does_not_keep_a_key_alive() {
        let _log = Log {
            broken: true,
            ..Log::default()
        }
        .begin();
        let script = Script::new(Answer::Key(0));
        let cache = script.cache();
        cache.ready().await.unwrap();
        script.answer(Answer::Key(1));
        cache.refresh().await.unwrap();
        assert_eq!(cache.known(), r#"["1"]"#);
        // The task that keeps them fresh runs too.
        script.answer(Answer::Key(2));
        pass(HOUR / 5 * 4 + SECOND).await;
        assert_eq!(cache.known(), r#"["2"]"#);
        // And a failed fetch is one, also where the source panics as well.
        for answer in [Answer::Fails, Answer::Panics(Where::Polled)] {
            script.answer(answer);
            cache.refresh().await.unwrap_err();
            assert!(!cache.inner.lock().fetching());
        }
        assert_eq!(cache.known(), r#"["2"]"#);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_skipped_is_logged_once_a_set() {
        let log = Log::default();
        let _log = log.begin();
        let set = |more: &str| -> &'static str {
            let keys = json(0).replace("]}", &format!(",{more}]}}"));
            String::leak(keys)
        };
        let ec = r#"{"kty":"EC","kid":"ec\n"}"#;
        let both = format!(r#"{ec},{{"kty":"OKP","crv":"Ed25519","kid":"bad","x":"AA"}}"#);
        let script = Script::new(Answer::Text(set(ec)));
        let cache = script.cache();
        cache.ready().await.unwrap();
        let lines = log.skipped();
        assert_eq!(lines.len(), 1, "{lines:?}");
        for part in ["INFO", r#"kid="ec\n""#, "its `kty` is"] {
            assert!(lines[0].contains(part), "{part}: {lines:?}");
        }
        // Not at each refresh; but of another set, and of the first again.
        cache.refresh().await.unwrap();
        assert_eq!(log.skipped(), [""; 0]);
        script.answer(Answer::Text(set(&both)));
        cache.refresh().await.unwrap();
        let lines = log.skipped();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines[1].contains("WARN") && lines[1].contains(r#"kid="bad""#),
            "{lines:?}"
        );
        cache.refresh().await.unwrap();
        assert_eq!(log.skipped(), [""; 0]);
        script.answer(Answer::Fails);
        cache.refresh().await.unwrap_err();
        script.answer(Answer::Text(set(&both)));
        cache.refresh().await.unwrap();
        assert_eq!(log.skipped(), [""; 0]);
        script.answer(Answer::Text(set(ec)));
        cache.refresh().await.unwrap();
        assert_eq!(log.skipped().len(), 1);
        // Another process, or another receiver, says it again.
        script.cache().ready().await.unwrap();
        assert_eq!(log.skipped().len(), 1);
    }

    /// Keys that an app hands over are not fetched, but skipped as well.
    #[test]
    fn what_is_skipped_of_a_set_that_was_given_is_logged() {
        let log = Log::default();
        let _log = log.begin();
        let keys = json(0).replace("]}", r#",{"kty":"EC","kid":"ec"}]}"#);
        let receiver = crate::WebhookReceiver::builder()
            .jwks(KeySet::from_json(keys.as_bytes()).unwrap())
            .allow_any_google_project()
            .build();
        assert!(receiver.is_ok());
        let lines = log.skipped();
        assert!(
            lines.len() == 1 && lines[0].contains(r#"kid="ec""#),
            "{lines:?}"
        );
    }
}
