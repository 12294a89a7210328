use std::time::Duration;

use gemini_webhooks::client::{
    ClientError, WebhookService, WebhookState, WebhookUpdate,
};

/// Makes Google send an event to the webhook now.
async fn check(service: &WebhookService, id: &str) -> Result<(), ClientError> {
    service.ping(id).await
}

/// Runs until it is aborted.
async fn keep_enabled(service: WebhookService, id: String) {
    let mut timer = tokio::time::interval(Duration::from_secs(600));
    loop {
        timer.tick().await;
        match enable_again(&service, &id).await {
            Ok(false) => {}
            Ok(true) => println!("webhook {id} was off: it is on again"),
            Err(error) => eprintln!("webhook {id}: {error}"),
        }
    }
}

/// Returns `false` if Google did not switch it off.
async fn enable_again(
    service: &WebhookService,
    id: &str,
) -> Result<bool, ClientError> {
    let webhook = service.get(id).await?;
    let off = WebhookState::DisabledDueToFailedDeliveries;
    if webhook.state() != Some(&off) {
        return Ok(false);
    }
    let on = WebhookUpdate::new().state(WebhookState::Enabled);
    service.update(id, &on).await?;
    Ok(true)
}
