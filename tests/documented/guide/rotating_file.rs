use std::error::Error;
use std::path::PathBuf;

use gemini_webhooks::rotation::SecretFile;
use gemini_webhooks::{Keyring, WebhookReceiver};

async fn receiver(file: PathBuf) -> Result<WebhookReceiver, Box<dyn Error>> {
    let keyring = Keyring::follow(SecretFile::new(file)).await?;
    Ok(WebhookReceiver::builder().keyring(keyring).build()?)
}
