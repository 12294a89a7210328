use gemini_webhooks::client::{
    EnsuredSecret, SubscribedEvent, WebhookService, WebhookSpec,
};

async fn register(
    service: &WebhookService,
) -> Result<(), Box<dyn std::error::Error>> {
    let events = [
        SubscribedEvent::BatchSucceeded,
        SubscribedEvent::BatchFailed,
        SubscribedEvent::BatchExpired,
    ];
    let spec = WebhookSpec::new("https://example.com/gemini-callback", events)
        .name("batches");

    let ensured = service.ensure(&spec).await?;
    println!("{ensured}");
    // Otherwise the webhook existed: its secret is where you stored it then,
    // or lost (see below).
    if let EnsuredSecret::New(secret) = ensured.secret() {
        store(secret.expose())?;
    }
    Ok(())
}
