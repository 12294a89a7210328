use gemini_webhooks::client::{ClientError, Ensured, SubscribedEvent};
use gemini_webhooks::client::{WebhookService, WebhookSpec};

async fn register(service: &WebhookService) -> Result<Ensured, ClientError> {
    let uri = "https://example.com/gemini-callback";
    // Creates the webhook, or changes what differs. If it was created,
    // `secret()` is `New`: store it.
    let spec = WebhookSpec::new(uri, SubscribedEvent::ALL);
    service.ensure(&spec).await
}
