//! The same calls as Google's own SDK makes, and the same requests.
//!
//! `tests/vectors/record_sdk.py` recorded them. A call that is in the recording and not here fails the
//! test.
#![cfg(feature = "client")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Uri};
use gemini_webhooks::client::{
    ClientError, Job, RevocationBehavior, WebhookConfig, WebhookService, WebhookSpec, WebhookState,
    WebhookUpdate,
};
use serde::Deserialize;
use serde_json::{Value, json};

const KEY: &str = "fake-key-123";
const HOOK: &str = "https://my-api.com/gemini-callback";
const MODEL: &str = "gemini-3-flash-preview";

#[derive(Deserialize)]
struct Recording {
    requests: Vec<Request>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Request {
    #[serde(default)]
    call: String,
    method: String,
    target: String,
    body: Option<Value>,
}

fn recording() -> Vec<Request> {
    let recording: Recording =
        serde_json::from_str(include_str!("vectors/sdk-requests.json")).unwrap();
    recording.requests
}

/// A server that keeps each request, and answers what every call can read.
async fn recorder() -> (String, Arc<Mutex<Vec<Request>>>) {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let app = Router::new().fallback({
        let requests = Arc::clone(&requests);
        move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| async move {
            assert_eq!(headers["x-goog-api-key"], KEY);
            requests.lock().unwrap().push(Request {
                call: String::new(),
                method: method.to_string(),
                target: uri.to_string(),
                body: (!body.is_empty()).then(|| serde_json::from_slice(&body).unwrap()),
            });
            json!({
                "id": "wh_123", "uri": HOOK, "name": "batches/b123",
                "new_signing_secret": "whsec_none", "secret": "whsec_none", "webhooks": [], "operations": [],
            })
            .to_string()
        }
    });
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, requests)
}

fn config() -> WebhookConfig {
    WebhookConfig::new()
        .uri("https://my-api.com/gemini-webhook-dynamic")
        .user_metadata("job_group", "nightly-eval")
        .user_metadata("priority", "high")
}

/// Our side of a recorded call. `false` if there is none.
async fn call(service: &WebhookService, name: &str) -> Result<bool, ClientError> {
    let (batches, interactions) = (service.batches(), service.interactions());
    let batch = |input: Value| json!({"batch": {"inputConfig": input, "displayName": "My Setup"}});
    match name {
        "webhooks.create" => {
            let spec = WebhookSpec::new(HOOK, ["batch.succeeded", "batch.failed"]);
            service
                .create(&spec.name("MyBatchWebhook"))
                .await
                .map(drop)?;
        }
        "webhooks.get" => drop(service.get("wh_123").await?),
        "webhooks.list" => drop(service.list().next().await.transpose()?),
        "webhooks.list(page)" => drop(service.list_page(Some(5), Some("tok/1=")).await?),
        "webhooks.list(raw token)" => {
            service
                .list_page(None, Some("\u{8}\u{12}a\n\u{1f}+/é~"))
                .await
                .map(drop)?;
        }
        "webhooks.update" => {
            let events = ["batch.succeeded", "batch.failed", "batch.expired"];
            let update = WebhookUpdate::new().subscribed_events(events);
            service.update("wh_123", &update).await.map(drop)?;
        }
        "webhooks.update(mask)" => {
            let update = WebhookUpdate::new()
                .uri(HOOK)
                .name("n2")
                .state(WebhookState::Disabled);
            service.update("wh_123", &update).await.map(drop)?;
        }
        "webhooks.rotate_signing_secret(lower)" => {
            let behavior = RevocationBehavior::AfterH24;
            service
                .rotate_signing_secret("wh_123", behavior)
                .await
                .map(drop)?;
        }
        "webhooks.rotate_signing_secret(immediately)" => {
            let behavior = RevocationBehavior::Immediately;
            service
                .rotate_signing_secret("wh_123", behavior)
                .await
                .map(drop)?;
        }
        "webhooks.rotate_signing_secret(none)" => {
            service
                .rotate_signing_secret("wh_123", None)
                .await
                .map(drop)?;
        }
        "webhooks.ping" => service.ping("wh_123").await?,
        "webhooks.delete" => service.delete("wh_123").await?,
        "batches.create(file src)" => {
            let request = batch(json!({"fileName": "files/uploaded_file_id"}));
            batches
                .create(MODEL, request, Some(&config()))
                .await
                .map(drop)?;
        }
        "batches.create(inline src)" => {
            let one =
                json!({"request": {"contents": [{"parts": [{"text": "hi"}], "role": "user"}]}});
            let request = batch(json!({"requests": {"requests": [one]}}));
            batches
                .create(MODEL, request, Some(&config()))
                .await
                .map(drop)?;
        }
        "interactions.create(model, background)" => {
            let request = json!({"model": MODEL, "input": "hello"});
            interactions
                .create(request, Some(&config()))
                .await
                .map(drop)?;
        }
        "interactions.create(agent)" => {
            let agent = "deep-research-pro-preview-12-2025";
            let request = json!({"agent": agent, "input": "hello", "background": true});
            interactions
                .create(request, Some(&config()))
                .await
                .map(drop)?;
        }
        "batches.get" => drop(batches.get("batches/b123").await?),
        "batches.list" => drop(batches.list().next().await.transpose()?),
        "videos.get" => drop(
            service
                .videos()
                .get("models/veo-3.1/operations/op123")
                .await?,
        ),
        "interactions.get" => drop(interactions.get("v1_abc").await?),
        _ => return Ok(false),
    }
    Ok(true)
}

/// The names of a mask, and the target without it.
fn mask(target: &str) -> (String, Option<BTreeSet<String>>) {
    let Some((path, mask)) = target.split_once("?update_mask=") else {
        return (target.to_owned(), None);
    };
    let names = mask.split("%2C").map(str::to_owned).collect();
    (path.to_owned(), Some(names))
}

#[tokio::test]
async fn every_recorded_call_is_made_in_the_same_way() {
    let (url, requests) = recorder().await;
    let service = WebhookService::builder()
        .api_key(KEY)
        .base_url(url)
        .build()
        .unwrap();
    let mut compared = 0;
    for mut recorded in recording() {
        let name = std::mem::take(&mut recorded.call);
        let known = call(&service, &name).await.unwrap();
        let sent: Vec<Request> = requests.lock().unwrap().drain(..).collect();
        if !known {
            // We start no triggers; the webhook_config in one is compared below.
            assert!(name.starts_with("triggers."), "{name} is not called here");
            continue;
        }
        let [mut sent] = <[Request; 1]>::try_from(sent).unwrap();
        if name.starts_with("webhooks.update") {
            // The SDK leaves the mask to its caller. Ours always lists what is in the body.
            let (path, names) = mask(&sent.target);
            let (recorded_path, recorded_names) = mask(&recorded.target);
            let set = sent.body.as_ref().unwrap().as_object().unwrap();
            let set: BTreeSet<String> = set.keys().cloned().collect();
            assert_eq!(names.as_ref(), Some(&set), "{name}");
            assert!(recorded_names.is_none_or(|names| names == set), "{name}");
            (sent.target, recorded.target) = (path, recorded_path);
        }
        assert_eq!(sent, recorded, "{name}");
        compared += 1;
    }
    assert!(compared >= 20, "{compared}");
}

#[test]
fn a_trigger_carries_its_config_in_the_same_way() {
    let recorded = recording();
    let recorded = recorded
        .iter()
        .find(|request| request.call == "triggers.create");
    let recorded = recorded.unwrap().body.clone().unwrap();
    let mut body = recorded.clone();
    body["interaction"]
        .as_object_mut()
        .unwrap()
        .remove("webhook_config")
        .unwrap();
    let config = WebhookConfig::new()
        .uri("https://h.example/x")
        .user_metadata("a", "b");
    config.put_into(Job::Trigger, &mut body).unwrap();
    assert_eq!(body, recorded);
}
