use gemini_webhooks::client::{ClientError, Job, WebhookConfig};
use serde_json::Value;

/// `body` is what another SDK, or a request of your own, is about to send.
fn call_back(mut body: Value) -> Result<Value, ClientError> {
    let config =
        WebhookConfig::new().uri("https://example.com/gemini-webhook-dynamic");
    config.put_into(Job::Interaction, &mut body)?;
    Ok(body)
}
