use gemini_webhooks::client::{ClientError, Ensured, SubscribedEvent};
use gemini_webhooks::client::{WebhookService, WebhookSpec};

async fn register(service: &WebhookService) -> Result<Ensured, ClientError> {
    let uri = "https://example.com/gemini-callback";
    // Creates the webhook, or changes what differs. A secret that is made is
    // in `secret()` of what this returns.
    service
        .ensure(&WebhookSpec::new(uri, SubscribedEvent::ALL))
        .await
}
