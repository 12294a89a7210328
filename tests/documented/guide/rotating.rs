use std::error::Error;
use std::time::{Duration, UNIX_EPOCH};

use gemini_webhooks::WebhookReceiver;

/// In `main`: `receiver(|name| std::env::var(name).ok())?`.
fn receiver(
    var: impl Fn(&str) -> Option<String>,
) -> Result<WebhookReceiver, Box<dyn Error>> {
    let new = var("WEBHOOK_SIGNING_SECRET")
        .ok_or("WEBHOOK_SIGNING_SECRET is not set")?;
    let mut builder = WebhookReceiver::builder().signing_secret(new);
    if let Some(old) = var("WEBHOOK_PREVIOUS_SECRET") {
        builder = match var("WEBHOOK_PREVIOUS_SECRET_END") {
            Some(end) => {
                // Seconds, as `date +%s` prints them.
                let end = Duration::from_secs(end.parse::<u32>()?.into());
                builder.signing_secret_until(old, UNIX_EPOCH + end)
            }
            None => builder.signing_secret(old),
        };
    }
    Ok(builder.build()?)
}
