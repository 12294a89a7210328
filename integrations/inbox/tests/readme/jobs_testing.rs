use std::time::Duration;

use gemini_webhooks::client::{WebhookConfig, WebhookService};
use gemini_webhooks::testing::google::{
    API_KEY, BatchOutcome, DeliveryFault, MockGoogle,
};
use gemini_webhooks_inbox::Inbox;
use serde_json::json;

#[tokio::test]
async fn a_lost_event_is_found() -> Result<(), Box<dyn std::error::Error>> {
    let google = MockGoogle::start().await?;
    let service = WebhookService::builder()
        .base_url(google.base_url())
        .api_key(API_KEY)
        .build()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("webhooks.db");
    let inbox = Inbox::sqlite(file.to_str().ok_or("no text")?).await?;

    let config = WebhookConfig::new().uri("https://example.com/");
    let request = json!({"batch": {"inputConfig": {"fileName": "files/1"}}});
    let batches = service.batches();
    // Its time is over at once.
    let within = Duration::ZERO;
    let batch = inbox
        .start_batch(&batches, "gemini-3", request, Some(&config), within)
        .await?;
    google.disturb(1, DeliveryFault::Lose);
    google
        .finish_batch(batch.name(), BatchOutcome::Succeeded)
        .await?;

    // As it does each ten seconds when it runs.
    let pass = inbox.watch(service).pass().await?;
    assert_eq!((pass.asked, pass.found), (1, 1));
    assert_eq!(inbox.depth().await?.waiting, 1);
    Ok(())
}
