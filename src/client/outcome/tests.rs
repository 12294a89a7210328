use std::time::{Duration, SystemTime};

use serde_json::json;

use super::*;
use crate::event::{JobId, JobKind};

/// A word for the outcome, and its event.
fn told(outcome: Outcome) -> (&'static str, Value) {
    let (word, event) = match outcome {
        Outcome::Running => return ("running", Value::Null),
        Outcome::RequiresAction(event) => ("requires action", event),
        Outcome::Ended(event) => ("ended", event),
    };
    assert_eq!(event.ended_job().is_some(), word == "ended", "{event:?}");
    assert!(event.job().is_some() && event.job_name().is_some());
    (word, serde_json::from_slice(event.raw()).unwrap())
}

fn object(value: Value) -> Object {
    serde_json::from_value(value).unwrap()
}

fn batch(json: Value) -> Batch {
    Batch::read("batches.get", json).unwrap()
}

fn interaction(json: Value) -> Interaction {
    Interaction::read("interactions.get", json).unwrap()
}

fn video(json: Value) -> Video {
    Video::read(json).unwrap()
}

#[test]
fn what_became_of_a_batch() {
    let file = json!({"responsesFile": "files/7"});
    let error = json!({"code": 13, "message": "no"});
    let failed = json!({"id": "batches/1", "error_code": 13, "error_message": "no"});
    let id = json!({"id": "batches/1"});
    for (name, state, rest, expected) in [
        ("pending", Some("BATCH_STATE_PENDING"), json!({}), None),
        (
            "running",
            Some("BATCH_STATE_RUNNING"),
            json!({"done": false}),
            None,
        ),
        ("a new state", Some("BATCH_STATE_PAUSED"), json!({}), None),
        ("no state", None, json!({}), None),
        ("odd", None, json!({"done": "yes"}), None),
        (
            "inline results",
            Some("BATCH_STATE_SUCCEEDED"),
            json!({"done": true}),
            Some(("batch.succeeded", id.clone())),
        ),
        (
            "before `done` says so",
            Some("BATCH_STATE_SUCCEEDED"),
            json!({"done": false, "error": error}),
            Some(("batch.succeeded", id.clone())),
        ),
        (
            "a file, as in the guide",
            Some("BATCH_STATE_SUCCEEDED"),
            json!({"done": true, "response": file}),
            Some((
                "batch.succeeded",
                json!({"id": "batches/1", "output_file_uri": "files/7"}),
            )),
        ),
        (
            "failed",
            Some("BATCH_STATE_FAILED"),
            json!({"done": true, "error": error}),
            Some(("batch.failed", failed.clone())),
        ),
        (
            "failed with a text",
            Some("BATCH_STATE_FAILED"),
            json!({"error": {"code": "INTERNAL", "message": null}}),
            Some((
                "batch.failed",
                json!({"id": "batches/1", "error_code": "INTERNAL"}),
            )),
        ),
        (
            "failed without a word",
            Some("BATCH_STATE_FAILED"),
            json!({"error": "no"}),
            Some(("batch.failed", id.clone())),
        ),
        (
            "expired",
            Some("BATCH_STATE_EXPIRED"),
            json!({}),
            Some(("batch.expired", id.clone())),
        ),
        (
            "cancelled",
            Some("BATCH_STATE_CANCELLED"),
            json!({"error": error}),
            Some(("batch.cancelled", id.clone())),
        ),
        (
            "done in a new state",
            Some("BATCH_STATE_PAUSED"),
            json!({"done": true, "error": error}),
            Some((
                "gemini-webhooks.batch.ended",
                json!({"id": "batches/1", "state": "BATCH_STATE_PAUSED", "error_code": 13, "error_message": "no"}),
            )),
        ),
        (
            "done, and still running",
            Some("BATCH_STATE_RUNNING"),
            json!({"done": true}),
            Some((
                "gemini-webhooks.batch.ended",
                json!({"id": "batches/1", "state": "BATCH_STATE_RUNNING"}),
            )),
        ),
        (
            "done without a state",
            None,
            json!({"done": true}),
            Some(("gemini-webhooks.batch.ended", id.clone())),
        ),
    ] {
        let mut json = object(json!({"name": "batches/1", "metadata": {"state": state}}));
        json.extend(object(rest));
        let batch = batch(json.into());
        let outcome = told(batch.outcome(&Object::new()));
        let expected = expected.map_or(("running", Value::Null), |(type_name, data)| {
            (
                "ended",
                json!({"type": type_name, "version": "v1", "data": data}),
            )
        });
        assert_eq!(outcome, expected, "{name}");
        assert_eq!(batch.is_done(), expected.0 == "ended", "{name}");
        assert_eq!(batch.job(), JobId::new(JobKind::Batch, "1"), "{name}");
    }
}

#[test]
fn what_became_of_an_interaction() {
    let errors = json!([{"code": "INTERNAL", "message": "no"}, {"code": "x"}]);
    let id = json!({"id": "v1_a"});
    let state = |state: &str| json!({"id": "v1_a", "state": state});
    for (status, rest, expected) in [
        ("queued", json!({}), None),
        ("in_progress", json!({}), None),
        ("requires_continuation", json!({}), None),
        ("idle", json!({}), None),
        ("pondering", json!({"errors": errors}), None),
        (
            "requires_action",
            json!({}),
            Some(("requires action", "interaction.requires_action", id.clone())),
        ),
        (
            "completed",
            json!({"errors": errors}),
            Some(("ended", "interaction.completed", id.clone())),
        ),
        (
            "failed",
            json!({"errors": errors}),
            Some((
                "ended",
                "interaction.failed",
                json!({"id": "v1_a", "error_code": "INTERNAL", "error_message": "no"}),
            )),
        ),
        (
            "failed",
            json!({"errors": []}),
            Some(("ended", "interaction.failed", id.clone())),
        ),
        (
            "cancelled",
            json!({}),
            Some(("ended", "interaction.cancelled", id.clone())),
        ),
        (
            "incomplete",
            json!({}),
            Some((
                "ended",
                "gemini-webhooks.interaction.incomplete",
                state("incomplete"),
            )),
        ),
        (
            "budget_exceeded",
            json!({"errors": [{"message": "no"}]}),
            Some((
                "ended",
                "gemini-webhooks.interaction.budget_exceeded",
                json!({"id": "v1_a", "state": "budget_exceeded", "error_message": "no"}),
            )),
        ),
    ] {
        let mut json = object(json!({"id": "v1_a", "status": status}));
        json.extend(object(rest));
        let interaction = interaction(json.into());
        let outcome = told(interaction.outcome(&Object::new()));
        let expected = expected.map_or(("running", Value::Null), |(word, type_name, data)| {
            (
                word,
                json!({"type": type_name, "version": "v1", "data": data}),
            )
        });
        assert_eq!(outcome, expected, "{status}");
        assert_eq!(interaction.is_done(), expected.0 == "ended", "{status}");
        let job = JobId::new(JobKind::Interaction, "v1_a");
        assert_eq!(interaction.job(), job, "{status}");
    }
    let silent = interaction(json!({"id": "v1_a"})).outcome(&Object::new());
    assert_eq!(told(silent), ("running", Value::Null));
}

#[test]
fn what_became_of_a_video() {
    const NAME: &str = "models/veo/operations/7";
    let samples = |samples: Value| json!({"done": true, "response": {"generateVideoResponse": {"generatedSamples": samples}}});
    let url = "https://generativelanguage.googleapis.com/v1beta/files/a-7:download?alt=media";
    for (name, rest, expected) in [
        ("running", json!({}), None),
        (
            "an error before its end",
            json!({"error": {"code": 13}}),
            None,
        ),
        (
            "a URL",
            samples(json!([{"video": {"uri": url}}, {"video": {"uri": "files/8"}}])),
            Some((
                "video.generated",
                json!({"id": NAME, "output_file_uri": url, "file_name": "files/a-7"}),
            )),
        ),
        (
            "the name of a file",
            samples(json!([{"video": {"uri": "files/8"}}])),
            Some((
                "video.generated",
                json!({"id": NAME, "output_file_uri": "files/8", "file_name": "files/8"}),
            )),
        ),
        (
            "elsewhere",
            samples(json!([{"video": {"uri": "gs://bucket/files/"}}])),
            Some((
                "video.generated",
                json!({"id": NAME, "output_file_uri": "gs://bucket/files/"}),
            )),
        ),
        (
            "kept back",
            samples(json!([])),
            Some(("video.generated", json!({"id": NAME}))),
        ),
        (
            "failed",
            json!({"done": true, "error": {"code": 13, "message": "no"}}),
            Some((
                "gemini-webhooks.video.failed",
                json!({"id": NAME, "error_code": 13, "error_message": "no"}),
            )),
        ),
    ] {
        let mut json = object(json!({"name": NAME}));
        json.extend(object(rest));
        let video = video(json.into());
        let outcome = told(video.outcome(&Object::new()));
        let expected = expected.map_or(("running", Value::Null), |(type_name, data)| {
            (
                "ended",
                json!({"type": type_name, "version": "v1", "data": data}),
            )
        });
        assert_eq!(outcome, expected, "{name}");
        assert_eq!(video.job(), JobId::new(JobKind::Video, NAME), "{name}");
    }
}

#[test]
fn times_are_those_of_the_service() {
    let (start, end) = ("2026-01-22T12:00:00Z", "2026-01-22T14:00:00.5+01:00");
    let at = |millis| Some(SystemTime::UNIX_EPOCH + Duration::from_millis(millis));
    let batch = batch(json!({"name": "batches/1", "metadata": {
        "state": "BATCH_STATE_EXPIRED", "displayName": "d", "createTime": start, "endTime": end,
    }}));
    assert_eq!(batch.created_at(), at(1_769_083_200_000));
    assert_eq!(batch.ended_at(), at(1_769_086_800_500));
    assert_eq!(batch.display_name(), Some("d"));
    assert_eq!(told(batch.outcome(&Object::new())).1["timestamp"], end);

    for (status, ended_at) in [
        ("completed", at(1_769_086_800_500)),
        ("requires_action", None),
        ("in_progress", None),
    ] {
        let json = json!({"id": "a", "status": status, "created": start, "updated": end});
        let interaction = interaction(json);
        assert_eq!(interaction.ended_at(), ended_at, "{status}");
        let event = told(interaction.outcome(&Object::new())).1;
        let told = event.get("timestamp").and_then(Value::as_str);
        assert_eq!(told, (status != "in_progress").then_some(end), "{status}");
    }
    let odd = json!({"id": "a", "status": "failed", "updated": "just now"});
    assert_eq!(interaction(odd.clone()).ended_at(), None);
    let event = told(interaction(odd).outcome(&Object::new())).1;
    assert_eq!(event["timestamp"], "just now");
}

#[test]
fn metadata_comes_back() {
    let given = object(json!({"a": 1, "b": 2}));
    let none = Object::new();
    let answered = json!({"b": 7, "c": 3});
    let merged = json!({"a": 1, "b": 2, "c": 3});
    for (name, config, given, expected) in [
        ("none", json!({}), &none, None),
        ("given", json!({}), &given, Some(json!({"a": 1, "b": 2}))),
        (
            "answered",
            json!({"webhook_config": {"user_metadata": answered}}),
            &none,
            Some(answered.clone()),
        ),
        (
            "both",
            json!({"webhook_config": {"user_metadata": answered}}),
            &given,
            Some(merged.clone()),
        ),
        (
            "both, in the other spelling",
            json!({"webhookConfig": {"userMetadata": answered}}),
            &given,
            Some(merged.clone()),
        ),
        (
            "no object",
            json!({"webhookConfig": {"userMetadata": 7}}),
            &none,
            None,
        ),
        (
            "empty",
            json!({"webhook_config": {"user_metadata": {}}}),
            &none,
            None,
        ),
    ] {
        let mut json = object(json!({"id": "a", "status": "completed"}));
        json.extend(object(config.clone()));
        let mut metadata = object(json!({"state": "BATCH_STATE_EXPIRED"}));
        metadata.extend(object(config));
        let batch = batch(json!({"name": "batches/1", "metadata": metadata}));
        let interaction = interaction(json.into());
        for outcome in [batch.outcome(given), interaction.outcome(given)] {
            let event = told(outcome).1;
            assert_eq!(event.get("user_metadata"), expected.as_ref(), "{name}");
        }
    }
    let video = video(json!({"name": "models/a/operations/1", "done": true}));
    let event = told(video.outcome(&given)).1;
    assert_eq!(event["user_metadata"], json!({"a": 1, "b": 2}));
}
