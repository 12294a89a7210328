//! WebhookService.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::State;
use super::fields::{self, Object, only, required, set, text, texts, uri};
use super::pages::{Names, page};
use super::refusal::{Answered, Refusal};
use super::secrets::Secrets;
use super::time::Now;

/// What can be subscribed to. `batch.completed` and the two types of cancelled jobs, which Google's
/// guide lists, are refused by the live service.
const EVENTS: [&str; 7] = [
    "batch.succeeded",
    "batch.failed",
    "batch.expired",
    "interaction.requires_action",
    "interaction.completed",
    "interaction.failed",
    "video.generated",
];

/// No event of this name has been seen: what a ping delivers is unknown.
const PING: &str = "webhook.ping";

pub(super) struct Webhook {
    pub(super) project: usize,
    pub(super) uri: String,
    pub(super) subscribed_events: Vec<String>,
    pub(super) state: WebhookState,
    /// Since the last attempt that was answered with success.
    pub(super) failed_attempts: u32,
    pub(super) secrets: Secrets,
    name: Option<String>,
    created: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WebhookState {
    Enabled,
    Disabled,
    DisabledDueToFailedDeliveries,
}

impl WebhookState {
    fn name(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::DisabledDueToFailedDeliveries => "disabled_due_to_failed_deliveries",
        }
    }
}

impl Webhook {
    /// Without `update_time`, which has never been seen.
    fn json(&self, id: &str, now: Now) -> Value {
        let mut webhook = json!({
            "id": id,
            "uri": self.uri,
            "subscribed_events": self.subscribed_events,
            "state": self.state.name(),
            "create_time": self.created,
            "signing_secrets": self.secrets.listed(now.wall),
        });
        if let Some(name) = &self.name {
            set(&mut webhook, "name", name.as_str());
        }
        webhook
    }
}

/// One project's view of the webhooks.
pub(super) struct Webhooks<'s> {
    pub(super) state: &'s mut State,
    pub(super) project: usize,
    pub(super) now: Now,
}

impl Webhooks<'_> {
    pub(super) fn create(self, body: &[u8]) -> Answered {
        let body = fields::object(body)?;
        only(body.keys(), &["name", "subscribed_events", "uri"])?;
        let subscribed_events = required(events(&body)?, "subscribed_events")?;
        let to = required(text(&body, "uri")?, "uri")?;
        uri(to)?;
        let name = text(&body, "name")?;

        let id = self.state.random.id();
        let (secrets, secret) = Secrets::new(&mut self.state.random);
        let webhook = Webhook {
            project: self.project,
            uri: to.to_owned(),
            subscribed_events,
            state: WebhookState::Enabled,
            failed_attempts: 0,
            secrets,
            name: name.map(str::to_owned),
            created: self.now.rfc3339(),
        };
        let mut answer = webhook.json(&id, self.now);
        set(&mut answer, "new_signing_secret", secret);
        self.state.webhooks.insert(id, webhook);
        Ok(answer)
    }

    pub(super) fn get(mut self, id: &str) -> Answered {
        let now = self.now;
        Ok(self.one(id)?.json(id, now))
    }

    pub(super) fn list(self, query: &[(String, String)]) -> Answered {
        page(
            &self.state.webhooks,
            |id, webhook| (webhook.project == self.project).then(|| webhook.json(id, self.now)),
            query,
            &Names {
                items: "webhooks",
                next: "next_page_token",
                size: "page_size",
                token: "page_token",
            },
        )
    }

    /// By the body. A mask that says anything else is refused, where the live service was seen to
    /// ignore it: whoever sends one means it.
    pub(super) fn update(self, id: &str, query: &[(String, String)], body: &[u8]) -> Answered {
        const CHANGEABLE: [&str; 4] = ["name", "state", "subscribed_events", "uri"];
        only(query.iter().map(|(name, _)| name), &["update_mask"])?;
        let mask = fields::parameter(query, "update_mask")?;
        if let Some(path) = mask
            .into_iter()
            .flat_map(|mask| mask.split(','))
            .find(|path| !CHANGEABLE.contains(path))
        {
            return Err(Refusal::invalid(format!(
                "Invalid update_mask: there is no path \"{}\" to update.",
                path.escape_debug()
            )));
        }
        let now = self.now;
        let id = id.to_owned();
        let body = fields::object(body)?;
        only(body.keys(), &CHANGEABLE)?;
        let is_in = |mask: &str, field: &str| mask.split(',').any(|path| path == field);
        if let Some(mask) = mask
            && let Some(field) = CHANGEABLE
                .into_iter()
                .find(|field| is_in(mask, field) != body.contains_key(*field))
        {
            return Err(Refusal::invalid(format!(
                "Invalid update_mask: \"{field}\" is in the mask or in the body, and not in both."
            )));
        }
        if body.is_empty() {
            return Err(Refusal::invalid("There is nothing to update."));
        }
        let subscribed_events = events(&body)?;
        let to = text(&body, "uri")?;
        to.map_or(Ok(()), uri)?;
        let name = text(&body, "name")?;
        let state = match text(&body, "state")? {
            None => None,
            Some("enabled") => Some(WebhookState::Enabled),
            Some("disabled") => Some(WebhookState::Disabled),
            Some(other) => {
                return Err(Refusal::invalid(format!(
                    "Invalid state \"{}\": it can be set to enabled or disabled.",
                    other.escape_debug()
                )));
            }
        };

        let State {
            webhooks, outbox, ..
        } = self.state;
        let webhook = find(webhooks, self.project, &id)?;
        if let Some(events) = subscribed_events {
            webhook.subscribed_events = events;
        }
        if let Some(to) = to {
            to.clone_into(&mut webhook.uri);
        }
        if let Some(name) = name {
            webhook.name = Some(name.to_owned());
        }
        if let Some(state) = state {
            webhook.state = state;
            webhook.failed_attempts = 0;
            if state != WebhookState::Enabled {
                outbox.give_up(&id);
            }
        }
        Ok(webhook.json(&id, now))
    }

    pub(super) fn delete(mut self, id: &str) -> Answered {
        self.one(id)?;
        self.state.webhooks.remove(id);
        self.state.outbox.give_up(id);
        Ok(json!({}))
    }

    pub(super) fn rotate(self, id: &str, body: &[u8]) -> Answered {
        let body = fields::object(body)?;
        only(body.keys(), &["revocation_behavior"])?;
        let at_once = match text(&body, "revocation_behavior")? {
            None | Some("revoke_previous_secrets_after_h24") => false,
            Some("revoke_previous_secrets_immediately") => true,
            Some(other) => {
                return Err(Refusal::invalid(format!(
                    "Invalid revocation_behavior \"{}\".",
                    other.escape_debug()
                )));
            }
        };
        let State {
            webhooks, random, ..
        } = self.state;
        let webhook = find(webhooks, self.project, id)?;
        let secret = webhook.secrets.rotate(at_once, self.now.wall, random);
        Ok(json!({ "secret": secret }))
    }

    /// Whatever state it is in: a ping is how one looks whether it could be enabled again.
    pub(super) fn ping(mut self, id: &str, body: &[u8]) -> Answered {
        if !body.is_empty() {
            only(fields::object(body)?.keys(), &[])?;
        }
        let to = self.one(id)?.uri.clone();
        let data = json!({ "id": id });
        let event = super::outbox::event(PING, data, None, self.now);
        let State { random, outbox, .. } = self.state;
        outbox.push(random, self.now, (Some(id), &to), PING, event);
        Ok(json!({}))
    }

    fn one(&mut self, id: &str) -> Result<&mut Webhook, Refusal> {
        find(&mut self.state.webhooks, self.project, id)
    }
}

fn find<'w>(
    webhooks: &'w mut BTreeMap<String, Webhook>,
    project: usize,
    id: &str,
) -> Result<&'w mut Webhook, Refusal> {
    let webhook = webhooks.get_mut(id);
    webhook
        .filter(|webhook| webhook.project == project)
        .ok_or_else(|| Refusal::not_found("Webhook", id))
}

fn events(body: &Object) -> Result<Option<Vec<String>>, Refusal> {
    let Some(events) = texts(body, "subscribed_events")? else {
        return Ok(None);
    };
    if events.is_empty() {
        return Err(Refusal::invalid("subscribed_events is empty."));
    }
    match events
        .iter()
        .find(|event| !EVENTS.contains(&event.as_str()))
    {
        None => Ok(Some(events)),
        Some(event) => Err(Refusal::invalid(format!(
            "Invalid value in subscribed_events: \"{}\".",
            event.escape_debug()
        ))),
    }
}
