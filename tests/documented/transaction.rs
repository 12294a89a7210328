//! The example that settles an event and does its work in one transaction.

use gemini_webhooks::adapter::{Finished, Received};
use gemini_webhooks::{DeliveryHeaders, WebhookReceiver};
use rusqlite::Connection as Db;

use crate::{EVENT, receiver, signed};

mod once {
    include!("guide/once_in_a_transaction.rs");

    pub(super) fn documented(
        db: &mut Connection,
        delivery: &Delivery,
        event: &GeminiEvent,
    ) -> rusqlite::Result<()> {
        handle(db, delivery, event)
    }
}

async fn received(receiver: &WebhookReceiver) -> Received {
    let lines = signed("msg_1", EVENT);
    let lines = lines.iter().map(|(name, value)| (*name, value));
    let headers = DeliveryHeaders::from_lines(lines);
    let mut intake = receiver.admit("/", &headers, None).unwrap();
    intake.push(EVENT.as_bytes()).unwrap();
    match intake.finish().await.unwrap() {
        Finished::Run(received) => received,
        Finished::Repeat => panic!("it is the first"),
    }
}

/// Each receiver stands for a process: the second one knows nothing of what the first has handled.
#[tokio::test]
async fn the_work_of_an_event_is_done_once() {
    let mut db = Db::open_in_memory().unwrap();
    db.execute_batch(
        "CREATE TABLE handled (scheme TEXT, claim_id TEXT, PRIMARY KEY (scheme, claim_id));
         CREATE TABLE jobs (id TEXT, completions INTEGER);
         INSERT INTO jobs VALUES ('batches/8kq2', 0);",
    )
    .unwrap();
    for _ in 0..3 {
        let Received {
            event, delivery, ..
        } = received(&receiver()).await;
        once::documented(&mut db, &delivery, &event).unwrap();
        let completions = db.query_row("SELECT completions FROM jobs", [], |row| row.get(0));
        assert_eq!(completions, Ok(1));
    }
}
