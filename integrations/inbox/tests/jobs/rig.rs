//! An app with an inbox, on a port of this machine, and a mock of Google that delivers to it.

use std::time::Duration;

use axum::Router;
use axum::routing::post;
use gemini_webhooks::client::{WebhookConfig, WebhookService};
use gemini_webhooks::testing::google::{API_KEY, BatchOutcome, DeliveryFault, MockGoogle};
use gemini_webhooks::{Clock as _, GeminiEvent, SystemClock, VerifyLayer, WebhookReceiver};
use gemini_webhooks_inbox::{Inbox, Watcher, Work};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use crate::app::{Seen, is_empty, until};
use crate::home::Home;

pub(crate) const LATER: Duration = Duration::from_secs(60 * 60);
pub(crate) const AT_ONCE: Duration = Duration::ZERO;

pub(crate) struct Rig<H: Home> {
    pub(crate) home: H,
    pub(crate) google: MockGoogle,
    pub(crate) service: WebhookService,
    pub(crate) inbox: Inbox<H::DB>,
    pub(crate) config: WebhookConfig,
    _app: AbortOnDropHandle<()>,
}

impl<H: Home> Rig<H> {
    /// The app takes dynamic deliveries for expected jobs only.
    pub(crate) async fn new(home: H) -> Self {
        Self::with(home, MockGoogle::start().await.unwrap()).await
    }

    pub(crate) async fn with(home: H, google: MockGoogle) -> Self {
        let inbox = home.open().await.unwrap();
        let receiver = WebhookReceiver::builder()
            .jwks_url(google.jwks_url())
            .accept_if(inbox.expects())
            .without_replay_protection()
            .build()
            .unwrap();
        let callback = post(inbox.handler()).route_layer(VerifyLayer::new(receiver));
        let app = Router::new().route("/dynamic", callback);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/dynamic", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let service = WebhookService::builder()
            .api_key(API_KEY)
            .base_url(google.base_url())
            .build()
            .unwrap();
        Self {
            home,
            google,
            service,
            inbox,
            config: WebhookConfig::new().uri(url),
            _app: AbortOnDropHandle::new(serving),
        }
    }

    pub(crate) fn watcher(&self) -> Watcher<H::DB> {
        self.inbox.watch(self.service.clone()).per_minute(10_000)
    }

    pub(crate) async fn start_batch(&self, within: Duration) -> String {
        let batches = self.service.batches();
        let config = Some(&self.config);
        let batch = self
            .inbox
            .start_batch(&batches, "gemini-3", batch_request(), config, within);
        batch.await.unwrap().name().to_owned()
    }

    /// A batch that has ended, whose time is over and whose event was lost.
    pub(crate) async fn lose_batch(&self) {
        let name = self.start_batch(AT_ONCE).await;
        self.google.disturb(1, DeliveryFault::Lose);
        let ended = self.google.finish_batch(&name, BatchOutcome::Succeeded);
        ended.await.unwrap();
    }

    pub(crate) async fn start_interaction(&self, within: Duration) -> String {
        let interactions = self.service.interactions();
        let config = Some(&self.config);
        let started =
            self.inbox
                .start_interaction(&interactions, interaction_request(), config, within);
        started.await.unwrap().id().to_owned()
    }

    /// A video, which the crate's client does not start. It was announced.
    pub(crate) async fn start_video(&self) -> String {
        let url = format!(
            "{}/v1beta/models/veo-3.1:predictLongRunning",
            self.google.base_url()
        );
        let started = reqwest::Client::new()
            .post(url)
            .header("x-goog-api-key", API_KEY)
            .body(json!({"instances": [{"prompt": "a cat"}]}).to_string());
        let answer = started.send().await.unwrap().bytes().await.unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        answer["name"].as_str().unwrap().to_owned()
    }

    /// As if so much time had gone by: what is to be asked later is due.
    pub(crate) async fn make_due(&self) {
        let statement = "UPDATE gemini_webhooks_inbox_jobs SET ask_at = 0";
        self.home.execute(statement).await;
    }

    /// The same for those whose time is over, or nearly.
    pub(crate) async fn make_due_if_over(&self) {
        let now = SystemClock.now().duration_since(std::time::UNIX_EPOCH);
        let soon = (now.unwrap() + Duration::from_secs(60)).as_millis();
        let statement =
            format!("UPDATE gemini_webhooks_inbox_jobs SET ask_at = 0 WHERE answer_by < {soon}");
        self.home.execute(&statement).await;
    }

    /// As if the time of all jobs had been over for so long.
    pub(crate) async fn make_overdue(&self, time: Duration) {
        let back = time.as_millis();
        let statement = format!(
            "UPDATE gemini_webhooks_inbox_jobs SET ask_at = 0, answer_by = answer_by - {back}"
        );
        self.home.execute(&statement).await;
    }

    /// Works off what is there, and returns what handlers saw: type, `found` or `told`, data.
    pub(crate) async fn work(&self) -> Vec<String> {
        let seen = Seen::default();
        let worker = self.inbox.worker().with_state(seen.clone()).otherwise(
            async |event: GeminiEvent, work: Work<_, Seen>| {
                let how = if work.found() { "found" } else { "told" };
                let data: Option<Value> = event.data_as()?;
                let data = data.unwrap_or_default();
                work.state().add(format!(
                    "{how} {} {data}",
                    event.type_name().unwrap_or("none")
                ));
                Ok(())
            },
        );
        let stop = tokio_util::sync::CancellationToken::new();
        let working = tokio::spawn(worker.run_until(stop.clone().cancelled_owned()));
        until(&self.inbox, is_empty).await;
        stop.cancel();
        working.await.unwrap().unwrap();
        seen.all()
    }

    /// Has a worker clean up, which it does when it starts, until this holds.
    pub(crate) async fn clean_up(&self, is_done: impl AsyncFn() -> bool) {
        for _ in 0..20 {
            let stop = tokio_util::sync::CancellationToken::new();
            let worker = self.inbox.worker().ignore_others();
            let working = tokio::spawn(worker.run_until(stop.clone().cancelled_owned()));
            tokio::time::sleep(Duration::from_millis(100)).await;
            stop.cancel();
            working.await.unwrap().unwrap();
            if is_done().await {
                return;
            }
        }
        panic!("the worker does not clean up");
    }

    /// How often Google was asked with this in the path.
    pub(crate) fn asked(&self, path: &str) -> usize {
        let requests = self.google.requests();
        let is_get = requests.iter().filter(|request| request.method == "GET");
        is_get.filter(|request| request.path.contains(path)).count()
    }
}

pub(crate) fn batch_request() -> Value {
    json!({"batch": {"displayName": "nightly", "inputConfig": {"fileName": "files/7"}}})
}

pub(crate) fn interaction_request() -> Value {
    json!({"model": "gemini-3", "input": "hello"})
}
