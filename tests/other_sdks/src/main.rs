//! Jobs that SDKs of others start, with our `webhook_config` in them: the code of
//! `docs/registering-a-webhook.md`, against the mock of Google, whose deliveries must be accepted.

use std::sync::{Arc, Mutex};

use axum::{Router, http::StatusCode, routing::post};
use gemini_webhooks::client::WebhookConfig;
use gemini_webhooks::testing::google::{API_KEY, InteractionStatus, MockGoogle};
use gemini_webhooks::{EndpointToken, GeminiEvent, VerifyLayer, WebhookReceiver};
use serde_json::Value;

type Error = Box<dyn std::error::Error>;

mod genai_rs_job {
    include!("../../documented/registering/genai_rs.rs");

    pub(super) async fn run(
        base_url: &str,
        config: &WebhookConfig,
    ) -> Result<String, super::Error> {
        let client = Client::builder(super::API_KEY.to_owned())
            .with_base_url(base_url)
            .build()?;
        with_genai_rs(&client, config)
            .await?
            .ok_or("it has no id".into())
    }
}

mod gemini_rust_job {
    include!("../../documented/registering/gemini_rust.rs");

    pub(super) async fn run(
        base_url: &str,
        config: &WebhookConfig,
    ) -> Result<String, super::Error> {
        let base_url = format!("{base_url}/v1beta/").parse()?;
        let client = Gemini::with_base_url(super::API_KEY, base_url)?;
        with_gemini_rust(&client, config)
            .await?
            .ok_or("it has no id".into())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let google = MockGoogle::start().await?;
    let token = EndpointToken::generate()?;
    let receiver = WebhookReceiver::builder()
        .jwks_url(google.jwks_url())
        .endpoint_token(token.clone())
        .build()?;
    let events: Arc<Mutex<Vec<GeminiEvent>>> = Arc::default();
    let handler = {
        let events = Arc::clone(&events);
        move |event: GeminiEvent| async move {
            events.lock().unwrap().push(event);
            StatusCode::OK
        }
    };
    let app = Router::new().route(
        "/hook",
        post(handler).layer(VerifyLayer::new(receiver)),
    );
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}/hook", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });

    for (n, sdk) in ["genai-rs", "gemini-rust"].into_iter().enumerate() {
        let config = WebhookConfig::new()
            .uri(&url)
            .with_endpoint_token(&token)
            .user_metadata("sdk", sdk);
        let started = match sdk {
            "genai-rs" => genai_rs_job::run(&google.base_url(), &config).await,
            _ => gemini_rust_job::run(&google.base_url(), &config).await,
        };
        let request = google.requests().pop().ok_or("nothing was sent")?;
        let sent: Value = serde_json::from_slice(&request.body)?;
        assert_eq!(
            sent["webhook_config"],
            serde_json::to_value(&config)?,
            "{sdk}"
        );
        let id = started?;
        println!("{sdk}: sent {} with our webhook_config", request.path);

        google
            .set_interaction(&id, InteractionStatus::Completed)
            .await?;
        let events = events.lock().unwrap().clone();
        assert_eq!(events.len(), n + 1, "{sdk}");
        let metadata: Option<Value> = events[n].user_metadata_as()?;
        assert_eq!(metadata, Some(serde_json::json!({ "sdk": sdk })));
        println!("{sdk}: its event was accepted");
    }
    Ok(())
}
