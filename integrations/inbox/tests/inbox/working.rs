//! What is stored is worked off, at least once.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use gemini_webhooks::GeminiEvent;
use gemini_webhooks::event::{BatchSucceeded, VideoGenerated};
use gemini_webhooks_inbox::{
    Change, Database, Inbox, InboxErrorKind, State, What, Work, WorkError,
};
use tokio::sync::{Notify, oneshot};
use tokio::time::sleep;

use crate::app::{BATCH, Seen, VIDEO, deliver, is_empty, until};
use crate::home::Home;
use crate::on_both;

on_both! {
    by_the_type_of_its_payload
    failures_are_tried_again_until_it_is_a_dead_letter
    panics_and_slow_runs_are_failures
    errors_that_panic_are_failures
    a_handler_may_decide
    a_signal_that_is_there_already
    an_event_without_a_handler_is_kept
    two_workers_share
    a_worker_that_dies_is_followed
    an_event_that_kills_its_worker_is_a_dead_letter_in_the_end
    what_ended_its_worker_runs_alone_from_then_on
    a_worker_ends_in_order
    what_takes_too_long_to_end_is_given_back
    settings_that_cannot_be
}

const SHORT: Duration = Duration::from_millis(5);

fn steps(history: &[Change]) -> Vec<(What, &str)> {
    history
        .iter()
        .map(|change| (change.what(), change.why()))
        .collect()
}

async fn history<DB: Database>(inbox: &Inbox<DB>, id: &str) -> Vec<(What, String)> {
    let entries = inbox.entries().webhook_id(id).list().await.unwrap();
    let steps = steps(entries[0].history()).into_iter();
    steps.map(|(what, why)| (what, why.to_owned())).collect()
}

async fn by_the_type_of_its_payload(home: impl Home) {
    let inbox = home.open().await.unwrap();
    let seen = Seen::default();
    let (of_batches, of_others) = (seen.clone(), seen.clone());
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = inbox
        .worker()
        .on(move |batch: BatchSucceeded, work: Work<_>| {
            of_batches.add(format!(
                "{} {:?} {}",
                work.webhook_id(),
                batch.id(),
                work.attempt()
            ));
            async { Ok(()) }
        })
        .with_state(seen.clone())
        .on(async |_: VideoGenerated, work: Work<_, Seen>| {
            work.state()
                .add(format!("{} with state", work.webhook_id()));
            Ok(())
        })
        .otherwise(move |event: GeminiEvent, _| {
            of_others.add(format!("{:?}", event.type_name()));
            async { Ok(()) }
        })
        .concurrency(1);
    let worker = tokio::spawn(worker.run_until(async { stopped.await.unwrap() }));
    deliver(&inbox, "msg_1", BATCH).await;
    deliver(&inbox, "msg_2", VIDEO).await;
    deliver(&inbox, "msg_3", r#"{"type":"batch.sublimed"}"#).await;
    until(&inbox, is_empty).await;
    let mut all = seen.all();
    all.sort();
    assert_eq!(
        all,
        [
            r#"Some("batch.sublimed")"#,
            r#"msg_1 Some("batches/msg_1") 1"#,
            "msg_2 with state",
        ]
    );
    assert_eq!(inbox.entries().state(State::Done).count().await.unwrap(), 3);
    let said: Vec<_> = history(&inbox, "msg_1")
        .await
        .into_iter()
        .map(|(what, _)| what)
        .collect();
    assert_eq!(said, [What::Stored, What::Begun, What::Done]);
    // Worked off is remembered.
    assert_eq!(deliver(&inbox, "msg_1", BATCH).await.0, 200);
    stop.send(()).unwrap();
    worker.await.unwrap().unwrap();
    assert_eq!(inbox.entries().count().await.unwrap(), 3);
    assert_eq!(seen.all().len(), 3);
}

async fn failures_are_tried_again_until_it_is_a_dead_letter(home: impl Home) {
    let inbox = home.open().await.unwrap();
    deliver(&inbox, "msg_1", BATCH).await;
    let worker = inbox
        .worker()
        .on(async |_: BatchSucceeded, work: Work<_>| {
            std::fs::read("/there/is/no/such/file")?;
            drop(work);
            Ok(())
        })
        .max_attempts(3)
        .pauses(SHORT, SHORT);
    let worker = tokio::spawn(worker.run_until(pending()));
    until(&inbox, |depth| depth.dead == 1).await;
    worker.abort();
    let history = history(&inbox, "msg_1").await;
    let what: Vec<_> = history.iter().map(|(what, _)| *what).collect();
    use What::{Begun, Dead, Failed, Stored};
    assert_eq!(what, [Stored, Begun, Failed, Begun, Failed, Begun, Dead]);
    for (what, why) in &history {
        assert_eq!(
            why.contains("No such file"),
            matches!(what, Failed | Dead),
            "{what:?} {why}"
        );
    }
    let entries = inbox.entries().state(State::Dead).list().await.unwrap();
    assert_eq!(entries[0].attempts(), 3);
    assert!(entries[0].ended_at().is_some());
}

async fn panics_and_slow_runs_are_failures(home: impl Home) {
    let inbox = home.open().await.unwrap();
    deliver(&inbox, "msg_1", BATCH).await;
    deliver(&inbox, "msg_2", VIDEO).await;
    let worker = inbox
        .worker()
        .on(async |_: BatchSucceeded, work: Work<_>| {
            if work.attempt() > 0 {
                panic!("boo {}", work.webhook_id());
            }
            Ok(())
        })
        .on(async |_: VideoGenerated, _: Work<_>| pending().await)
        .timeout(Duration::from_millis(50))
        .max_attempts(1);
    let worker = tokio::spawn(worker.run_until(pending()));
    until(&inbox, |depth| depth.dead == 2).await;
    worker.abort();
    let (_, why) = history(&inbox, "msg_1").await.pop().unwrap();
    assert!(why.contains("panicked: boo msg_1"), "{why}");
    let (_, why) = history(&inbox, "msg_2").await.pop().unwrap();
    assert!(why.contains("longer than 50ms"), "{why}");
}

/// An error whose text cannot be had.
#[derive(Debug)]
struct Mute;

impl std::fmt::Display for Mute {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("no text")
    }
}

impl std::error::Error for Mute {}

async fn errors_that_panic_are_failures(home: impl Home) {
    let inbox = home.open().await.unwrap();
    deliver(&inbox, "msg_1", BATCH).await;
    let worker = inbox
        .worker()
        .otherwise(async |_: GeminiEvent, _: Work<_>| Err(Mute.into()));
    let worker = tokio::spawn(worker.max_attempts(1).run_until(pending()));
    until(&inbox, |depth| depth.dead == 1).await;
    assert!(!worker.is_finished());
    worker.abort();
    let (_, why) = history(&inbox, "msg_1").await.pop().unwrap();
    assert!(why.contains("panicked: no text"), "{why}");
}

async fn a_signal_that_is_there_already(home: impl Home) {
    let inbox = home.open().await.unwrap();
    for _ in 0..20 {
        let worker = inbox.worker().ignore_others();
        worker.run_until(std::future::ready(())).await.unwrap();
    }
}

async fn a_handler_may_decide(home: impl Home) {
    let inbox = home.open().await.unwrap();
    deliver(&inbox, "msg_1", BATCH).await;
    deliver(&inbox, "msg_2", VIDEO).await;
    let worker = inbox
        .worker()
        .on(async |_: BatchSucceeded, _: Work<_>| Err(WorkError::dead("it makes no sense")))
        .on(async |_: VideoGenerated, _: Work<_>| {
            let hour = Duration::from_secs(3600);
            Err(WorkError::again_after(hour, "the quota is used up"))
        });
    let worker = tokio::spawn(worker.run_until(pending()));
    until(&inbox, |depth| depth.dead == 1 && depth.running == 0).await;
    sleep(Duration::from_millis(50)).await;
    worker.abort();
    let dead = inbox.entries().state(State::Dead).list().await.unwrap();
    assert_eq!((dead[0].webhook_id(), dead[0].attempts()), ("msg_1", 1));
    let waiting = inbox.entries().state(State::Waiting).list().await.unwrap();
    let wait = waiting[0]
        .due_at()
        .duration_since(waiting[0].received_at())
        .unwrap();
    assert!(wait > Duration::from_secs(3500), "{wait:?}");
}

async fn an_event_without_a_handler_is_kept(home: impl Home) {
    let inbox = home.open().await.unwrap();
    deliver(&inbox, "msg_1", VIDEO).await;
    let worker = inbox
        .worker()
        .on(async |_: BatchSucceeded, _: Work<_>| Ok(()));
    let worker = tokio::spawn(worker.run_until(pending()));
    until(&inbox, |depth| depth.dead == 1).await;
    worker.abort();
    let _ended = worker.await;
    let (what, why) = history(&inbox, "msg_1").await.pop().unwrap();
    assert_eq!(what, What::Dead);
    assert!(
        why.contains("no handler for events of the type video.generated"),
        "{why}"
    );

    // Once there is one, it can be tried again.
    let tried = inbox
        .entries()
        .state(State::Dead)
        .retry("there is a handler now")
        .await
        .unwrap();
    assert_eq!(tried, 1);
    let worker = inbox.worker().ignore_others();
    let worker = tokio::spawn(worker.run_until(pending()));
    until(&inbox, is_empty).await;
    worker.abort();
    let history = history(&inbox, "msg_1").await;
    let last: Vec<_> = history
        .iter()
        .rev()
        .take(3)
        .map(|(what, why)| (*what, &**why))
        .collect();
    let retried = (What::Retried, "there is a handler now");
    assert_eq!(last, [(What::Done, ""), (What::Begun, ""), retried]);
}

async fn two_workers_share(home: impl Home) {
    let inbox = home.open().await.unwrap();
    for number in 0..60 {
        deliver(&inbox, &format!("msg_{number}"), BATCH).await;
    }
    let seen = Seen::default();
    let mut workers = Vec::new();
    for _ in 0..2 {
        let worker = home
            .open()
            .await
            .unwrap()
            .worker()
            .with_state(seen.clone())
            .otherwise(async |_: GeminiEvent, work: Work<_, Seen>| {
                work.state().add(work.webhook_id());
                sleep(SHORT).await;
                Ok(())
            });
        workers.push(tokio::spawn(worker.run_until(pending())));
    }
    until(&inbox, is_empty).await;
    for worker in workers {
        worker.abort();
    }
    let mut all = seen.all();
    all.sort();
    all.dedup();
    assert_eq!((all.len(), seen.all().len()), (60, 60), "each once");
}

async fn a_worker_that_dies_is_followed(home: impl Home) {
    let inbox = home.open().await.unwrap();
    deliver(&inbox, "msg_1", BATCH).await;
    let begun = Arc::new(Notify::new());
    let heartbeat = Duration::from_secs(1);
    let worker = inbox
        .worker()
        .with_state(Arc::clone(&begun))
        .otherwise(async |_: GeminiEvent, work: Work<_, Arc<Notify>>| {
            work.state().notify_one();
            pending().await
        })
        .heartbeat(heartbeat);
    let worker = tokio::spawn(worker.run_until(pending()));
    begun.notified().await;
    // As long as it lives nobody else gets the event.
    let seen = Seen::default();
    let second = home.open().await.unwrap().worker().with_state(seen.clone());
    let second = second
        .otherwise(async |_: GeminiEvent, work: Work<_, Seen>| {
            work.state().add(work.attempt().to_string());
            Ok(())
        })
        .heartbeat(heartbeat);
    let second = tokio::spawn(second.run_until(pending()));
    sleep(heartbeat * 2).await;
    assert_eq!(seen.all(), [""; 0]);
    // A death has no time to give anything back.
    worker.abort();
    until(&inbox, is_empty).await;
    second.abort();
    assert_eq!(seen.all(), ["2"]);
}

async fn an_event_that_kills_its_worker_is_a_dead_letter_in_the_end(home: impl Home) {
    let inbox = home.open().await.unwrap();
    deliver(&inbox, "msg_1", BATCH).await;
    deliver(&inbox, "msg_2", VIDEO).await;
    let runs = Arc::new(AtomicU32::new(0));
    for _ in 0..3 {
        let begun = Arc::new(Notify::new());
        let state = (Arc::clone(&begun), Arc::clone(&runs));
        let worker = inbox
            .worker()
            .with_state(state)
            .on(
                async |_: BatchSucceeded, work: Work<_, (Arc<Notify>, Arc<AtomicU32>)>| {
                    let (begun, runs) = work.state();
                    runs.fetch_add(1, Ordering::Relaxed);
                    begun.notify_one();
                    pending().await
                },
            )
            .ignore_others()
            .heartbeat(Duration::from_millis(600))
            .max_attempts(3);
        let worker = tokio::spawn(worker.run_until(pending()));
        begun.notified().await;
        // The other event is not held up.
        until(&inbox, |depth| depth.waiting == 0).await;
        worker.abort();
        let _ended = worker.await;
    }
    let worker = inbox.worker().ignore_others().max_attempts(3);
    let worker = tokio::spawn(worker.run_until(pending()));
    let depth = until(&inbox, is_empty).await;
    worker.abort();
    assert_eq!(depth.dead, 1);
    assert_eq!(runs.load(Ordering::Relaxed), 3);
    let (what, why) = history(&inbox, "msg_1").await.pop().unwrap();
    assert_eq!(what, What::Dead);
    assert!(why.contains("its process died"), "{why}");
}

async fn what_ended_its_worker_runs_alone_from_then_on(home: impl Home) {
    let inbox = home.open().await.unwrap();
    for number in 0..3 {
        deliver(&inbox, &format!("msg_{number}"), BATCH).await;
    }
    let begun = Arc::new(AtomicU32::new(0));
    let heartbeat = Duration::from_secs(1);
    let doomed = inbox.worker().with_state(Arc::clone(&begun));
    let doomed = doomed
        .otherwise(async |_: GeminiEvent, work: Work<_, Arc<AtomicU32>>| {
            work.state().fetch_add(1, Ordering::Relaxed);
            pending().await
        })
        .heartbeat(heartbeat);
    let doomed = tokio::spawn(doomed.run_until(pending()));
    until(&inbox, |depth| depth.running == 3).await;
    while begun.load(Ordering::Relaxed) < 3 {
        sleep(SHORT).await;
    }
    doomed.abort();
    let _ended = doomed.await;

    // How many run, and how many have run beside another.
    let runs = Arc::new((AtomicU32::new(0), AtomicU32::new(0)));
    let worker = home
        .open()
        .await
        .unwrap()
        .worker()
        .with_state(Arc::clone(&runs));
    let worker = worker
        .otherwise(
            async |_: GeminiEvent, work: Work<_, Arc<(AtomicU32, AtomicU32)>>| {
                let (running, beside) = &**work.state();
                beside.fetch_add(running.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
                sleep(SHORT * 4).await;
                running.fetch_sub(1, Ordering::Relaxed);
                Ok(())
            },
        )
        .heartbeat(heartbeat);
    let worker = tokio::spawn(worker.run_until(pending()));
    until(&inbox, is_empty).await;
    worker.abort();
    assert_eq!(runs.1.load(Ordering::Relaxed), 0);
    assert_eq!(inbox.entries().state(State::Done).count().await.unwrap(), 3);
}

async fn a_worker_ends_in_order(home: impl Home) {
    let inbox = home.open().await.unwrap();
    for number in 0..5 {
        deliver(&inbox, &format!("msg_{number}"), BATCH).await;
    }
    let (begun, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = inbox
        .worker()
        .with_state((Arc::clone(&begun), Arc::clone(&finish)))
        .otherwise(
            async |_: GeminiEvent, work: Work<_, (Arc<Notify>, Arc<Notify>)>| {
                work.state().0.notify_one();
                work.state().1.notified().await;
                Ok(())
            },
        )
        .concurrency(1);
    let worker = tokio::spawn(worker.run_until(async { stopped.await.unwrap() }));
    begun.notified().await;
    stop.send(()).unwrap();
    sleep(Duration::from_millis(100)).await;
    assert!(!worker.is_finished(), "running work gets its time");
    finish.notify_one();
    worker.await.unwrap().unwrap();
    let depth = inbox.depth().await.unwrap();
    assert_eq!((depth.waiting, depth.running), (4, 0));
    assert_eq!(inbox.entries().state(State::Done).count().await.unwrap(), 1);
}

async fn what_takes_too_long_to_end_is_given_back(home: impl Home) {
    let inbox = home.open().await.unwrap();
    deliver(&inbox, "msg_1", BATCH).await;
    let begun = Arc::new(Notify::new());
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = inbox
        .worker()
        .with_state(Arc::clone(&begun))
        .otherwise(async |_: GeminiEvent, work: Work<_, Arc<Notify>>| {
            work.state().notify_one();
            pending().await
        })
        .grace(Duration::from_millis(50));
    let worker = tokio::spawn(worker.run_until(async { stopped.await.unwrap() }));
    begun.notified().await;
    stop.send(()).unwrap();
    worker.await.unwrap().unwrap();
    let entries = inbox.entries().list().await.unwrap();
    assert_eq!(
        (entries[0].state(), entries[0].attempts()),
        (State::Waiting, 0)
    );
    let (what, why) = history(&inbox, "msg_1").await.pop().unwrap();
    assert_eq!((what, &*why), (What::GivenBack, "the worker ended"));
}

async fn settings_that_cannot_be(home: impl Home) {
    let inbox = home.open().await.unwrap();
    let worker = || inbox.worker().ignore_others();
    for (worker, says) in [
        (worker().concurrency(0), "concurrency"),
        (worker().concurrency(u32::MAX), "above 10,000"),
        (worker().max_attempts(0), "max_attempts"),
        (worker().timeout(Duration::ZERO), "timeout"),
        (worker().heartbeat(Duration::from_millis(99)), "heartbeat"),
        (worker().poll_interval(Duration::ZERO), "poll interval"),
        (worker().pauses(SHORT * 2, SHORT), "first pause"),
    ] {
        let error = worker.run_until(pending()).await.unwrap_err();
        assert_eq!(error.kind(), InboxErrorKind::Invalid);
        assert!(error.to_string().contains(says), "{error}");
    }
}
