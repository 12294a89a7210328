use std::error::Error;
use std::path::PathBuf;

use gemini_webhooks::rotation::SecretFile;
use gemini_webhooks::{EndpointToken, Keyring, WebhookReceiver};

async fn receiver(file: PathBuf) -> Result<WebhookReceiver, Box<dyn Error>> {
    let file = SecretFile::new(file);
    let tokens = Keyring::<EndpointToken>::follow(file).await?;
    Ok(WebhookReceiver::builder()
        .google_keys()
        .endpoint_tokens(tokens)
        .build()?)
}
