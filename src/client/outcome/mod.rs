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
mod tests;
