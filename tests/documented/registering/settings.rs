use std::time::Duration;

use gemini_webhooks::ConfigError;
use gemini_webhooks::client::{WebhookService, reqwest};

fn service(
    key: &str,
    proxy: reqwest::Proxy,
) -> Result<WebhookService, ConfigError> {
    WebhookService::builder()
        .api_key(key)
        .api_version("v1beta")
        .deadline(Duration::from_secs(20))
        .http(|client| client.proxy(proxy).timeout(Duration::from_secs(5)))
        .build()
}
