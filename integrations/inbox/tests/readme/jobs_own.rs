use std::error::Error;
use std::time::Duration;

use gemini_webhooks::client::WebhookConfig;
use gemini_webhooks::event::{JobId, JobKind};
use gemini_webhooks_inbox::{Database, Inbox};
use serde_json::Value;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// `send` is your own call of `…:batchGenerateContent`, `/interactions` or
/// `…:predictLongRunning`, by the HTTP client that you have. It returns the
/// name of the job.
async fn start_own<DB: Database>(
    inbox: &Inbox<DB>,
    kind: JobKind,
    mut body: Value,
    config: &WebhookConfig,
    send: impl AsyncFnOnce(Value) -> Result<String, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let announced = inbox.announce(kind, DAY).await?;
    // The `webhook_config`, and the id of the announcement.
    announced.put_into(Some(config), &mut body)?;
    // If this fails, the job may run all the same: it stays announced. If it
    // certainly does not run, call `not_started`.
    let name = send(body).await?;
    let job = JobId::new(kind, &name).ok_or("no name of a job")?;
    inbox.started(&announced, &job).await?;
    Ok(())
}
