//! Videos.

use serde_json::{Value, json};

use super::State;
use super::error::MockError;
use super::fields::{self, WebhookConfig, only, required, set};
use super::refusal::{Answered, Refusal};
use super::time::Now;

/// How a video ends, for [`MockGoogle::finish_video`](super::MockGoogle::finish_video).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VideoOutcome {
    /// It succeeds, with `video.generated`.
    Generated,
    /// It fails. There is no event for that: only the operation tells.
    Failed,
}

pub(super) struct Video {
    project: usize,
    config: Option<WebhookConfig>,
    is_done: bool,
    /// As the service answers it.
    operation: Value,
}

impl Video {
    pub(super) fn json(&self) -> Value {
        self.operation.clone()
    }
}

pub(super) fn create(state: &mut State, project: usize, model: &str, body: &[u8]) -> Answered {
    let body = fields::object(body)?;
    only(body.keys(), &["instances", "parameters", "webhookConfig"])?;
    let instances = required(body.get("instances"), "instances")?;
    if !instances.is_array() {
        return Err(Refusal::invalid("instances must be a list."));
    }
    let metadata = ["user_metadata", "userMetadata"];
    let config = body.get("webhookConfig");
    let config = config.map(|config| WebhookConfig::read(config, &metadata));
    let name = format!("models/{model}/operations/{}", state.random.id());
    let operation = json!({ "name": name });
    let created = Video {
        project,
        config: config.transpose()?,
        is_done: false,
        operation: operation.clone(),
    };
    state.videos.insert(name, created);
    Ok(operation)
}

pub(super) fn get(state: &State, project: usize, name: &str) -> Answered {
    let video = state.videos.get(name);
    video
        .filter(|video| video.project == project)
        .map(Video::json)
        .ok_or_else(|| Refusal::not_found("Operation", name))
}

pub(super) fn finish(
    state: &mut State,
    name: &str,
    outcome: VideoOutcome,
    now: Now,
) -> Result<(), MockError> {
    let video = state.videos.get_mut(name);
    let video = video.ok_or_else(|| MockError::unknown("video", name))?;
    if video.is_done {
        return Err(MockError::ended("video", name));
    }
    video.is_done = true;
    set(&mut video.operation, "done", true);
    match outcome {
        VideoOutcome::Failed => {
            set(
                &mut video.operation,
                "error",
                json!({"code": 13, "message": "The model stopped."}),
            );
        }
        VideoOutcome::Generated => {
            let file = format!("files/{}", state.random.id());
            set(
                &mut video.operation,
                "response",
                json!({
                    "generateVideoResponse": {"generatedSamples": [{"video": {"uri": file}}]},
                }),
            );
            let data = json!({"id": name, "output_file_uri": file, "file_name": file});
            let (project, config) = (video.project, video.config.clone());
            state.emit(now, project, "video.generated", data, config.as_ref());
        }
    }
    Ok(())
}
