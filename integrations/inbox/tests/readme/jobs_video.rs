use std::error::Error;
use std::time::Duration;

use gemini_webhooks::client::{Job, WebhookConfig};
use gemini_webhooks::event::{JobId, JobKind};
use gemini_webhooks_inbox::{Database, Inbox};
use serde_json::Value;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// `send` is your own call of `…:predictLongRunning`, by the HTTP client that
/// you have. It returns the name of the operation.
async fn start_video<DB: Database>(
    inbox: &Inbox<DB>,
    mut body: Value,
    config: WebhookConfig,
    send: impl AsyncFnOnce(Value) -> Result<String, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let announced = inbox.announce(JobKind::Video, HOUR).await?;
    // The id of the announcement goes along in `user_metadata`.
    announced.put_into(config).put_into(Job::Video, &mut body)?;
    // If this fails, the video may run all the same: it stays announced.
    let operation = send(body).await?;
    let job = JobId::new(JobKind::Video, &operation).ok_or("no operation")?;
    inbox.started(&announced, &job).await?;
    Ok(())
}
