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
    let worker = inbox
        .worker()
        .otherwise(async |_: GeminiEvent, work: Work<_>| {
            tracing::info!("the handler speaks");
            match work.attempt() {
                1 => Err(WorkError::new("not yet")),
                _ => Err(WorkError::dead("never")),
            }
        })
        .pauses(Duration::ZERO, Duration::ZERO);
    let worker = tokio::spawn(worker.run_until(pending()));
    until(&inbox, |depth| depth.dead == 1).await;
    worker.abort();
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for parts in [
        ["stored the event", "", ""],
        ["the run failed", "attempt=1", "not yet"],
        ["the handler speaks", "attempt=2", ""],
        ["is a dead letter", "attempt=2", "never"],
    ] {
        let line = text
            .lines()
            .find(|line| parts.iter().all(|part| line.contains(part)));
        let line = line.unwrap_or_else(|| panic!("{parts:?} is not in:\n{text}"));
        assert!(line.contains("msg_logged"), "{line}");
    }
}
