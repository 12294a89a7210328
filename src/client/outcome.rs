//! What became of a job, and the event that says so.

use serde_json::{Map, Value};

use super::jobs::{Batch, Interaction};
use super::names::{BatchState, InteractionStatus, VideoState};
use super::videos::Video;
use crate::event::{
    BatchCancelled, BatchExpired, BatchFailed, BatchSucceeded, GeminiEvent, InteractionCancelled,
    InteractionCompleted, InteractionFailed, InteractionRequiresAction, OWN_TYPE_PREFIX, Payload,
    VideoGenerated,
};

type Object = Map<String, Value>;

/// What became of a job, with the event that Google should have sent for it.
///
/// An event may never come: the endpoint was down for more than a day, the webhook was switched off, or the service has
/// a defect. Then ask for the job, and handle the event that [`Batch::outcome`], [`Interaction::outcome`] or
/// [`Video::outcome`] returns in the way of one that was delivered.
///
/// The event has the envelope of Google's: `type`, `version` (`v1`), `timestamp`, `data` and `user_metadata`.
/// `timestamp` is the time of the end as the service wrote it. It is left out if the service says none, as for videos.
///
/// If Google has no event for an end, or none is known, the type is one of this crate's own ([`OWN_TYPE_PREFIX`]). Its
/// `data` has the `id`, the `state` as the service wrote it, and what the service says about an error:
///
/// | type | the job |
/// |---|---|
/// | `gemini-webhooks.batch.ended` | a batch that has ended in a state that this version does not know |
/// | `gemini-webhooks.interaction.incomplete` | an interaction that ended before it was complete |
/// | `gemini-webhooks.interaction.budget_exceeded` | an interaction that would have exceeded its budget |
/// | `gemini-webhooks.video.failed` | a video that could not be made; without `state`, as the API has no names for it |
///
/// **A delivery of the same event may still come.** Both are about the same [job](GeminiEvent::ended_job), by which you
/// can recognise the second. This event has no `webhook-id`.
///
/// ```no_run
/// use gemini_webhooks::client::{Outcome, WebhookConfig, WebhookService};
///
/// # fn handle(event: gemini_webhooks::GeminiEvent) {}
/// # async fn f(config: WebhookConfig) -> Result<(), Box<dyn std::error::Error>> {
/// let batches = WebhookService::from_env()?.batches();
/// match batches.get("batches/8kq2").await?.outcome(config.metadata()) {
///     Outcome::Ended(event) => handle(event),
///     _ => println!("it goes on"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub enum Outcome {
    /// The job goes on, or may go on.
    Running,
    /// The job waits for your app: `interaction.requires_action`. It may go on afterwards.
    RequiresAction(GeminiEvent),
    /// The job has ended.
    Ended(GeminiEvent),
}

impl Batch {
    /// Returns what became of the batch, with the event for it.
    ///
    /// `user_metadata` is what the job was started with ([`WebhookConfig::metadata`](super::WebhookConfig::metadata)).
    /// The event repeats it, together with members that only the answer [has](Self::user_metadata).
    ///
    /// A batch has ended if its state says so, or `done`. In a state that this version does not know it goes on, unless
    /// it is `done`. `error_code` of a failed batch is a number or text, as the service has it.
    pub fn outcome(&self, user_metadata: &Object) -> Outcome {
        if !self.is_done() {
            return Outcome::Running;
        }
        let mut data = data(self.name());
        let error = self.json().get("error");
        let type_name = match self.state() {
            Some(BatchState::Succeeded) => {
                put(&mut data, "output_file_uri", self.responses_file());
                BatchSucceeded::TYPE_NAME.to_owned()
            }
            Some(BatchState::Failed) => {
                put_error(&mut data, error);
                BatchFailed::TYPE_NAME.to_owned()
            }
            Some(BatchState::Expired) => BatchExpired::TYPE_NAME.to_owned(),
            Some(BatchState::Cancelled) => BatchCancelled::TYPE_NAME.to_owned(),
            other => {
                put(&mut data, "state", other.as_ref().map(BatchState::as_str));
                put_error(&mut data, error);
                format!("{OWN_TYPE_PREFIX}batch.ended")
            }
        };
        let metadata = merged(self.user_metadata(), user_metadata);
        Outcome::Ended(event(&type_name, self.end_time(), data, metadata))
    }
}

impl Interaction {
    /// Returns what became of the interaction, with the event for it.
    ///
    /// `user_metadata` is what the job was started with ([`WebhookConfig::metadata`](super::WebhookConfig::metadata)).
    /// The event repeats it, together with members that only the answer [has](Self::user_metadata).
    ///
    /// An interaction that is `queued`, `in_progress`, `requires_continuation` or `idle`, or whose status this version
    /// does not know, may go on, so it is [`Running`](Outcome::Running). It may stay so for ever: decide for how long
    /// you ask. What a failed interaction says about its error is read from the first of its `errors` (Google's Python
    /// SDK 3.6.1).
    pub fn outcome(&self, user_metadata: &Object) -> Outcome {
        let mut data = data(self.id());
        let error = self.json().pointer("/errors/0");
        let event = |type_name: &str, data| {
            let metadata = merged(self.user_metadata(), user_metadata);
            event(type_name, self.updated(), data, metadata)
        };
        match self.status() {
            Some(InteractionStatus::RequiresAction) => {
                Outcome::RequiresAction(event(InteractionRequiresAction::TYPE_NAME, data))
            }
            Some(status) if self.is_done() => Outcome::Ended(match status {
                InteractionStatus::Completed => event(InteractionCompleted::TYPE_NAME, data),
                InteractionStatus::Cancelled => event(InteractionCancelled::TYPE_NAME, data),
                InteractionStatus::Failed => {
                    put_error(&mut data, error);
                    event(InteractionFailed::TYPE_NAME, data)
                }
                other => {
                    put(&mut data, "state", Some(other.as_str()));
                    put_error(&mut data, error);
                    let type_name = format!("{OWN_TYPE_PREFIX}interaction.{}", other.as_str());
                    event(&type_name, data)
                }
            }),
            _ => Outcome::Running,
        }
    }
}

impl Video {
    /// Returns what became of the video, with the event for it.
    ///
    /// `user_metadata` is what the job was started with ([`WebhookConfig::metadata`](super::WebhookConfig::metadata)),
    /// and the event repeats it.
    ///
    /// `output_file_uri` is the URI of the first video, and `file_name` the name of the file in that URI, as Google's
    /// Python SDK reads them. Both are left out if there is no video, for instance because Google's filters kept it back.
    pub fn outcome(&self, user_metadata: &Object) -> Outcome {
        let mut data = data(self.name());
        let type_name = match self.state() {
            VideoState::Running => return Outcome::Running,
            VideoState::Succeeded => {
                let first = "/response/generateVideoResponse/generatedSamples/0/video/uri";
                let uri = self.json().pointer(first).and_then(Value::as_str);
                put(&mut data, "output_file_uri", uri);
                put(&mut data, "file_name", uri.and_then(file_name));
                VideoGenerated::TYPE_NAME.to_owned()
            }
            VideoState::Failed => {
                put_error(&mut data, self.json().get("error"));
                format!("{OWN_TYPE_PREFIX}video.failed")
            }
        };
        Outcome::Ended(event(&type_name, None, data, user_metadata.clone()))
    }
}

fn event(
    type_name: &str,
    timestamp: Option<&str>,
    data: Object,
    user_metadata: Object,
) -> GeminiEvent {
    let mut event = Object::new();
    put(&mut event, "type", Some(type_name));
    put(&mut event, "version", Some("v1"));
    put(&mut event, "timestamp", timestamp);
    put(&mut event, "data", Some(data));
    let metadata = Some(user_metadata).filter(|metadata| !metadata.is_empty());
    put(&mut event, "user_metadata", metadata);
    GeminiEvent::parse(Value::from(event).to_string())
}

fn data(id: &str) -> Object {
    let mut data = Object::new();
    put(&mut data, "id", Some(id));
    data
}

fn put(object: &mut Object, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object.insert(name.to_owned(), value.into());
    }
}

fn put_error(data: &mut Object, error: Option<&Value>) {
    for (name, given) in [("error_code", "code"), ("error_message", "message")] {
        let value = error.and_then(|error| error.get(given));
        let value = value.filter(|value| value.is_string() || value.is_number());
        put(data, name, value.cloned());
    }
}

/// What the caller knows counts.
fn merged(answered: Option<&Object>, given: &Object) -> Object {
    let mut merged = answered.cloned().unwrap_or_default();
    merged.extend(given.clone());
    merged
}

/// `files/x` of `https://…/v1beta/files/x:download?alt=media`.
fn file_name(uri: &str) -> Option<String> {
    let (_, behind) = uri.split_once("files/")?;
    let is_of_id = |char: char| char.is_ascii_alphanumeric() || char == '-';
    let id = behind.split(|char| !is_of_id(char)).next()?;
    (!id.is_empty()).then(|| format!("files/{id}"))
}

#[cfg(test)]
mod tests {
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
}
