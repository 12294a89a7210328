use gemini_webhooks::GeminiEvent;
use gemini_webhooks::event::BatchSucceeded;
use gemini_webhooks_inbox::{
    Database, Expectation, Inbox, Work, WorkError, Worker,
};
use serde_json::Value;

fn worker<DB: Database>(inbox: &Inbox<DB>) -> Worker<DB> {
    inbox.worker().on(on_batch).otherwise(on_other)
}

/// Does the same, whether a webhook has brought the event or not.
async fn on_batch<DB: Database>(
    batch: BatchSucceeded,
    work: Work<DB>,
) -> Result<(), WorkError> {
    let expected = work.expectation().await?;
    let metadata = expected.as_ref().map(Expectation::metadata);
    let order = metadata.and_then(|metadata| metadata.get("order"));
    println!("order {order:?} is in {:?}", batch.output_file_uri());
    if work.found() {
        println!("no webhook has told of it in time");
    }
    Ok(())
}

/// The types of our own have no payload: read their `data`.
async fn on_other<DB: Database>(
    event: GeminiEvent,
    _: Work<DB>,
) -> Result<(), WorkError> {
    let data: Option<Value> = event.data_as()?;
    match event.type_name() {
        Some("gemini-webhooks.interaction.budget_exceeded") => {
            println!("it needs a larger budget: {data:?}");
        }
        Some(other) => println!("{other}: {data:?}"),
        None => println!("an event without a type"),
    }
    Ok(())
}
