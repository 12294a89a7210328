use gemini_webhooks::client::{Webhook, WebhookService};
use gemini_webhooks_inbox::{Database, Inbox, Watcher};

/// `id` is that of the registered webhook, as `ensure` returns it.
fn watcher<DB: Database>(
    inbox: &Inbox<DB>,
    service: WebhookService,
    id: &str,
) -> Watcher<DB> {
    inbox
        .watch(service)
        .webhook(id)
        .on_switched_off(async |webhook: Webhook| {
            eprintln!("Google has switched {} off", webhook.id());
        })
        .enable_again_if(async |_: Webhook| Ok(is_up().await?))
}

/// Your check that the cause is mended, such as a request to your health
/// route from outside.
async fn is_up() -> Result<bool, std::io::Error> {
    Ok(true)
}
