use gemini_webhooks::Keyring;
use gemini_webhooks::client::{RevocationBehavior, WebhookService};

/// Rotates the secret of the webhook. `keyring` is a clone of the one that
/// the receiver was built with, with `.keyring(…)`.
async fn rotate(
    service: &WebhookService,
    id: &str,
    keyring: &Keyring,
) -> Result<(), Box<dyn std::error::Error>> {
    let behavior = RevocationBehavior::AfterH24;
    let rotated = service
        .rotate_into(id, behavior, keyring, async |new| store(new.expose()))
        .await?;
    println!("{rotated}");
    Ok(())
}
