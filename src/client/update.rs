//! Changes to a webhook, and what it may be subscribed to.

use std::fmt;

use serde_json::{Map, Value};

use super::error::ClientError;
use super::names::{SubscribedEvent, WebhookState};
use super::shown::Shown;

/// Changes to a webhook, for [`WebhookService::update`](super::WebhookService::update).
///
/// What you do not set stays as it is.
///
/// ```
/// use gemini_webhooks::client::{SubscribedEvent, WebhookState, WebhookUpdate};
///
/// let update = WebhookUpdate::new()
///     .subscribed_events(SubscribedEvent::ALL)
///     .state(WebhookState::Enabled);
/// assert!(!update.is_empty());
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct WebhookUpdate {
    name: Option<String>,
    state: Option<WebhookState>,
    subscribed_events: Option<Vec<SubscribedEvent>>,
    uri: Option<String>,
    any_event: bool,
}

impl WebhookUpdate {
    /// Starts without changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes the name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Switches the webhook on or off.
    pub fn state(mut self, state: WebhookState) -> Self {
        self.state = Some(state);
        self
    }

    /// Replaces the types of events that it is subscribed to.
    pub fn subscribed_events(
        mut self,
        events: impl IntoIterator<Item = impl Into<SubscribedEvent>>,
    ) -> Self {
        self.subscribed_events = Some(events.into_iter().map(Into::into).collect());
        self
    }

    /// Changes the URI that deliveries go to.
    pub fn uri(mut self, uri: impl Into<String>) -> Self {
        self.uri = Some(uri.into());
        self
    }

    /// Allows types of events that the service is known to refuse.
    ///
    /// By default they are an error before anything is sent. Use this if the service accepts them
    /// by now.
    pub fn allow_refused_events(mut self) -> Self {
        self.any_event = true;
        self
    }

    /// Returns whether no change is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields().is_empty()
    }

    /// Returns which fields are set.
    #[must_use]
    pub fn fields(&self) -> Vec<WebhookField> {
        let set = [
            (WebhookField::Name, self.name.is_some()),
            (WebhookField::State, self.state.is_some()),
            (
                WebhookField::SubscribedEvents,
                self.subscribed_events.is_some(),
            ),
            (WebhookField::Uri, self.uri.is_some()),
        ];
        set.into_iter()
            .filter_map(|(field, is_set)| is_set.then_some(field))
            .collect()
    }

    pub(super) fn mask(&self) -> String {
        let names: Vec<&str> = self
            .fields()
            .into_iter()
            .map(WebhookField::as_str)
            .collect();
        names.join(",")
    }

    pub(super) fn body(&self) -> Value {
        let mut body = Map::new();
        let mut put = |field: WebhookField, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(field.as_str().to_owned(), value);
            }
        };
        put(WebhookField::Name, self.name.as_deref().map(Value::from));
        put(
            WebhookField::State,
            self.state.as_ref().map(|state| state.as_str().into()),
        );
        put(
            WebhookField::SubscribedEvents,
            self.subscribed_events.as_deref().map(event_names),
        );
        put(WebhookField::Uri, self.uri.as_deref().map(Value::from));
        body.into()
    }

    pub(super) fn check(&self, call: &'static str) -> Result<(), ClientError> {
        if self.is_empty() {
            return Err(ClientError::refused(
                call,
                "the update is empty: set what is to change",
            ));
        }
        let Some(events) = &self.subscribed_events else {
            return Ok(());
        };
        check_events(call, events, self.any_event)
    }
}

impl fmt::Debug for WebhookUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookUpdate")
            .field("name", &self.name)
            .field("state", &self.state)
            .field("subscribed_events", &self.subscribed_events)
            .field("uri", &self.uri.as_deref().map(Shown))
            .finish()
    }
}

/// A field of a webhook that can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum WebhookField {
    /// The name.
    Name,
    /// Whether the webhook is enabled.
    State,
    /// The types of events that it is subscribed to.
    SubscribedEvents,
    /// The URI that deliveries go to.
    Uri,
}

impl WebhookField {
    /// Returns the name of the field in the API, such as `subscribed_events`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::State => "state",
            Self::SubscribedEvents => "subscribed_events",
            Self::Uri => "uri",
        }
    }
}

pub(super) fn event_names(events: &[SubscribedEvent]) -> Value {
    events.iter().map(SubscribedEvent::as_str).collect()
}

/// Whether the service will take these.
pub(super) fn check_events(
    call: &'static str,
    events: &[SubscribedEvent],
    any_event: bool,
) -> Result<(), ClientError> {
    if events.is_empty() {
        return Err(ClientError::refused(
            call,
            "the list of subscribed events is empty: name at least one",
        ));
    }
    let refused = events
        .iter()
        .find_map(|event| Some((event, event.instead()?)));
    match refused {
        Some((event, instead)) if !any_event => Err(ClientError::refused(
            call,
            format!(
                "the service does not accept a subscription to `{event}` as far as is known: {instead}. To send it all the same, call `allow_refused_events`"
            ),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::ClientErrorKind;

    #[test]
    fn only_what_is_set_goes_along_and_the_mask_lists_it() {
        for (update, mask, body) in [
            (WebhookUpdate::new().name("n"), "name", json!({"name": "n"})),
            (
                WebhookUpdate::new().state(WebhookState::Disabled),
                "state",
                json!({"state": "disabled"}),
            ),
            (
                WebhookUpdate::new().subscribed_events(["batch.failed"]),
                "subscribed_events",
                json!({"subscribed_events": ["batch.failed"]}),
            ),
            (
                WebhookUpdate::new()
                    .uri("u")
                    .name("")
                    .state(WebhookState::Enabled)
                    .subscribed_events(["x.y"]),
                "name,state,subscribed_events,uri",
                json!({"uri": "u", "name": "", "state": "enabled", "subscribed_events": ["x.y"]}),
            ),
        ] {
            assert_eq!(update.mask(), mask);
            assert_eq!(update.body(), body);
            assert!(update.check("update").is_ok());
        }
        let nothing = WebhookUpdate::new();
        assert!(nothing.is_empty() && nothing.check("update").is_err());
    }

    #[test]
    fn what_the_service_refuses_is_refused_here() {
        let none: [&str; 0] = [];
        let update =
            |events: &[&str]| WebhookUpdate::new().subscribed_events(events.iter().copied());
        let error = update(&none)
            .allow_refused_events()
            .check("update")
            .unwrap_err();
        assert!(error.to_string().contains("name at least one"), "{error}");
        let error = update(&["batch.failed", "batch.completed"])
            .check("update")
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.status()),
            (ClientErrorKind::InvalidArgument, None)
        );
        let shown = error.to_string();
        for part in [
            "`batch.completed`",
            "called `batch.succeeded` now",
            "`allow_refused_events`",
        ] {
            assert!(shown.contains(part), "{shown}");
        }
        let allowed = update(&["batch.completed", "batch.cancelled"]).allow_refused_events();
        assert!(allowed.check("update").is_ok());
        assert!(
            update(&["music.generated"]).check("update").is_ok(),
            "an unknown one may be new"
        );
    }
}
