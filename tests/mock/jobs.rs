//! Jobs: the states they go through, and the events that come of it.

use gemini_webhooks::testing::google::{BatchOutcome, InteractionStatus, MockGoogle, VideoOutcome};
use serde_json::{Value, json};

use crate::rig::{Api, text};

/// The type and the data of the last event, if one is sent to a port where nobody listens.
fn last(google: &MockGoogle) -> Option<Value> {
    let sent = google.deliveries().pop()?;
    assert_eq!(sent.attempts.len(), 1);
    serde_json::from_slice(&sent.body).unwrap()
}

const NOBODY: &str = "http://127.0.0.1:9/";

#[tokio::test]
async fn batches() {
    use BatchOutcome::{Cancelled, Expired, Failed, Succeeded};
    let google = MockGoogle::start().await.unwrap();
    let api = Api::of(&google);
    let create = async |input: Value| {
        let config = json!({"uris": [NOBODY]});
        let body = json!({"batch": {"inputConfig": input, "webhookConfig": config}});
        let target = "/v1/models/gemini-3:batchGenerateContent";
        let batch = api.ok("POST", target, &body.to_string()).await;
        text(&batch, "name").to_owned()
    };
    for (outcome, state, event) in [
        (Succeeded, "BATCH_STATE_SUCCEEDED", "batch.succeeded"),
        (Failed, "BATCH_STATE_FAILED", "batch.failed"),
        (Expired, "BATCH_STATE_EXPIRED", "batch.expired"),
        (Cancelled, "BATCH_STATE_CANCELLED", "batch.cancelled"),
    ] {
        let name = create(json!({"fileName": "files/1"})).await;
        let target = format!("/v1/{name}");
        google.begin_batch(&name).unwrap();
        let running = api.ok("GET", &target, "").await;
        assert_eq!(running["metadata"]["state"], "BATCH_STATE_RUNNING");
        assert_eq!(running.get("done"), None);

        google.finish_batch(&name, outcome).await.unwrap();
        let done = api.ok("GET", &target, "").await;
        assert_eq!(done["metadata"]["state"], state);
        assert_eq!(done["done"], true);
        assert!(done["metadata"]["endTime"].is_string());
        let has_error = matches!(outcome, Failed | Cancelled);
        assert_eq!(done.get("error").is_some(), has_error, "{done}");
        let event_sent = last(&google).unwrap();
        assert_eq!(event_sent["type"], event);
        assert_eq!(event_sent["data"]["id"], *name);
        assert_eq!(
            event_sent["data"].get("error_code").is_some(),
            outcome == Failed
        );
        assert_eq!(
            event_sent["data"].get("output_file_uri"),
            done["metadata"]["output"].get("responsesFile"),
        );

        let error = google.finish_batch(&name, outcome).await.unwrap_err();
        let id = name.strip_prefix("batches/").unwrap();
        assert_eq!(
            error.to_string(),
            format!("the batch {id} has ended; create another")
        );
    }
    // What came in the request is answered in the batch.
    let name = create(json!({"requests": {"requests": []}})).await;
    google.finish_batch(&name, Succeeded).await.unwrap();
    let done = api.ok("GET", &format!("/v1/{name}"), "").await;
    assert!(done["metadata"]["output"]["inlinedResponses"].is_object());
    assert_eq!(last(&google).unwrap()["data"].get("output_file_uri"), None);

    assert!(google.begin_batch("batches/0").is_err());
}

#[tokio::test]
async fn interactions() {
    use InteractionStatus::*;
    let google = MockGoogle::start().await.unwrap();
    let api = Api::of(&google);
    for (status, name, event) in [
        (Queued, "queued", None),
        (InProgress, "in_progress", None),
        (
            RequiresAction,
            "requires_action",
            Some("interaction.requires_action"),
        ),
        (RequiresContinuation, "requires_continuation", None),
        (Completed, "completed", Some("interaction.completed")),
        (Failed, "failed", Some("interaction.failed")),
        (Cancelled, "cancelled", Some("interaction.cancelled")),
        (Incomplete, "incomplete", None),
        (BudgetExceeded, "budget_exceeded", None),
        (Idle, "idle", None),
    ] {
        let config = json!({"uris": [NOBODY], "user_metadata": {"n": 1}});
        let body =
            json!({"model": "m", "input": "x", "background": true, "webhook_config": config});
        let created = api.ok("POST", "/v1/interactions", &body.to_string()).await;
        let id = text(&created, "id");
        let before = google.deliveries().len();
        google.set_interaction(id, status).await.unwrap();
        let now = api
            .ok("GET", &format!("/v1/interactions/{id}?stream=false"), "")
            .await;
        assert_eq!(now["status"], name);
        assert_eq!(now["webhook_config"], config);
        let sent = google.deliveries().len() - before;
        assert_eq!(sent, usize::from(event.is_some()), "{name}");
        if let Some(event) = event {
            let sent = last(&google).unwrap();
            assert_eq!(sent["type"], event);
            assert_eq!(sent["data"]["id"], id);
            assert_eq!(sent["user_metadata"], json!({"n": 1}));
        }
        let ends = matches!(
            status,
            Completed | Failed | Cancelled | Incomplete | BudgetExceeded
        );
        let again = google.set_interaction(id, Completed).await;
        assert_eq!(again.is_err(), ends, "{name}");
    }
    // Whoever waits for the answer needs no webhook.
    let waited = r#"{"model":"m","input":"x"}"#;
    let waited = api.ok("POST", "/v1/interactions", waited).await;
    assert_eq!(waited["status"], "completed");
}

#[tokio::test]
async fn triggers() {
    let google = MockGoogle::start().await.unwrap();
    let api = Api::of(&google);
    let body = json!({
        "interaction": {"agent": "a", "input": "x", "webhook_config": {"uris": [NOBODY]}},
        "schedule": "0 9 * * *", "time_zone": "UTC",
    });
    let trigger = api.ok("POST", "/v1/triggers", &body.to_string()).await;
    let ids = [(), ()].map(|()| google.fire_trigger(text(&trigger, "id")).unwrap());
    assert_ne!(ids[0], ids[1]);
    for id in ids {
        google
            .set_interaction(&id, InteractionStatus::Completed)
            .await
            .unwrap();
        let sent = last(&google).unwrap();
        assert_eq!(sent["data"]["id"], *id);
        let interaction = api.ok("GET", &format!("/v1/interactions/{id}"), "").await;
        assert_eq!(interaction["agent"], "a");
    }
    assert_eq!(
        google.fire_trigger("0").unwrap_err().to_string(),
        "there is no trigger 0; create it first, through the API"
    );
}

#[tokio::test]
async fn videos() {
    let google = MockGoogle::start().await.unwrap();
    let api = Api::of(&google);
    let config = json!({"uris": [NOBODY]});
    let body = json!({"instances": [{"prompt": "a cat"}], "webhookConfig": config}).to_string();
    let target = "/v1beta/models/veo:predictLongRunning";
    for (outcome, events) in [(VideoOutcome::Generated, 1), (VideoOutcome::Failed, 0)] {
        let before = google.deliveries().len();
        let created = api.ok("POST", target, &body).await;
        let name = text(&created, "name");
        let get = format!("/v1beta/{name}");
        assert_eq!(api.ok("GET", &get, "").await, json!({"name": name}));
        google.finish_video(name, outcome).await.unwrap();
        let done = api.ok("GET", &get, "").await;
        assert_eq!(done["done"], true);
        assert_eq!(done.get("error").is_some(), events == 0);
        assert_eq!(google.deliveries().len() - before, events);
        if events == 1 {
            let sent = last(&google).unwrap();
            let samples = &done["response"]["generateVideoResponse"]["generatedSamples"];
            assert_eq!(sent["data"]["output_file_uri"], samples[0]["video"]["uri"]);
        }
        assert!(google.finish_video(name, outcome).await.is_err());
    }
}

#[tokio::test]
async fn a_forgotten_job_is_gone() {
    let google = MockGoogle::start().await.unwrap();
    let api = Api::of(&google);
    let batch = async || {
        let body = json!({"batch": {"inputConfig": {"fileName": "files/1"}}}).to_string();
        let target = "/v1/models/gemini-3:batchGenerateContent";
        text(&api.ok("POST", target, &body).await, "name").to_owned()
    };
    let interaction = json!({"model": "m", "input": "x"}).to_string();
    let interaction = api.ok("POST", "/v1/interactions", &interaction).await;
    let video = json!({"instances": [{"prompt": "a cat"}]}).to_string();
    let target = "/v1beta/models/veo:predictLongRunning";
    let video = api.ok("POST", target, &video).await;
    let (first, second) = (batch().await, batch().await);
    let without_prefix = second.strip_prefix("batches/").unwrap();
    for (name, path) in [
        (first.as_str(), first.clone()),
        (without_prefix, second.clone()),
        (
            text(&interaction, "id"),
            format!("interactions/{}", text(&interaction, "id")),
        ),
        (text(&video, "name"), text(&video, "name").to_owned()),
    ] {
        let target = format!("/v1/{path}");
        let answer = api.ok("GET", &target, "").await;
        assert_eq!(google.job(name), Some(answer));
        google.forget_job(name).unwrap();
        assert_eq!(google.job(name), None);
        let (status, error) = api.call("GET", &target, "").await;
        assert_eq!(
            (status, &error["error"]["status"]),
            (404, &json!("NOT_FOUND"))
        );
        let error = google.forget_job(name).unwrap_err();
        let expected = format!("there is no job {name}; create it first, through the API");
        assert_eq!(error.to_string(), expected);
    }
    assert_eq!(api.ok("GET", "/v1/batches", "").await, json!({}));
}
