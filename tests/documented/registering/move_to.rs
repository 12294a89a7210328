use gemini_webhooks::client::{ClientError, WebhookService, WebhookUpdate};

async fn move_to(
    service: &WebhookService,
    id: &str,
    uri: &str,
) -> Result<(), ClientError> {
    let update = WebhookUpdate::new().uri(uri);
    service.update(id, &update).await?;
    Ok(())
}
