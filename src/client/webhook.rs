//! A registered webhook.

use std::fmt;
use std::time::SystemTime;

use serde_json::value::RawValue;

use super::names::{SubscribedEvent, WebhookState};
use super::secret::NewSecret;
use super::shown::Shown;
use super::time;
use crate::json::{members, string};

/// A registered webhook, as the service describes it.
///
/// `Debug` leaves out the query of its URI, and a part of the path that could be an endpoint token.
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
    /// Returns the id, which the other calls take.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the name that somebody gave it, if any.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Where deliveries go. It may contain an endpoint token. It is empty if a list does not say it.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Returns the types of events that the webhook is subscribed to.
    #[must_use]
    pub fn subscribed_events(&self) -> &[SubscribedEvent] {
        &self.subscribed_events
    }

    /// Returns whether the webhook is enabled or switched off.
    #[must_use]
    pub fn state(&self) -> Option<&WebhookState> {
        self.state.as_ref()
    }

    /// Returns when the webhook was created.
    #[must_use]
    pub fn create_time(&self) -> Option<SystemTime> {
        self.create_time
    }

    /// Returns when the webhook was last changed.
    ///
    /// The service did not return it in one user's report (2026-08-31, googleapis/python-genai
    /// #2927).
    #[must_use]
    pub fn update_time(&self) -> Option<SystemTime> {
        self.update_time
    }

    /// Returns what the service tells of the signing secrets. After a rotation there are several.
    #[must_use]
    pub fn signing_secrets(&self) -> &[SecretInfo] {
        &self.signing_secrets
    }

    /// A webhook whose every member but `id` and `uri` may be missing or of another type.
    pub(super) fn read(json: &str) -> Result<Self, &'static str> {
        let webhook = Self::read_listed(json)?;
        if webhook.uri.is_empty() {
            return Err("it has no `uri`");
        }
        Ok(webhook)
    }

    /// One of a list, in which others must not be lost for one without a `uri`.
    pub(super) fn read_listed(json: &str) -> Result<Self, &'static str> {
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
            found.ok_or("it is not a JSON object")?;
        Ok(Self {
            id: text(id).ok_or("it has no `id`")?,
            name: text(name),
            uri: text(uri).unwrap_or_default(),
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
            .field("uri", &Shown(&self.uri))
            .field("subscribed_events", &self.subscribed_events)
            .field("state", &self.state)
            .field("create_time", &self.create_time)
            .field("update_time", &self.update_time)
            .field("signing_secrets", &self.signing_secrets)
            .finish()
    }
}

/// What the service tells of a signing secret after it was shown: its end and last characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretInfo {
    truncated: Option<String>,
    expire_time: Option<SystemTime>,
}

impl SecretInfo {
    /// Returns the last four characters of the secret, after `whsec_...`.
    #[must_use]
    pub fn truncated(&self) -> Option<&str> {
        self.truncated.as_deref()
    }

    /// Returns when the secret ends, if it has an end.
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

/// A webhook that was just created, with its signing secret.
///
/// The service shows the secret this once: store it.
#[derive(Clone, Debug)]
pub struct CreatedWebhook {
    webhook: Webhook,
    secret: NewSecret,
}

impl CreatedWebhook {
    /// Returns the webhook.
    #[must_use]
    pub fn webhook(&self) -> &Webhook {
        &self.webhook
    }

    /// Returns the signing secret, to be stored.
    #[must_use]
    pub fn secret(&self) -> &NewSecret {
        &self.secret
    }

    /// Returns the webhook and the secret by value.
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
}
