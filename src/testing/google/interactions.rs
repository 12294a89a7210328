//! Interactions, and the triggers that start them.

use serde_json::{Value, json};

use super::State;
use super::error::MockError;
use super::fields::{self, Object, WebhookConfig, only, required, set, text, unknown};
use super::refusal::{Answered, Refusal};
use super::time::Now;

/// The status of an interaction, for
/// [`MockGoogle::set_interaction`](super::MockGoogle::set_interaction).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InteractionStatus {
    /// `queued`, without an event.
    Queued,
    /// `in_progress`, without an event.
    InProgress,
    /// `requires_action`, with `interaction.requires_action`.
    RequiresAction,
    /// `requires_continuation`, without an event.
    RequiresContinuation,
    /// `completed`, with `interaction.completed`.
    Completed,
    /// `failed`, with `interaction.failed`.
    Failed,
    /// `cancelled`, with `interaction.cancelled`, which no webhook can be subscribed to.
    Cancelled,
    /// `incomplete`, without an event.
    Incomplete,
    /// `budget_exceeded`, without an event.
    BudgetExceeded,
    /// `idle`, without an event.
    Idle,
}

impl InteractionStatus {
    fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::RequiresAction => "requires_action",
            Self::RequiresContinuation => "requires_continuation",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Incomplete => "incomplete",
            Self::BudgetExceeded => "budget_exceeded",
            Self::Idle => "idle",
        }
    }

    fn event(self) -> Option<&'static str> {
        match self {
            Self::RequiresAction => Some("interaction.requires_action"),
            Self::Completed => Some("interaction.completed"),
            Self::Failed => Some("interaction.failed"),
            Self::Cancelled => Some("interaction.cancelled"),
            _ => None,
        }
    }

    fn is_the_end(self) -> bool {
        matches!(
            self,
            Self::Completed
                | Self::Failed
                | Self::Cancelled
                | Self::Incomplete
                | Self::BudgetExceeded
        )
    }
}

pub(super) struct Interaction {
    project: usize,
    config: Option<WebhookConfig>,
    status: InteractionStatus,
    /// As the service answers it.
    json: Value,
}

impl Interaction {
    pub(super) fn json(&self) -> Value {
        self.json.clone()
    }
}

pub(super) struct Trigger {
    project: usize,
    interaction: Object,
    config: Option<WebhookConfig>,
}

pub(super) fn create(state: &mut State, project: usize, body: &[u8], now: Now) -> Answered {
    let body = fields::object(body)?;
    let config = read(&body)?;
    let background = match body.get("background") {
        None => false,
        Some(Value::Bool(background)) => *background,
        Some(_) => return Err(Refusal::invalid("background must be a boolean.")),
    };
    if config.is_some() && !background {
        return Err(Refusal::invalid(
            "webhook_config is only for interactions with background: true.",
        ));
    }
    let status = match background {
        true => InteractionStatus::InProgress,
        // The caller waits for it.
        false => InteractionStatus::Completed,
    };
    Ok(add(state, project, &body, config, status, now).1)
}

/// Everything that is of any interaction: strict about spelling and about what a webhook needs. The
/// rest of the API is not played.
fn read(body: &Object) -> Result<Option<WebhookConfig>, Refusal> {
    if let Some(name) = body.keys().find(|name| name.contains(char::is_uppercase)) {
        return Err(unknown(name));
    }
    match (text(body, "model")?, text(body, "agent")?) {
        (Some(_), None) | (None, Some(_)) => {}
        _ => return Err(Refusal::invalid("Give either a model or an agent.")),
    }
    required(body.get("input"), "input")?;
    let config = body.get("webhook_config");
    let config = config.map(|config| WebhookConfig::read(config, &["user_metadata"]));
    config.transpose()
}

fn add(
    state: &mut State,
    project: usize,
    body: &Object,
    config: Option<WebhookConfig>,
    status: InteractionStatus,
    now: Now,
) -> (String, Value) {
    let id = format!("v1_{}", state.random.id());
    let mut json = json!({
        "id": id,
        "object": "interaction",
        "status": status.name(),
        "created": now.rfc3339(),
        "updated": now.rfc3339(),
    });
    for name in ["model", "agent", "webhook_config"] {
        if let Some(value) = body.get(name) {
            set(&mut json, name, value.clone());
        }
    }
    let interaction = Interaction {
        project,
        config,
        status,
        json: json.clone(),
    };
    state.interactions.insert(id.clone(), interaction);
    (id, json)
}

pub(super) fn get(state: &State, project: usize, id: &str, query: &[(String, String)]) -> Answered {
    only(
        query.iter().map(|(name, _)| name),
        &["include_input", "stream"],
    )?;
    if let Some("true") = fields::parameter(query, "stream")? {
        return Err(Refusal::new(501, "Streams are not played by this mock."));
    }
    let interaction = state.interactions.get(id);
    interaction
        .filter(|interaction| interaction.project == project)
        .map(Interaction::json)
        .ok_or_else(|| Refusal::not_found("Interaction", id))
}

pub(super) fn reach(
    state: &mut State,
    id: &str,
    status: InteractionStatus,
    now: Now,
) -> Result<(), MockError> {
    let interaction = state.interactions.get_mut(id);
    let interaction = interaction.ok_or_else(|| MockError::unknown("interaction", id))?;
    if interaction.status.is_the_end() {
        return Err(MockError::ended("interaction", id));
    }
    interaction.status = status;
    set(&mut interaction.json, "status", status.name());
    set(&mut interaction.json, "updated", now.rfc3339());
    let mut data = json!({ "id": id });
    if status == InteractionStatus::Failed {
        // The form of the code is a guess: Google's SDK says that it is a URI.
        let (code, message) = ("INTERNAL", "The model stopped.");
        set(&mut data, "error_code", code);
        set(&mut data, "error_message", message);
        let errors = json!([{"code": code, "message": message}]);
        set(&mut interaction.json, "errors", errors);
    }
    let (project, config) = (interaction.project, interaction.config.clone());
    if let Some(event) = status.event() {
        state.emit(now, project, event, data, config.as_ref());
    }
    Ok(())
}

pub(super) fn create_trigger(state: &mut State, project: usize, body: &[u8], now: Now) -> Answered {
    let body = fields::object(body)?;
    only(
        body.keys(),
        &[
            "display_name",
            "environment_id",
            "execution_timeout_seconds",
            "interaction",
            "max_consecutive_failures",
            "schedule",
            "time_zone",
        ],
    )?;
    let schedule = required(text(&body, "schedule")?, "schedule")?;
    let time_zone = required(text(&body, "time_zone")?, "time_zone")?;
    let interaction = required(body.get("interaction"), "interaction")?;
    let interaction = interaction
        .as_object()
        .ok_or_else(|| Refusal::invalid("interaction must be an object."))?;
    let config = read(interaction)?;
    let id = state.random.id();
    let answer = json!({
        "id": id,
        "interaction": interaction,
        "schedule": schedule,
        "time_zone": time_zone,
        "status": "active",
        "create_time": now.rfc3339(),
    });
    let trigger = Trigger {
        project,
        interaction: interaction.clone(),
        config,
    };
    state.triggers.insert(id, trigger);
    Ok(answer)
}

/// Starts what is on schedule; the id of the interaction.
pub(super) fn fire(state: &mut State, id: &str, now: Now) -> Result<String, MockError> {
    let trigger = state.triggers.get(id);
    let trigger = trigger.ok_or_else(|| MockError::unknown("trigger", id))?;
    let (interaction, config) = (trigger.interaction.clone(), trigger.config.clone());
    let (project, status) = (trigger.project, InteractionStatus::InProgress);
    Ok(add(state, project, &interaction, config, status, now).0)
}
