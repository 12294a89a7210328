use gemini_webhooks::client::{ClientError, Ensured, SubscribedEvent};
use gemini_webhooks::client::{WebhookService, WebhookSpec};

async fn register(service: &WebhookService) -> Result<Ensured, ClientError> {
    let uri = "https://example.com/gemini-callback";
    // Creates the webhook, or changes what differs. What this returns has a
    // new secret in `secret()`.
    let spec = WebhookSpec::new(uri, SubscribedEvent::ALL);
    service.ensure(&spec).await
}
