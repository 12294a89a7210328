//! Requests read strictly: what the service does not know, it refuses.

use reqwest::Url;
use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::loopback::is_loopback;

pub(super) type Object = Map<String, Value>;

/// The members of a body.
pub(super) fn object(body: &[u8]) -> Result<Object, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::invalid(format!("Invalid JSON payload received. {error}")))
}

/// Sets a member of an object.
pub(super) fn set(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value.into());
    }
}

/// No other name than these: neither a misspelt one nor one in the other case.
pub(super) fn only<'k>(
    names: impl IntoIterator<Item = &'k String>,
    known: &[&str],
) -> Result<(), Refusal> {
    match names
        .into_iter()
        .find(|name| !known.contains(&name.as_str()))
    {
        None => Ok(()),
        Some(name) => Err(unknown(name)),
    }
}

pub(super) fn unknown(name: &str) -> Refusal {
    Refusal::invalid(format!(
        "Invalid JSON payload received. Unknown name \"{name}\": Cannot find field."
    ))
}

/// The one parameter of this name.
pub(super) fn parameter<'q>(
    query: &'q [(String, String)],
    name: &str,
) -> Result<Option<&'q str>, Refusal> {
    let mut values = query.iter().filter(|(key, _)| key == name);
    let value = values.next().map(|(_, value)| value.as_str());
    match values.next() {
        None => Ok(value),
        Some(_) => Err(Refusal::invalid(format!("{name} is given twice."))),
    }
}

pub(super) fn text<'o>(object: &'o Object, name: &str) -> Result<Option<&'o str>, Refusal> {
    match object.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refusal::invalid(format!("{name} must be a string."))),
    }
}

pub(super) fn required<T>(value: Option<T>, name: &str) -> Result<T, Refusal> {
    value.ok_or_else(|| Refusal::invalid(format!("{name} is required.")))
}

pub(super) fn texts(object: &Object, name: &str) -> Result<Option<Vec<String>>, Refusal> {
    let wrong = || Refusal::invalid(format!("{name} must be a list of strings."));
    let Some(value) = object.get(name) else {
        return Ok(None);
    };
    let values = value.as_array().ok_or_else(wrong)?;
    let texts = values.iter().map(|value| value.as_str().map(str::to_owned));
    texts.collect::<Option<_>>().map(Some).ok_or_else(wrong)
}

/// Where events may be sent: over HTTPS, or to this machine.
pub(super) fn uri(text: &str) -> Result<(), Refusal> {
    let url = Url::parse(text).map_err(|error| {
        Refusal::invalid(format!(
            "Invalid webhook URI {}: {error}.",
            text.escape_debug()
        ))
    })?;
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(&url) => Ok(()),
        _ => Err(Refusal::invalid(format!(
            "Invalid webhook URI {}: it must be https.",
            text.escape_debug()
        ))),
    }
}

/// `webhook_config` of a job: where its events go, and what comes back with each.
#[derive(Clone, Debug, Default)]
pub(super) struct WebhookConfig {
    /// Empty: to the registered webhooks.
    pub(super) uris: Vec<String>,
    pub(super) user_metadata: Option<Value>,
}

impl WebhookConfig {
    /// `metadata` is how the member may be spelt there.
    pub(super) fn read(given: &Value, metadata: &[&str]) -> Result<Self, Refusal> {
        let object = given
            .as_object()
            .ok_or_else(|| Refusal::invalid("The webhook config must be an object."))?;
        only(object.keys(), &[metadata, &["uris"]].concat())?;
        let uris = texts(object, "uris")?.unwrap_or_default();
        uris.iter().try_for_each(|text| uri(text))?;
        let user_metadata = metadata.iter().find_map(|name| object.get(*name));
        if user_metadata.is_some_and(|value| !value.is_object()) {
            return Err(Refusal::invalid("The user metadata must be an object."));
        }
        Ok(Self {
            uris,
            user_metadata: user_metadata.cloned(),
        })
    }
}
