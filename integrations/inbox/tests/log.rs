//! What is logged of an event, from its receipt to its end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gemini_webhooks::GeminiEvent;
use gemini_webhooks_inbox::{Inbox, Work, WorkError};

#[allow(dead_code, reason = "other tests use more of it")]
#[path = "inbox/app.rs"]
mod app;

use app::{BATCH, deliver, until};

/// What is logged, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_names_the_event() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // The only test of its process: what threads log for the first time meets no other subscriber.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("inbox.db").to_str().unwrap().to_owned();
    let inbox = Inbox::sqlite(&file).await.unwrap();
    deliver(&inbox, "msg_logged", BATCH).await;
    deliver(&inbox, "msg_committed", BATCH).await;
    let worker = inbox
        .worker()
        .otherwise(async |_: GeminiEvent, work: Work<_>| {
            tracing::info!("the handler speaks");
            if work.webhook_id() == "msg_committed" {
                work.transaction().await?.commit().await?;
                return Ok(());
            }
            match work.attempt() {
                1 => Err(WorkError::new("not yet")),
                _ => Err(WorkError::dead("never")),
            }
        })
        .pauses(Duration::ZERO, Duration::ZERO);
    let worker = tokio::spawn(worker.run_until(pending()));
    until(&inbox, |depth| {
        (depth.waiting, depth.running, depth.dead) == (0, 0, 1)
    })
    .await;
    // The line comes after the commit.
    while !log.text().contains("worked off") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    worker.abort();
    let text = log.text();
    for parts in [
        ["the worker runs", "default", "inbox.db"],
        ["stored the event", "msg_logged", ""],
        ["WARN", "msg_logged", "the run failed"],
        ["attempt=1", "msg_logged", "not yet"],
        ["the handler speaks", "attempt=2", "msg_logged"],
        ["ERROR", "msg_logged", "is a dead letter"],
        ["attempt=2", "msg_logged", "never"],
        ["the event is worked off", "msg_committed", "attempt=1"],
    ] {
        let has = |line: &str| parts.iter().all(|part| line.contains(part));
        assert!(text.lines().any(has), "{parts:?} is not in:\n{text}");
    }
    // Whoever is woken by errors is woken once.
    let errors = text.lines().filter(|line| line.contains("ERROR"));
    assert_eq!(errors.count(), 1, "{text}");
}
