use std::time::Duration;

use gemini_webhooks::client::WebhookService;
use gemini_webhooks_inbox::{BackfillError, Database, Inbox};

const DAYS: Duration = Duration::from_secs(3 * 24 * 60 * 60);

async fn backfill<DB: Database>(
    inbox: &Inbox<DB>,
    service: &WebhookService,
) -> Result<u64, BackfillError> {
    let backfill = inbox.backfill(service).ended_within(DAYS);
    let missing = backfill.dry_run().await?;
    println!("{} of {} are missing", missing.found, missing.listed);
    Ok(backfill.run().await?.found)
}
