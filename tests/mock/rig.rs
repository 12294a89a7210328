//! A client without manners, and an app that receives.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use gemini_webhooks::testing::ManualClock;
use gemini_webhooks::testing::google::{API_KEY, MockGoogle};
use gemini_webhooks::{GeminiEvent, VerifyLayer, WebhookReceiver, WebhookReceiverBuilder};
use reqwest::Method;
use serde_json::Value;
use tokio::net::TcpListener;

pub(crate) struct Api {
    http: reqwest::Client,
    base: String,
    key: &'static str,
}

impl Api {
    pub(crate) fn of(google: &MockGoogle) -> Self {
        Self::with_key(google, API_KEY)
    }

    pub(crate) fn with_key(google: &MockGoogle, key: &'static str) -> Self {
        Self {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            base: google.base_url(),
            key,
        }
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        target: &str,
        body: &str,
    ) -> reqwest::Result<reqwest::Response> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.http
            .request(method, format!("{}{target}", self.base))
            .header("x-goog-api-key", self.key)
            .body(body.to_owned())
            .send()
            .await
    }

    /// The status and the JSON of the answer.
    pub(crate) async fn call(&self, method: &str, target: &str, body: &str) -> (u16, Value) {
        let response = self.send(method, target, body).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.bytes().await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    /// The JSON of an answer that is a success.
    pub(crate) async fn ok(&self, method: &str, target: &str, body: &str) -> Value {
        let (status, json) = self.call(method, target, body).await;
        assert_eq!(status, 200, "{method} {target}: {json}");
        json
    }

    pub(crate) async fn webhook(&self, uri: &str, events: &[&str]) -> Value {
        let body = serde_json::json!({"uri": uri, "subscribed_events": events});
        self.ok("POST", "/v1/webhooks", &body.to_string()).await
    }
}

/// What is in a member that is a string.
pub(crate) fn text<'j>(json: &'j Value, name: &str) -> &'j str {
    json[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} of {json}"))
}

/// An app on a port of this machine, with one receiver.
pub(crate) struct App {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    handled: Mutex<Vec<GeminiEvent>>,
    answer: Mutex<StatusCode>,
}

impl App {
    pub(crate) async fn start(
        clock: &ManualClock,
        trust: impl FnOnce(WebhookReceiverBuilder) -> WebhookReceiverBuilder,
    ) -> Self {
        let shared = Arc::new(Shared {
            handled: Mutex::default(),
            answer: Mutex::new(StatusCode::OK),
        });
        let receiver = trust(WebhookReceiver::builder().clock(clock.clone()));
        let layer = VerifyLayer::new(receiver.build().unwrap());
        let app = Router::new()
            .route("/gemini-callback", post(on_event).route_layer(layer))
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/gemini-callback", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, shared }
    }

    /// The types of the events that the handler was called with.
    pub(crate) fn handled(&self) -> Vec<String> {
        let handled = self.shared.handled.lock().unwrap();
        let types = handled.iter();
        types
            .map(|event| event.type_name().unwrap().to_owned())
            .collect()
    }

    pub(crate) fn last(&self) -> GeminiEvent {
        self.shared.handled.lock().unwrap().last().unwrap().clone()
    }

    pub(crate) fn answer_with(&self, status: StatusCode) {
        *self.shared.answer.lock().unwrap() = status;
    }
}

async fn on_event(State(shared): State<Arc<Shared>>, event: GeminiEvent) -> StatusCode {
    shared.handled.lock().unwrap().push(event);
    *shared.answer.lock().unwrap()
}
