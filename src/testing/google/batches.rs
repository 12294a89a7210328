//! Batches.

use serde_json::{Value, json};

use super::State;
use super::error::MockError;
use super::fields::{self, WebhookConfig, only, required, text};
use super::pages::page;
use super::refusal::{Answered, Refusal};
use super::time::Now;
use super::webhooks::listing;

/// How a batch ends.
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
    /// As the service answers it.
    operation: Value,
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
    let mut operation = json!({
        "name": name,
        "metadata": {
            "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
            "name": name,
            "model": format!("models/{model}"),
            "state": "BATCH_STATE_PENDING",
            "createTime": now.rfc3339(),
            "updateTime": now.rfc3339(),
        },
    });
    if let Some(display_name) = text(batch, "displayName")? {
        operation["metadata"]["displayName"] = display_name.into();
    }
    let created = Batch {
        project,
        config,
        has_file,
        is_done: false,
        operation: operation.clone(),
    };
    state.batches.insert(id, created);
    Ok(operation)
}

pub(super) fn get(state: &State, project: usize, id: &str) -> Answered {
    let batch = state.batches.get(id);
    batch
        .filter(|batch| batch.project == project)
        .map(|batch| batch.operation.clone())
        .ok_or_else(|| Refusal::not_found("Batch", id))
}

pub(super) fn list(state: &State, project: usize, query: &[(String, String)]) -> Answered {
    let (batches, next) = page(
        &state.batches,
        |batch| batch.project == project,
        query,
        ["pageSize", "pageToken"],
    )?;
    let operations = batches.into_iter();
    let operations = operations.map(|(_, batch)| batch.operation.clone());
    Ok(listing("operations", operations, "nextPageToken", next))
}

fn open<'s>(state: &'s mut State, id: &str) -> Result<&'s mut Batch, MockError> {
    let batch = state.batches.get_mut(id);
    let batch = batch.ok_or_else(|| MockError::unknown("batch", id))?;
    match batch.is_done {
        false => Ok(batch),
        true => Err(MockError::ended("batch", id)),
    }
}

pub(super) fn begin(state: &mut State, id: &str, now: Now) -> Result<(), MockError> {
    let batch = open(state, without_prefix(id))?;
    let metadata = &mut batch.operation["metadata"];
    metadata["state"] = "BATCH_STATE_RUNNING".into();
    metadata["updateTime"] = now.rfc3339().into();
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
            let message = "The batch could not be processed.";
            data["error_code"] = "INTERNAL".into();
            data["error_message"] = message.into();
            failure = Some(json!({"code": 13, "message": message}));
            ("batch.failed", "BATCH_STATE_FAILED")
        }
        BatchOutcome::Expired => ("batch.expired", "BATCH_STATE_EXPIRED"),
        BatchOutcome::Cancelled => {
            failure = Some(json!({"code": 1, "message": "The batch was cancelled."}));
            ("batch.cancelled", "BATCH_STATE_CANCELLED")
        }
    };
    let operation = &mut batch.operation;
    operation["done"] = true.into();
    operation["metadata"]["state"] = reached.into();
    operation["metadata"]["endTime"] = now.rfc3339().into();
    operation["metadata"]["updateTime"] = now.rfc3339().into();
    if let Some(failure) = failure {
        operation["error"] = failure;
    }
    if outcome == BatchOutcome::Succeeded {
        let output = match batch.has_file {
            true => {
                let file = format!("files/batch-{id}");
                data["output_file_uri"] = file.as_str().into();
                json!({ "responsesFile": file })
            }
            false => json!({"inlinedResponses": {"inlinedResponses": []}}),
        };
        operation["metadata"]["output"] = output.clone();
        operation["response"] = output;
    }
    let (project, config) = (batch.project, batch.config.clone());
    state.emit(now, project, event, data, config.as_ref());
    Ok(())
}

fn without_prefix(id: &str) -> &str {
    id.strip_prefix("batches/").unwrap_or(id)
}
