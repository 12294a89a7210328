use gemini_webhooks_inbox::{Change, Database, Inbox, InboxError, State};

async fn operate<DB: Database>(inbox: &Inbox<DB>) -> Result<u64, InboxError> {
    let depth = inbox.depth().await?;
    println!("{} wait, the oldest for {:?}", depth.waiting, depth.oldest);

    let dead = inbox
        .entries()
        .state(State::Dead)
        .event_type("batch.succeeded")
        .limit(1_000);
    for entry in dead.clone().list().await? {
        println!(
            "{}: {:?}",
            entry.webhook_id(),
            entry.history().last().map(Change::why)
        );
    }
    dead.retry("the bucket can be read again").await
}
