use std::time::{Duration, SystemTime};

use gemini_webhooks::Keyring;
use gemini_webhooks::client::{RevocationBehavior, WebhookService};

/// Rotates the secret of the webhook, and returns what the receiver should
/// accept from now on.
async fn rotate(
    service: &WebhookService,
    id: &str,
    old: &str,
) -> Result<Keyring, Box<dyn std::error::Error>> {
    let new = service
        .rotate_signing_secret(id, RevocationBehavior::AfterH24)
        .await?;
    store(new.expose())?;
    let end = SystemTime::now() + Duration::from_secs(24 * 60 * 60);
    Ok(Keyring::new(new.signing_secret()?).add_until(old.parse()?, end))
}
