use gemini_webhooks::client::{ClientErrorKind, WebhookService};

async fn remove(
    service: &WebhookService,
    id: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    match service.delete(id).await {
        Err(error) if error.kind() == ClientErrorKind::NotFound => Ok(()),
        deleted => Ok(deleted?),
    }
}
