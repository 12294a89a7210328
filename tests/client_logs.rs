//! What all libraries together log of a call, at the most talkative level.
#![cfg(all(feature = "client", feature = "testing-google", feature = "tracing"))]
#![allow(clippy::unwrap_used, reason = "a test fails loudly")]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use gemini_webhooks::EndpointToken;
use gemini_webhooks::client::{SubscribedEvent, WebhookConfig, WebhookService, WebhookSpec};
use gemini_webhooks::testing::google::{Call, Fault, MockGoogle};
use serde_json::json;
use tracing_subscriber::util::SubscriberInitExt as _;

const KEY: &str = "AIzaSyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The only test of this file: what takes the records of the `log` crate is one for the process.
#[tokio::test]
async fn no_secret_is_logged() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish()
        .init();

    let google = MockGoogle::builder().api_key(KEY).start().await.unwrap();
    let service = WebhookService::builder()
        .api_key(KEY)
        .base_url(google.base_url());
    let service = service
        .max_retries(0)
        .http(|client| client.connection_verbose(true))
        .build()
        .unwrap();
    let token = EndpointToken::generate().unwrap();
    let spec =
        WebhookSpec::new("https://app.example/x", SubscribedEvent::ALL).endpoint_token(&token);
    let (webhook, secret) = service.create(&spec).await.unwrap().into_parts();
    let rotated = service
        .rotate_signing_secret(webhook.id(), None)
        .await
        .unwrap();
    let ensured = service.ensure(&spec).await.unwrap();
    let config = WebhookConfig::new()
        .uri("https://app.example/y")
        .with_endpoint_token(&token);
    let request = json!({"model": "m", "input": "x"});
    let interaction = service
        .interactions()
        .create(request, Some(&config))
        .await
        .unwrap();
    google.fail(Call::WebhooksGet, 1, Fault::CloseBefore);
    let error = service.get(webhook.id()).await.unwrap_err();
    tracing::info!(
        ?service,
        ?spec,
        ?webhook,
        ?secret,
        ?rotated,
        ?ensured,
        ?config,
        ?interaction,
        ?error
    );

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // The libraries below had their say, and so had this test.
    assert!(
        log.contains("hyper_util") && log.contains("app.example"),
        "{log}"
    );
    let token = token.url("");
    let token = token.trim_start_matches("?token=");
    for secret in [KEY, secret.expose(), rotated.expose(), token] {
        assert!(!log.contains(secret), "{log}");
    }
}
