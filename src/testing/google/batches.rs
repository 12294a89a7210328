//! Batches.

use serde_json::{Value, json};

use super::State;
use super::error::MockError;
use super::fields::{self, WebhookConfig, only, required, set, text};
use super::pages::{Names, page};
use super::refusal::{Answered, Refusal};
use super::time::Now;

/// How a batch ends, for [`MockGoogle::finish_batch`](super::MockGoogle::finish_batch).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchOutcome {
    /// `BATCH_STATE_SUCCEEDED`, with `batch.succeeded`.
    Succeeded,
    /// `BATCH_STATE_FAILED`, with `batch.failed`.
    Failed,
    /// `BATCH_STATE_EXPIRED`, with `batch.expired`.
    Expired,
    /// `BATCH_STATE_CANCELLED`, with `batch.cancelled`, which no webhook can be subscribed to.
    Cancelled,
}

pub(super) struct Batch {
    project: usize,
    config: Option<WebhookConfig>,
    /// Without a file, the results are in the batch itself.
    has_file: bool,
    is_done: bool,
    /// `name`, and once it is done `done`, `error`, `response`.
    operation: Value,
    metadata: Value,
}

impl Batch {
    /// As the service answers it.
    fn json(&self) -> Value {
        let mut operation = self.operation.clone();
        set(&mut operation, "metadata", self.metadata.clone());
        operation
    }
}

pub(super) fn create(
    state: &mut State,
    project: usize,
    model: &str,
    body: &[u8],
    now: Now,
) -> Answered {
    let body = fields::object(body)?;
    only(body.keys(), &["batch"])?;
    let batch = required(body.get("batch"), "batch")?;
    let batch = batch
        .as_object()
        .ok_or_else(|| Refusal::invalid("batch must be an object."))?;
    only(
        batch.keys(),
        &["displayName", "inputConfig", "priority", "webhookConfig"],
    )?;
    let input = required(batch.get("inputConfig"), "inputConfig")?;
    let has_file = match input.as_object() {
        Some(input) if input.len() == 1 && input.get("fileName").is_some_and(Value::is_string) => {
            true
        }
        Some(_)
            if input
                .pointer("/requests/requests")
                .is_some_and(Value::is_array) =>
        {
            false
        }
        _ => {
            return Err(Refusal::invalid(
                "inputConfig must have either a fileName or requests.requests.",
            ));
        }
    };
    // Google's Python SDK writes the one, its JavaScript SDK the other.
    let metadata = ["user_metadata", "userMetadata"];
    let config = batch.get("webhookConfig");
    let config = config.map(|config| WebhookConfig::read(config, &metadata));
    let config = config.transpose()?;

    let id = state.random.id();
    let name = format!("batches/{id}");
    let mut metadata = json!({
        "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
        "name": name,
        "model": format!("models/{model}"),
        "state": "BATCH_STATE_PENDING",
        "createTime": now.rfc3339(),
        "updateTime": now.rfc3339(),
    });
    if let Some(display_name) = text(batch, "displayName")? {
        set(&mut metadata, "displayName", display_name);
    }
    let created = Batch {
        project,
        config,
        has_file,
        is_done: false,
        operation: json!({ "name": name }),
        metadata,
    };
    let answer = created.json();
    state.batches.insert(id, created);
    Ok(answer)
}

pub(super) fn get(state: &State, project: usize, id: &str) -> Answered {
    let batch = state.batches.get(id);
    batch
        .filter(|batch| batch.project == project)
        .map(Batch::json)
        .ok_or_else(|| Refusal::not_found("Batch", id))
}

/// Whatever project it is of.
pub(super) fn find(state: &State, id: &str) -> Option<Value> {
    state.batches.get(without_prefix(id)).map(Batch::json)
}

pub(super) fn list(state: &State, project: usize, query: &[(String, String)]) -> Answered {
    page(
        &state.batches,
        |_, batch| (batch.project == project).then(|| batch.json()),
        query,
        &Names {
            items: "operations",
            next: "nextPageToken",
            size: "pageSize",
            token: "pageToken",
        },
    )
}

fn open<'s>(state: &'s mut State, id: &str) -> Result<&'s mut Batch, MockError> {
    let batch = state.batches.get_mut(id);
    let batch = batch.ok_or_else(|| MockError::unknown("batch", id))?;
    match batch.is_done {
        false => Ok(batch),
        true => Err(MockError::ended("batch", id)),
    }
}

/// Whether there was one.
pub(super) fn forget(state: &mut State, id: &str) -> bool {
    state.batches.remove(without_prefix(id)).is_some()
}

pub(super) fn begin(state: &mut State, id: &str, now: Now) -> Result<(), MockError> {
    let batch = open(state, without_prefix(id))?;
    let metadata = &mut batch.metadata;
    set(metadata, "state", "BATCH_STATE_RUNNING");
    set(metadata, "updateTime", now.rfc3339());
    Ok(())
}

pub(super) fn finish(
    state: &mut State,
    id: &str,
    outcome: BatchOutcome,
    now: Now,
) -> Result<(), MockError> {
    let id = without_prefix(id);
    let batch = open(state, id)?;
    batch.is_done = true;
    let name = format!("batches/{id}");
    let mut data = json!({ "id": name });
    let mut failure = None;
    let (event, reached) = match outcome {
        BatchOutcome::Succeeded => ("batch.succeeded", "BATCH_STATE_SUCCEEDED"),
        BatchOutcome::Failed => {
            let (code, message) = (13, "The batch could not be processed.");
            set(&mut data, "error_code", code);
            set(&mut data, "error_message", message);
            failure = Some(json!({"code": code, "message": message}));
            ("batch.failed", "BATCH_STATE_FAILED")
        }
        BatchOutcome::Expired => ("batch.expired", "BATCH_STATE_EXPIRED"),
        BatchOutcome::Cancelled => {
            failure = Some(json!({"code": 1, "message": "The batch was cancelled."}));
            ("batch.cancelled", "BATCH_STATE_CANCELLED")
        }
    };
    let Batch {
        operation,
        metadata,
        ..
    } = batch;
    set(operation, "done", true);
    set(metadata, "state", reached);
    set(metadata, "endTime", now.rfc3339());
    set(metadata, "updateTime", now.rfc3339());
    if let Some(failure) = failure {
        set(operation, "error", failure);
    }
    if outcome == BatchOutcome::Succeeded {
        let output = match batch.has_file {
            true => {
                let file = format!("files/batch-{id}");
                set(&mut data, "output_file_uri", file.as_str());
                json!({ "responsesFile": file })
            }
            false => json!({"inlinedResponses": {"inlinedResponses": []}}),
        };
        set(metadata, "output", output.clone());
        set(operation, "response", output);
    }
    let (project, config) = (batch.project, batch.config.clone());
    state.emit(now, project, event, data, config.as_ref());
    Ok(())
}

fn without_prefix(id: &str) -> &str {
    id.strip_prefix("batches/").unwrap_or(id)
}
