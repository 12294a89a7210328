//! A webhook as it is shown.

use std::time::SystemTime;

use gemini_webhooks::client::{SubscribedEvent, Webhook, WebhookState};
use serde_json::{Value, json};

use super::{Output, events};
use crate::exit::Failure;
use crate::shown::{self, BAD, GOOD, plain};

/// A webhook for scripts. The names are those of the API. What is not known is null.
pub(super) fn as_json(webhook: &Webhook, output: Output) -> Value {
    let secrets: Vec<Value> = webhook
        .signing_secrets()
        .iter()
        .map(|secret| {
            json!({
                "truncated_secret": secret.truncated(),
                "expire_time": secret.expire_time().map(shown::time),
            })
        })
        .collect();
    let events = webhook.subscribed_events().iter();
    json!({
        "id": webhook.id(),
        "name": webhook.name(),
        "uri": output.raw_uri(webhook.uri()),
        "state": webhook.state().map(WebhookState::as_str),
        "subscribed_events": events.map(SubscribedEvent::as_str).collect::<Vec<_>>(),
        "create_time": webhook.create_time().map(shown::time),
        "update_time": webhook.update_time().map(shown::time),
        "signing_secrets": secrets,
    })
}

/// A webhook for people, a line for each thing that is known.
pub(super) fn as_lines(webhook: &Webhook, output: Output) -> Vec<String> {
    let mut lines = vec![line("id", plain(webhook.id()))];
    if let Some(name) = webhook.name() {
        lines.push(line("name", plain(name)));
    }
    lines.push(line("uri", output.uri(webhook.uri())));
    if let Some(state) = webhook.state() {
        lines.push(line("state", coloured(state)));
    }
    lines.push(line("events", events::shown(webhook.subscribed_events())));
    let times = [
        ("created", webhook.create_time()),
        ("updated", webhook.update_time()),
    ];
    for (name, time) in times {
        lines.extend(time.map(|time| line(name, shown::time(time))));
    }
    for secret in webhook.signing_secrets() {
        let text = secret.truncated().map_or("not shown".to_owned(), plain);
        let end = secret.expire_time().map(shown::time);
        let end = end.map_or(String::new(), |end| format!(", ends {end}"));
        lines.push(line("secret", format!("{text}{end}")));
    }
    lines
}

fn line(name: &str, value: impl AsRef<str>) -> String {
    format!("{:<9}{}", format!("{name}:"), value.as_ref())
}

/// The webhooks for people, a line each.
pub(super) fn as_table(webhooks: &[Webhook], output: Output) -> String {
    let mut table = shown::table(&["ID", "NAME", "URI", "STATE", "EVENTS", "CREATED"]);
    for webhook in webhooks {
        table.add_row([
            plain(webhook.id()),
            plain(webhook.name().unwrap_or_default()),
            output.uri(webhook.uri()),
            webhook
                .state()
                .map_or(String::new(), WebhookState::to_string),
            events::shown(webhook.subscribed_events()),
            webhook.create_time().map_or(String::new(), shown::time),
        ]);
    }
    table.trim_fmt()
}

/// A webhook in one line of a question or a hint.
pub(super) fn in_short(webhook: &Webhook) -> String {
    let output = Output {
        json: false,
        full_uri: false,
    };
    let name = webhook.name().map(|name| format!(" ({})", plain(name)));
    format!(
        "{}{} for {}",
        plain(webhook.id()),
        name.unwrap_or_default(),
        output.uri(webhook.uri())
    )
}

/// Prints one webhook as the result, and says what to do if it is switched off.
pub(super) fn print(webhook: &Webhook, output: Output) -> Result<(), Failure> {
    if output.json {
        shown::json(&as_json(webhook, output))?;
    } else {
        for line in as_lines(webhook, output) {
            shown::line(line)?;
        }
    }
    tell_if_off(webhook);
    Ok(())
}

/// Says that a webhook gets no deliveries, and what to do.
pub(super) fn tell_if_off(webhook: &Webhook) {
    let why = match webhook.state() {
        Some(WebhookState::Disabled) => "It is switched off, and gets no deliveries.",
        Some(WebhookState::DisabledDueToFailedDeliveries) => {
            "Google switched it off, because too many deliveries failed. Mend the receiver first."
        }
        _ => return,
    };
    shown::note(format_args!(
        "{why} `gemini-webhooks update {} --state enabled` switches it on.",
        plain(webhook.id())
    ));
}

/// A time in JSON.
pub(super) fn time(time: Option<SystemTime>) -> Value {
    time.map(shown::time).into()
}

fn coloured(state: &WebhookState) -> String {
    let style = match state {
        WebhookState::Enabled => GOOD,
        _ => BAD,
    };
    format!("{style}{state}{style:#}")
}
