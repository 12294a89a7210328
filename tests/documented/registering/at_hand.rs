use gemini_webhooks::client::{
    EnsuredSecret, RevocationBehavior, SubscribedEvent, WebhookService,
    WebhookSpec,
};

/// Returns the secret to use: `stored`, or a new one if `stored` is not the
/// webhook's.
async fn secret(
    service: &WebhookService,
    stored: &str,
) -> Result<String, Box<dyn std::error::Error>> {
    let spec = WebhookSpec::new(
        "https://example.com/gemini-callback",
        SubscribedEvent::ALL,
    )
    .secret_at_hand(stored)
    .rotate_if_not_at_hand(RevocationBehavior::AfterH24);
    match service.ensure(&spec).await?.secret() {
        EnsuredSecret::New(secret) => Ok(secret.expose().to_owned()),
        EnsuredSecret::AtHand => Ok(stored.to_owned()),
        other => Err(format!("no secret: {other:?}").into()),
    }
}
