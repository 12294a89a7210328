use std::error::Error;
use std::time::Duration;

use gemini_webhooks::Keyring;
use gemini_webhooks::client::{RevocationBehavior, WebhookService};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// `keyring` is a clone of the one that the receiver was built with.
async fn rotate(
    service: &WebhookService,
    webhook: &str,
    keyring: &Keyring,
) -> Result<(), Box<dyn Error>> {
    let in_a_day = RevocationBehavior::AfterH24;
    let new = service.rotate_signing_secret(webhook, in_a_day).await?;
    store(new.expose())?;
    keyring.rotate(new.signing_secret()?, DAY);
    Ok(())
}
