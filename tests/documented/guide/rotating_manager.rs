use std::fmt;

use gemini_webhooks::client::reqwest::Client;
use gemini_webhooks::rotation::{SecretFuture, SecretSet, SecretSource};
use serde_json::Value;

/// The key `secrets` of a secret in Vault or OpenBao (KV version 2): a text
/// with one signing secret a line.
struct Vault {
    client: Client,
    /// Like `https://vault.example.com/v1/secret/data/gemini-webhook`.
    url: String,
    token: String,
}

impl SecretSource for Vault {
    fn fetch(&self) -> SecretFuture<'_> {
        Box::pin(async {
            let request = self.client.get(&self.url);
            let request = request.header("X-Vault-Token", &self.token);
            let answer = request.send().await?.error_for_status()?;
            let answer: Value = serde_json::from_slice(&answer.bytes().await?)?;
            let secrets = answer["data"]["data"]["secrets"].as_str();
            Ok(SecretSet::from_lines(secrets.ok_or("no key `secrets`")?))
        })
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault at {}", self.url) // without the token
    }
}
