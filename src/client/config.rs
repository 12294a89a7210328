//! The `webhook_config` of a job.

use std::fmt;

use serde::ser::{Error as _, SerializeMap as _};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::error::ClientError;
use super::shown::Shown;
use super::uri;
use crate::endpoint::EndpointToken;

/// How the config is called. Each request takes one of the two.
const SPELLINGS: [&str; 2] = ["webhook_config", "webhookConfig"];

/// The `webhook_config` of a job: the URIs for its events, and metadata that comes back.
///
/// The URIs replace the project's webhooks for this job (Google's SDKs). Without URIs, the
/// project's webhooks get its events, with the metadata.
///
/// Deliveries to these URIs are signed with Google's public keys (a *dynamic webhook*), which are the
/// same for all of Google's customers. So put an [`EndpointToken`] into the URIs, and give the same
/// token to the receiver.
///
/// [`put_into`](Self::put_into) writes the config into the body of a request, in the spelling that this
/// request needs. It serializes as `{"uris":[…],"user_metadata":{…}}`, so you can also convert it
/// to the type of another SDK.
///
/// ```
/// use gemini_webhooks::client::{Job, WebhookConfig};
/// use gemini_webhooks::EndpointToken;
/// use serde_json::json;
///
/// let token = EndpointToken::new("Zm9yLWRvY3VtZW50YXRpb24tb25seQ")?;
/// let config = WebhookConfig::new()
///     .uri("https://example.com/gemini-webhook-dynamic")
///     .with_endpoint_token(&token)
///     .user_metadata("job_group", "nightly");
///
/// let mut request = json!({
///     "model": "gemini-3-flash-preview",
///     "input": "Tell me a story.",
/// });
/// config.put_into(Job::Interaction, &mut request)?;
/// let uri = token.url("https://example.com/gemini-webhook-dynamic");
/// assert_eq!(
///     request,
///     json!({
///         "model": "gemini-3-flash-preview",
///         "input": "Tell me a story.",
///         "background": true,
///         "webhook_config": {
///             "uris": [uri],
///             "user_metadata": { "job_group": "nightly" },
///         },
///     }),
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct WebhookConfig {
    uris: Vec<String>,
    /// For the URIs that are still to come.
    token: Option<EndpointToken>,
    user_metadata: Map<String, Value>,
}

/// The kind of a request that takes a [`WebhookConfig`]; it decides the spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Job {
    /// A batch, `models/{model}:batchGenerateContent`: the config is `webhookConfig` under `batch`.
    Batch,
    /// An interaction, `interactions`: the config is `webhook_config`. `background` is set to
    /// `true` if it is missing, because only interactions in the background send events.
    Interaction,
    /// A trigger, `triggers`, which runs an interaction on a schedule: the config is `webhook_config`
    /// under `interaction` (Google's SDK; not confirmed by a report of the live service).
    Trigger,
    /// A video, `models/{model}:predictLongRunning` of `v1beta`: the config is `webhookConfig`.
    /// Google's Python SDK no longer has it since 3.0.0.
    Video,
}

impl WebhookConfig {
    /// Starts without URIs and metadata.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a URI that the events of the job go to.
    pub fn uri(mut self, uri: impl Into<String>) -> Self {
        let uri = uri.into();
        self.uris.push(match &self.token {
            Some(token) => uri::with_token(&uri, token),
            None => uri,
        });
        self
    }

    /// Puts an endpoint token into the query of every URI, also of those that are added later, in the
    /// place of any other. A receiver with the same token accepts what is sent there. A URI whose last
    /// path segment is the token stays as it is. A config with a token and no URI is an error where it
    /// is used, since the token would be nowhere.
    pub fn with_endpoint_token(mut self, token: &EndpointToken) -> Self {
        for uri in &mut self.uris {
            *uri = uri::with_token(uri, token);
        }
        self.token = Some(token.clone());
        self
    }

    /// Why it cannot be used.
    fn mistake(&self) -> Option<&'static str> {
        (self.token.is_some() && self.uris.is_empty()).then_some(
            "the webhook config has an endpoint token and no URI to put it into: call `uri`",
        )
    }

    /// Adds a value that comes back with each event of the job. Read it with
    /// [`GeminiEvent::user_metadata_as`](crate::GeminiEvent::user_metadata_as).
    pub fn user_metadata(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.user_metadata.insert(name.into(), value.into());
        self
    }

    /// Returns the URIs. They may contain an endpoint token: do not log them.
    #[must_use]
    pub fn uris(&self) -> &[String] {
        &self.uris
    }

    /// Returns the metadata that comes back with each event of the job.
    #[must_use]
    pub fn metadata(&self) -> &Map<String, Value> {
        &self.user_metadata
    }

    /// Writes the config into the body of a request, and replaces what is there in either spelling.
    ///
    /// # Errors
    ///
    /// [`ClientError`] of the kind `InvalidArgument`: the body is not of that kind, since it or a
    /// member of it is no object, or an interaction says that it does not run in the background; or
    /// there is an endpoint token and no URI.
    pub fn put_into(&self, job: Job, body: &mut Value) -> Result<(), ClientError> {
        let refused = |why: String| ClientError::refused("webhook_config", why);
        if let Some(mistake) = self.mistake() {
            return Err(refused(mistake.to_owned()));
        }
        let within = match job {
            Job::Batch => Some("batch"),
            Job::Trigger => Some("interaction"),
            Job::Interaction | Job::Video => None,
        };
        let place = match within {
            Some(name) => body.get_mut(name),
            None => Some(body),
        };
        let place = place
            .and_then(Value::as_object_mut)
            .ok_or_else(|| match within {
                Some(name) => refused(format!("the body of the request has no object `{name}`")),
                None => refused("the body of the request is not a JSON object".to_owned()),
            })?;
        if job == Job::Interaction {
            let background = place.entry("background").or_insert(true.into());
            if *background != Value::Bool(true) {
                return Err(refused(
                    "the service sends events only for interactions that run in the background: set `background` to `true`".to_owned(),
                ));
            }
        }
        for spelling in SPELLINGS {
            place.remove(spelling);
        }
        let name = match job {
            Job::Batch | Job::Video => "webhookConfig",
            Job::Interaction | Job::Trigger => "webhook_config",
        };
        place.insert(name.to_owned(), self.to_value());
        Ok(())
    }

    fn to_value(&self) -> Value {
        let mut value = Map::new();
        if !self.uris.is_empty() {
            value.insert("uris".to_owned(), self.uris.as_slice().into());
        }
        if !self.user_metadata.is_empty() {
            value.insert(
                "user_metadata".to_owned(),
                self.user_metadata.clone().into(),
            );
        }
        value.into()
    }
}

/// The metadata in the config of a job, as the service answers it, in whatever spelling.
pub(super) fn metadata_of(job: &Value) -> Option<&Map<String, Value>> {
    let config = SPELLINGS.into_iter().find_map(|name| job.get(name))?;
    let mut metadata = ["user_metadata", "userMetadata"].into_iter();
    metadata.find_map(|name| config.get(name))?.as_object()
}

/// By what it is on the wire.
impl PartialEq for WebhookConfig {
    fn eq(&self, other: &Self) -> bool {
        self.uris == other.uris && self.user_metadata == other.user_metadata
    }
}

/// `{"uris":[…],"user_metadata":{…}}`, each if there is any. An endpoint token without a URI is an error.
impl Serialize for WebhookConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(mistake) = self.mistake() {
            return Err(S::Error::custom(mistake));
        }
        let mut map = serializer.serialize_map(None)?;
        if !self.uris.is_empty() {
            map.serialize_entry("uris", &self.uris)?;
        }
        if !self.user_metadata.is_empty() {
            map.serialize_entry("user_metadata", &self.user_metadata)?;
        }
        map.end()
    }
}

impl fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uris: Vec<_> = self.uris.iter().map(|uri| Shown(uri)).collect();
        f.debug_struct("WebhookConfig")
            .field("uris", &uris)
            .field("user_metadata", &self.user_metadata)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config() -> WebhookConfig {
        WebhookConfig::new()
            .uri("https://a.example/x")
            .user_metadata("a", 1)
    }

    #[test]
    fn each_job_has_its_spelling() {
        let it = json!({"uris": ["https://a.example/x"], "user_metadata": {"a": 1}});
        assert_eq!(serde_json::to_value(config()).unwrap(), it);
        for (job, mut body, expected) in [
            (
                Job::Batch,
                json!({"batch": {"displayName": "d"}}),
                json!({"batch": {"displayName": "d", "webhookConfig": it}}),
            ),
            (
                Job::Batch,
                json!({"batch": {"webhook_config": 1, "webhookConfig": 2}}),
                json!({"batch": {"webhookConfig": it}}),
            ),
            (
                Job::Interaction,
                json!({"input": "x"}),
                json!({"input": "x", "background": true, "webhook_config": it}),
            ),
            (
                Job::Interaction,
                json!({"background": true}),
                json!({"background": true, "webhook_config": it}),
            ),
            (
                Job::Trigger,
                json!({"interaction": {"agent": "a"}}),
                json!({"interaction": {"agent": "a", "webhook_config": it}}),
            ),
            (
                Job::Video,
                json!({"instances": []}),
                json!({"instances": [], "webhookConfig": it}),
            ),
        ] {
            config().put_into(job, &mut body).unwrap();
            assert_eq!(body, expected, "{job:?}");
        }
        for (job, body, part) in [
            (Job::Batch, json!({}), "no object `batch`"),
            (Job::Batch, json!({"batch": []}), "no object `batch`"),
            (Job::Batch, json!("x"), "no object `batch`"),
            (
                Job::Trigger,
                json!({"agent": "a"}),
                "no object `interaction`",
            ),
            (Job::Interaction, json!([]), "is not a JSON object"),
            (
                Job::Interaction,
                json!({"background": false}),
                "set `background`",
            ),
            (Job::Video, json!(null), "is not a JSON object"),
        ] {
            let mut changed = body.clone();
            let error = config().put_into(job, &mut changed).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
            assert_eq!(changed, body, "{job:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_written() {
        for (config, expected) in [
            (WebhookConfig::new(), json!({})),
            (WebhookConfig::new().uri("u"), json!({"uris": ["u"]})),
            (
                WebhookConfig::new().user_metadata("a", "b"),
                json!({"user_metadata": {"a": "b"}}),
            ),
        ] {
            assert_eq!(serde_json::to_value(&config).unwrap(), expected);
            assert_eq!(config.to_value(), expected);
            let metadata = expected.get("user_metadata").and_then(Value::as_object);
            assert_eq!(config.metadata(), metadata.unwrap_or(&Map::new()));
        }
    }

    #[test]
    fn the_token_goes_into_every_uri_and_is_not_shown() {
        let token = EndpointToken::new("0123456789abcdefghijkl").unwrap();
        let config = config()
            .uri("https://b.example/y?token=old&a=1")
            .with_endpoint_token(&token)
            .uri("https://c.example/z");
        assert_eq!(
            config.uris(),
            [
                "https://a.example/x?token=0123456789abcdefghijkl",
                "https://b.example/y?a=1&token=0123456789abcdefghijkl",
                "https://c.example/z?token=0123456789abcdefghijkl",
            ]
        );
        assert!(!format!("{config:?}").contains("0123"), "{config:?}");

        let nowhere = WebhookConfig::new().with_endpoint_token(&token);
        let mut body = json!({});
        let error = nowhere.put_into(Job::Interaction, &mut body).unwrap_err();
        for shown in [
            error.to_string(),
            serde_json::to_string(&nowhere).unwrap_err().to_string(),
        ] {
            assert!(shown.contains("no URI to put it into"), "{shown}");
        }
        assert_eq!(body, json!({}));
    }
}
