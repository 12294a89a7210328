use std::time::Duration;

use gemini_webhooks::client::{ClientError, WebhookService};

/// Makes Google send an event to the webhook now.
async fn check(service: &WebhookService, id: &str) -> Result<(), ClientError> {
    service.ping(id).await
}

/// `register` is the function with `ensure`, above.
async fn keep_enabled(service: WebhookService) {
    let mut timer = tokio::time::interval(Duration::from_secs(600));
    loop {
        timer.tick().await;
        if let Err(error) = register(&service).await {
            eprintln!("{error}");
        }
    }
}
