//! What the client makes of a job that it asks for, beside what the mock of Google delivers about the same job.
#![cfg(all(feature = "client", feature = "testing-google"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

use gemini_webhooks::GeminiEvent;
use gemini_webhooks::client::{Job, Outcome, WebhookConfig, WebhookService, reqwest};
use gemini_webhooks::event::OWN_TYPE_PREFIX;
use gemini_webhooks::testing::google::{
    API_KEY, BatchOutcome, Call, ErrorShape, Fault, InteractionStatus, MockGoogle, VideoOutcome,
};
use serde_json::{Value, json};

/// Nobody listens there: what the mock would deliver is looked at in the mock.
const NOBODY: &str = "http://127.0.0.1:9/";

struct Rig {
    google: MockGoogle,
    service: WebhookService,
    config: WebhookConfig,
}

impl Rig {
    async fn new() -> Self {
        let google = MockGoogle::start().await.unwrap();
        let builder = WebhookService::builder().api_key(API_KEY);
        let service = builder.base_url(google.base_url()).build().unwrap();
        let config = WebhookConfig::new().uri(NOBODY).user_metadata("order", 7);
        Self {
            google,
            service,
            config,
        }
    }

    async fn batch(&self, input: Value) -> String {
        let request = json!({"batch": {"displayName": "nightly", "inputConfig": input}});
        let batches = self.service.batches();
        let batch = batches.create("m", request, Some(&self.config));
        batch.await.unwrap().name().to_owned()
    }

    async fn interaction(&self) -> String {
        let request = json!({"model": "m", "input": "x"});
        let interactions = self.service.interactions();
        let interaction = interactions.create(request, Some(&self.config));
        interaction.await.unwrap().id().to_owned()
    }

    async fn video(&self) -> String {
        let mut request = json!({"instances": [{"prompt": "x"}]});
        self.config.put_into(Job::Video, &mut request).unwrap();
        let base = self.google.base_url();
        let url = format!("{base}/v1beta/models/veo:predictLongRunning");
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let sent = client.post(url).header("x-goog-api-key", API_KEY);
        let answer = sent.body(request.to_string()).send().await.unwrap();
        let video: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        video["name"].as_str().unwrap().to_owned()
    }

    /// What the mock has delivered about the one job that it was asked for since the last call.
    fn delivered(&self, before: usize) -> Option<Value> {
        let sent = self.google.deliveries();
        assert!(sent.len() <= before + 1);
        let sent = sent.get(before)?;
        Some(serde_json::from_slice(&sent.body).unwrap())
    }
}

/// How a job goes on, and the body of its event.
fn told(outcome: Outcome) -> (bool, Option<Value>) {
    let body = |event: GeminiEvent| serde_json::from_slice(event.raw()).unwrap();
    match outcome {
        Outcome::RequiresAction(event) => (false, Some(body(event))),
        Outcome::Ended(event) => (true, Some(body(event))),
        _ => (false, None),
    }
}

/// The body of an event of Google's, or `None` if the event is of a type of this crate's own.
fn of_googles(event: Value) -> Option<Value> {
    let type_name = event["type"].as_str().unwrap();
    (!type_name.starts_with(OWN_TYPE_PREFIX)).then_some(event)
}

#[tokio::test]
async fn the_end_of_a_batch_is_told_as_google_tells_it() {
    use BatchOutcome::{Cancelled, Expired, Failed, Succeeded};
    let rig = Rig::new().await;
    let file = json!({"fileName": "files/1"});
    let inline = json!({"requests": {"requests": []}});
    for (outcome, input) in [
        (Succeeded, &file),
        (Succeeded, &inline),
        (Failed, &file),
        (Expired, &file),
        (Cancelled, &file),
    ] {
        let name = rig.batch(input.clone()).await;
        let get = async || rig.service.batches().get(&name).await.unwrap();
        let before = rig.google.deliveries().len();
        let metadata = rig.config.metadata();
        assert_eq!(told(get().await.outcome(metadata)), (false, None));
        rig.google.begin_batch(&name).unwrap();
        assert_eq!(told(get().await.outcome(metadata)), (false, None));
        assert_eq!(get().await.ended_at(), None);

        rig.google.finish_batch(&name, outcome).await.unwrap();
        let batch = get().await;
        let (has_ended, event) = told(batch.outcome(metadata));
        assert!(has_ended, "{outcome:?}");
        let delivered = rig.delivered(before);
        assert_eq!(event, delivered, "{outcome:?}");
        assert_eq!(event.unwrap()["user_metadata"], json!({"order": 7}));
        assert_eq!(batch.display_name(), Some("nightly"));
        assert!(batch.created_at().unwrap() <= batch.ended_at().unwrap());
        assert_eq!(batch.user_metadata(), None, "the mock does not repeat it");
    }
}

#[tokio::test]
async fn the_end_of_an_interaction_is_told_as_google_tells_it() {
    use InteractionStatus::*;
    let rig = Rig::new().await;
    for (status, ends) in [
        (Queued, false),
        (InProgress, false),
        (RequiresAction, false),
        (RequiresContinuation, false),
        (Completed, true),
        (Failed, true),
        (Cancelled, true),
        (Incomplete, true),
        (BudgetExceeded, true),
        (Idle, false),
    ] {
        let id = rig.interaction().await;
        let before = rig.google.deliveries().len();
        rig.google.set_interaction(&id, status).await.unwrap();
        let interaction = rig.service.interactions().get(&id).await.unwrap();
        // The answer repeats the metadata.
        let (has_ended, event) = told(interaction.outcome(WebhookConfig::new().metadata()));
        assert_eq!(has_ended, ends, "{status:?}");
        assert_eq!(interaction.is_done(), ends, "{status:?}");
        assert_eq!(interaction.ended_at().is_some(), ends, "{status:?}");
        let own = matches!(status, Incomplete | BudgetExceeded);
        assert_eq!(event.is_some(), ends || status == RequiresAction);
        let told = event.and_then(of_googles);
        assert_eq!(told.is_none(), own || !(ends || status == RequiresAction));
        assert_eq!(told, rig.delivered(before), "{status:?}");
    }
}

#[tokio::test]
async fn the_end_of_a_video_is_told_as_google_tells_it() {
    let rig = Rig::new().await;
    for outcome in [VideoOutcome::Generated, VideoOutcome::Failed] {
        let name = rig.video().await;
        let get = async || rig.service.videos().get(&name).await.unwrap();
        let metadata = rig.config.metadata();
        assert_eq!(told(get().await.outcome(metadata)), (false, None));
        let before = rig.google.deliveries().len();
        rig.google.finish_video(&name, outcome).await.unwrap();
        let (has_ended, event) = told(get().await.outcome(metadata));
        assert!(has_ended, "{outcome:?}");
        let mut delivered = rig.delivered(before);
        if let Some(event) = &mut delivered {
            // The operation of a video has no times.
            assert!(event.as_object_mut().unwrap().remove("timestamp").is_some());
        }
        let event = event.unwrap();
        assert_eq!(event["data"]["id"], *name);
        let is_own = outcome == VideoOutcome::Failed;
        assert_eq!(delivered.is_none(), is_own);
        assert_eq!(of_googles(event), delivered, "{outcome:?}");
    }
}

#[tokio::test]
async fn a_job_that_is_gone_is_told_from_a_call_that_failed() {
    let rig = Rig::new().await;
    let once = rig.service.without_retries();
    let names = [
        rig.batch(json!({"fileName": "files/1"})).await,
        rig.interaction().await,
        rig.video().await,
    ];
    let ask = async || {
        let [batch, interaction, video] = &names;
        [
            once.batches().get(batch).await.map(|_| ()),
            once.interactions().get(interaction).await.map(|_| ()),
            once.videos().get(video).await.map(|_| ()),
        ]
    };
    let calls = [Call::BatchesGet, Call::InteractionsGet, Call::VideosGet];
    for fault in [
        Fault::Status(500),
        Fault::Status(429),
        Fault::Body(404, "<html>no route</html>".to_owned()),
        Fault::CloseBefore,
    ] {
        for call in calls {
            rig.google.fail(call, 1, fault.clone());
        }
        let before = rig.google.requests().len();
        for answer in ask().await {
            let error = answer.unwrap_err();
            assert!(!error.means_no_such_job(), "{fault:?}: {error}");
        }
        let asked = rig.google.requests().len() - before;
        assert_eq!(asked, 3, "each call is one request");
    }
    for name in &names {
        rig.google.forget_job(name).unwrap();
    }
    for shape in [ErrorShape::Status, ErrorShape::Code] {
        rig.google.set_error_shape(shape);
        for answer in ask().await {
            let error = answer.unwrap_err();
            assert_eq!(error.status(), Some(404), "{error}");
            assert!(error.means_no_such_job(), "{error}");
        }
    }
}
