use gemini_webhooks::Keyring;
use gemini_webhooks::client::{
    RevocationBehavior, RotationError, WebhookService,
};

/// The receiver was built with `.keyring(keyring.clone())`.
async fn rotate(
    service: &WebhookService,
    id: &str,
    keyring: &Keyring,
) -> Result<(), RotationError> {
    let old_ends = RevocationBehavior::AfterH24;
    service
        .rotate_into(id, old_ends, keyring, async |new| store(new.expose()))
        .await?;
    Ok(())
}
