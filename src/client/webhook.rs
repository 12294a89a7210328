//! A webhook as the service has it, and what it is told about one.

use std::fmt;
use std::time::SystemTime;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::error::ClientError;
use super::names::{SubscribedEvent, WebhookState};
use super::secret::NewSecret;
use super::{time, uri};
use crate::json::{members, string};

/// A webhook as the service has it.
///
/// Of its URI, `Debug` shows neither the query nor what could be an endpoint token.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    id: String,
    name: Option<String>,
    uri: String,
    subscribed_events: Vec<SubscribedEvent>,
    state: Option<WebhookState>,
    create_time: Option<SystemTime>,
    update_time: Option<SystemTime>,
    signing_secrets: Vec<SecretInfo>,
}

impl Webhook {
    /// The id, by which the other calls know it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The name that somebody gave it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Where deliveries go. It may contain an endpoint token.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The types of events that it gets.
    #[must_use]
    pub fn subscribed_events(&self) -> &[SubscribedEvent] {
        &self.subscribed_events
    }

    /// Whether it gets deliveries.
    #[must_use]
    pub fn state(&self) -> Option<&WebhookState> {
        self.state.as_ref()
    }

    /// When it was made.
    #[must_use]
    pub fn create_time(&self) -> Option<SystemTime> {
        self.create_time
    }

    /// When it was changed last. The service has not been seen to say it (2026).
    #[must_use]
    pub fn update_time(&self) -> Option<SystemTime> {
        self.update_time
    }

    /// What is known of its secrets: after a rotation there are several.
    #[must_use]
    pub fn signing_secrets(&self) -> &[SecretInfo] {
        &self.signing_secrets
    }

    /// A webhook whose every member but `id` and `uri` may be missing or of another type.
    pub(super) fn read(json: &str) -> Result<Self, &'static str> {
        let found = members(
            json,
            &[
                "id",
                "name",
                "uri",
                "subscribed_events",
                "state",
                "create_time",
                "update_time",
                "signing_secrets",
            ],
        );
        let [id, name, uri, events, state, created, updated, secrets] =
            found.ok_or("it is no JSON object")?;
        Ok(Self {
            id: text(id).ok_or("it has no `id`")?,
            name: text(name),
            uri: text(uri).ok_or("it has no `uri`")?,
            subscribed_events: texts(events)
                .into_iter()
                .map(SubscribedEvent::from)
                .collect(),
            state: text(state).map(WebhookState::from),
            create_time: text(created).as_deref().and_then(time::parse),
            update_time: text(updated).as_deref().and_then(time::parse),
            signing_secrets: elements(secrets)
                .into_iter()
                .map(SecretInfo::read)
                .collect(),
        })
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("uri", &uri::Shown(&self.uri))
            .field("subscribed_events", &self.subscribed_events)
            .field("state", &self.state)
            .field("create_time", &self.create_time)
            .field("update_time", &self.update_time)
            .field("signing_secrets", &self.signing_secrets)
            .finish()
    }
}

/// What the service tells of a signing secret after it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretInfo {
    truncated: Option<String>,
    expire_time: Option<SystemTime>,
}

impl SecretInfo {
    /// Its last four characters, with `whsec_...` in front.
    #[must_use]
    pub fn truncated(&self) -> Option<&str> {
        self.truncated.as_deref()
    }

    /// When it is void.
    #[must_use]
    pub fn expire_time(&self) -> Option<SystemTime> {
        self.expire_time
    }

    fn read(value: &RawValue) -> Self {
        let found = members(value.get(), &["truncated_secret", "expire_time"]);
        let [truncated, expires] = found.unwrap_or_default();
        Self {
            truncated: text(truncated),
            expire_time: text(expires).as_deref().and_then(time::parse),
        }
    }
}

/// A webhook that has just been made, with its secret, which is shown this once.
#[derive(Clone, Debug)]
pub struct CreatedWebhook {
    webhook: Webhook,
    secret: NewSecret,
}

impl CreatedWebhook {
    /// The webhook.
    #[must_use]
    pub fn webhook(&self) -> &Webhook {
        &self.webhook
    }

    /// Its secret, to be stored.
    #[must_use]
    pub fn secret(&self) -> &NewSecret {
        &self.secret
    }

    /// Both, to keep.
    #[must_use]
    pub fn into_parts(self) -> (Webhook, NewSecret) {
        (self.webhook, self.secret)
    }

    pub(super) fn read(json: &str) -> Result<Self, String> {
        let webhook = Webhook::read(json)?;
        let secret = members(json, &["new_signing_secret"]).and_then(|[secret]| string(secret?));
        match secret {
            Some(secret) => Ok(Self {
                secret: NewSecret::new(&secret),
                webhook,
            }),
            None => Err(format!(
                "webhook {:?} was created, but the answer has no `new_signing_secret`",
                webhook.id
            )),
        }
    }
}

/// Changes to a webhook. What is not set stays as it is.
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
    /// No changes yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives it another name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Switches it on or off.
    pub fn state(mut self, state: WebhookState) -> Self {
        self.state = Some(state);
        self
    }

    /// Replaces the types of events that it gets.
    pub fn subscribed_events(
        mut self,
        events: impl IntoIterator<Item = impl Into<SubscribedEvent>>,
    ) -> Self {
        self.subscribed_events = Some(events.into_iter().map(Into::into).collect());
        self
    }

    /// Sends deliveries to another URI.
    pub fn uri(mut self, uri: impl Into<String>) -> Self {
        self.uri = Some(uri.into());
        self
    }

    /// Sends types of events too that the service is known to refuse, in case that it has learned
    /// them since.
    pub fn allow_refused_events(mut self) -> Self {
        self.any_event = true;
        self
    }

    /// Whether nothing would change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields().is_empty()
    }

    /// What is set.
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
                "nothing is set, so nothing would change",
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
            .field("uri", &self.uri.as_deref().map(uri::Shown))
            .finish()
    }
}

/// A part of a webhook that can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum WebhookField {
    /// Its name.
    Name,
    /// Whether it gets deliveries.
    State,
    /// The types of events that it gets.
    SubscribedEvents,
    /// Where deliveries go.
    Uri,
}

impl WebhookField {
    /// The name on the wire.
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
            "no type of event is subscribed to; name at least one",
        ));
    }
    let refused = events
        .iter()
        .find_map(|event| Some((event, event.instead()?)));
    match refused {
        Some((event, instead)) if !any_event => Err(ClientError::refused(
            call,
            format!(
                "the service refuses to subscribe to `{event}`: {instead}. If it has learned this type since, call `allow_refused_events`"
            ),
        )),
        _ => Ok(()),
    }
}

pub(super) fn text(value: Option<&RawValue>) -> Option<String> {
    Some(string(value?)?.into_owned())
}

fn texts(value: Option<&RawValue>) -> Vec<String> {
    elements(value)
        .into_iter()
        .filter_map(|element| text(Some(element)))
        .collect()
}

/// The elements of an array, or none if it is no array.
pub(super) fn elements(value: Option<&RawValue>) -> Vec<&RawValue> {
    value
        .and_then(|value| serde_json::from_str(value.get()).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::ClientErrorKind;

    #[test]
    fn a_webhook_is_read_leniently() {
        let full = json!({
            "id": "abc", "name": "n", "uri": "https://a.example/x?token=0123456789abcdefghijkl",
            "subscribed_events": ["batch.failed", "x.y", 7], "state": "disabled_due_to_failed_deliveries",
            "create_time": "2026-01-22T12:00:00Z", "update_time": "soon", "more": {},
            "signing_secrets": [
                {"truncated_secret": "whsec_...abcd", "expire_time": "1970-01-01T00:00:01Z"}, {}, 7
            ],
        });
        let webhook = Webhook::read(&full.to_string()).unwrap();
        assert_eq!((webhook.id(), webhook.name()), ("abc", Some("n")));
        assert_eq!(
            webhook.subscribed_events(),
            ["batch.failed", "x.y"].map(SubscribedEvent::from)
        );
        assert_eq!(
            webhook.state(),
            Some(&WebhookState::DisabledDueToFailedDeliveries)
        );
        assert!(webhook.create_time().is_some() && webhook.update_time().is_none());
        let [first, second, third] = webhook.signing_secrets() else {
            panic!("{webhook:?}");
        };
        assert_eq!(first.truncated(), Some("whsec_...abcd"));
        assert_eq!(
            first.expire_time(),
            Some(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1))
        );
        assert_eq!(second, third);
        assert!(!format!("{webhook:?}").contains("0123"), "{webhook:?}");

        let least =
            Webhook::read(r#"{"id":"abc","uri":"u","name":null,"state":1,"subscribed_events":{}}"#);
        let least = least.unwrap();
        assert_eq!((least.name(), least.state()), (None, None));
        assert!(least.subscribed_events().is_empty() && least.signing_secrets().is_empty());

        for json in [
            "",
            "[]",
            "{}",
            r#"{"id":"abc"}"#,
            r#"{"uri":"u"}"#,
            r#"{"id":7,"uri":"u"}"#,
        ] {
            assert!(Webhook::read(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_new_webhook_without_its_secret_is_named() {
        let json = r#"{"id":"abc","uri":"u","new_signing_secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}"#;
        let created = CreatedWebhook::read(json).unwrap();
        assert!(created.secret().expose().starts_with("whsec_Mf"));
        assert!(!format!("{created:?}").contains("Mf"), "{created:?}");
        let error = CreatedWebhook::read(r#"{"id":"abc","uri":"u"}"#).unwrap_err();
        assert!(error.contains("webhook \"abc\" was created"), "{error}");
    }

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
