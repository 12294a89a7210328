//! A file of SQLite that another connection writes.

use std::time::Duration;

use gemini_webhooks::{Clock as _, SystemClock};
use gemini_webhooks_inbox::sqlx::sqlite::{Sqlite, SqliteConnection};
use gemini_webhooks_inbox::sqlx::{Connection as _, query};
use gemini_webhooks_inbox::{Inbox, Opening, State};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::app::{BATCH, deliver, is_empty, until};
use crate::rig::{MARGIN, Watched, assert_refused, until_stored};

/// What an inbox waits, if it is not told otherwise.
const DEFAULT: Duration = Duration::from_secs(2);

struct File(TempDir);

impl File {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> String {
        let path = self.0.path().join("inbox.db");
        path.to_str().unwrap().to_owned()
    }

    fn open(&self) -> Opening<Sqlite> {
        Inbox::sqlite(&self.path())
    }

    /// Another connection, which begins to write.
    async fn lock(&self) -> SqliteConnection {
        let url = format!("sqlite:{}", self.path());
        let mut other = SqliteConnection::connect(&url).await.unwrap();
        let begin = query("BEGIN IMMEDIATE").execute(&mut other);
        begin.await.unwrap();
        other
    }
}

async fn unlock(mut other: SqliteConnection) {
    query("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_event() {
    let file = File::new();
    let short = Duration::from_millis(300);
    for (inbox, within) in [
        (file.open().await.unwrap(), DEFAULT),
        (file.open().timeout(short).await.unwrap(), short),
    ] {
        let id = format!("msg_{}", within.as_millis());
        let other = file.lock().await;
        assert_refused(&inbox, &id, within).await;
        assert_eq!(inbox.entries().webhook_id(&id).count().await.unwrap(), 0);
        unlock(other).await;
        until_stored(&inbox, &id).await;
        assert_eq!(inbox.entries().webhook_id(&id).count().await.unwrap(), 1);
    }
}

/// Those that come while the first wait are a group. They wait no longer for that.
#[tokio::test(flavor = "multi_thread")]
async fn many_events() {
    let file = File::new();
    let inbox = file.open().await.unwrap();
    let other = file.lock().await;
    let mut together = JoinSet::new();
    for number in 0..64 {
        let inbox = inbox.clone();
        together.spawn(async move {
            assert_refused(&inbox, &format!("msg_{number}"), DEFAULT).await;
        });
    }
    let mut refused = 0;
    while let Some(answer) = together.join_next().await {
        answer.unwrap();
        refused += 1;
    }
    assert_eq!(refused, 64);
    unlock(other).await;
    for number in 0..64 {
        until_stored(&inbox, &format!("msg_{number}")).await;
    }
    assert_eq!(inbox.entries().count().await.unwrap(), 64);
}

/// A lock that ends soon is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_transaction_is_waited_for() {
    let file = File::new();
    let inbox = file.open().await.unwrap();
    let other = file.lock().await;
    let mut deliveries = JoinSet::new();
    for number in 0..8 {
        let inbox = inbox.clone();
        deliveries.spawn(async move { deliver(&inbox, &format!("msg_{number}"), BATCH).await.0 });
    }
    sleep(Duration::from_millis(300)).await;
    unlock(other).await;
    while let Some(status) = deliveries.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!(inbox.entries().count().await.unwrap(), 8);
}

/// A run that ends meanwhile is written down later, and the event runs once.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_worker_runs() {
    let file = File::new();
    let inbox = file.open().await.unwrap();
    let worker = Watched::start(&inbox, |worker| worker);
    until_stored(&inbox, "held").await;
    worker.until_begun("held").await;
    let other = file.lock().await;
    worker.let_end(1);
    let clock = SystemClock;
    let locked = clock.monotonic();
    while clock.monotonic() - locked < DEFAULT {
        assert_refused(&inbox, "during", DEFAULT).await;
    }
    assert_eq!(inbox.depth().await.unwrap().running, 1, "reading passes");
    worker.assert_running();
    unlock(other).await;
    until_stored(&inbox, "during").await;
    timeout(MARGIN * 10, until(&inbox, is_empty)).await.unwrap();
    assert_eq!(worker.seen.all(), ["held", "during"]);
    assert_eq!(inbox.entries().state(State::Done).count().await.unwrap(), 2);
    worker.stop().await;
}
