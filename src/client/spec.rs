//! The description of a webhook.

use std::fmt;

use serde_json::{Value, json};

use super::error::ClientError;
use super::names::{RevocationBehavior, SubscribedEvent};
use super::shown::Shown;
use super::update::{check_events, event_names};
use super::uri;
use crate::endpoint::EndpointToken;
use crate::pasted;

/// Describes a webhook: the URI that deliveries go to, and the types of events.
///
/// [`create`](super::WebhookService::create) creates a webhook like this.
/// [`ensure`](super::WebhookService::ensure) makes the project's webhook like this.
///
/// ```
/// use gemini_webhooks::client::{SubscribedEvent, WebhookSpec};
///
/// let spec = WebhookSpec::new(
///     "https://example.com/gemini-callback",
///     [SubscribedEvent::BatchSucceeded, SubscribedEvent::BatchFailed],
/// )
/// .name("nightly batches");
/// ```
#[derive(Clone)]
#[must_use]
pub struct WebhookSpec {
    pub(super) uri: String,
    pub(super) events: Vec<SubscribedEvent>,
    pub(super) name: Option<String>,
    /// Whether the last segment of the path is an endpoint token.
    pub(super) token_in_path: bool,
    pub(super) previous: Vec<EndpointToken>,
    pub(super) any_event: bool,
    pub(super) at_hand: Vec<Tail>,
    pub(super) rotate: Option<RevocationBehavior>,
}

/// The last four characters of a secret, which is what the service tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tail(String);

impl Tail {
    /// `None` of fewer than four characters, which could be the end of any.
    pub(super) fn of(secret: &str) -> Option<Self> {
        let secret = pasted::trim(secret);
        let (start, _) = secret.char_indices().rev().nth(3)?;
        secret.get(start..).map(|tail| Self(tail.to_owned()))
    }

    /// Whether this is the end of `whsec_...abcd`.
    pub(super) fn is_of(&self, truncated: &str) -> bool {
        truncated.ends_with(&self.0)
    }
}

impl WebhookSpec {
    /// Describes a webhook that gets events of these types at `uri`.
    ///
    /// `uri` must be the public `https` URL of your route. Elements of `events` are
    /// [`SubscribedEvent`]s, or names such as `"batch.succeeded"`.
    pub fn new(
        uri: impl Into<String>,
        events: impl IntoIterator<Item = impl Into<SubscribedEvent>>,
    ) -> Self {
        Self {
            uri: uri.into(),
            events: events.into_iter().map(Into::into).collect(),
            name: None,
            token_in_path: false,
            previous: Vec::new(),
            any_event: false,
            at_hand: Vec::new(),
            rotate: None,
        }
    }

    /// Sets a name, for people to read. Without one, `ensure` leaves the name as it is.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Puts an endpoint token into the query of the URI, in the place of any other.
    ///
    /// If the token is the last segment of the path, the URI stays as it is. Nobody can tell an
    /// endpoint token in a path from the name of another webhook's endpoint. So `ensure` takes a
    /// webhook with another last segment for the one that is to get this token only if that segment
    /// is a [previous token](Self::previous_endpoint_token), or if it could be a token and the webhook
    /// has the [name](Self::name) of this spec. Otherwise it creates a second webhook.
    pub fn endpoint_token(mut self, token: &EndpointToken) -> Self {
        self.token_in_path = uri::is_in_path(&self.uri, token);
        self.uri = uri::with_token(&self.uri, token);
        self
    }

    /// A token that the webhook may have now, in the last segment of its path, because
    /// [`endpoint_token`](Self::endpoint_token) was called with it before. `ensure` puts the new one in
    /// its place. Call it again for another. A token in a query needs none of this.
    pub fn previous_endpoint_token(mut self, token: &EndpointToken) -> Self {
        self.previous.push(token.clone());
        self
    }

    /// Sends types of events too that the service is known to refuse (`batch.completed`,
    /// `batch.cancelled` and the like), in case that it has learned them since.
    pub fn allow_refused_events(mut self) -> Self {
        self.any_event = true;
        self
    }

    /// A signing secret that your app has, so that `ensure` can tell whether it is one of the
    /// webhook's. Its last four characters are kept, since the service tells no more of a secret. Call
    /// it again for a second one; fewer than four characters are no secret.
    pub fn secret_at_hand(mut self, secret: impl AsRef<str>) -> Self {
        self.at_hand.extend(Tail::of(secret.as_ref()));
        self
    }

    /// Lets `ensure` rotate the signing secret if your app has none of the webhook's secrets.
    ///
    /// Those that it has are named with [`secret_at_hand`](Self::secret_at_hand).
    ///
    /// **Each rotation ends the secrets before it**, after 24 hours or at once. So use this in one
    /// process only, store the new secret, and name it from then on.
    pub fn rotate_if_not_at_hand(mut self, behavior: RevocationBehavior) -> Self {
        self.rotate = Some(behavior);
        self
    }

    /// The body of `create`.
    pub(super) fn body(&self) -> Value {
        let mut body = json!({ "subscribed_events": event_names(&self.events), "uri": self.uri });
        if let (Some(name), Some(body)) = (&self.name, body.as_object_mut()) {
            body.insert("name".to_owned(), name.as_str().into());
        }
        body
    }

    pub(super) fn check(&self, call: &'static str) -> Result<(), ClientError> {
        check_events(call, &self.events, self.any_event)
    }
}

impl fmt::Debug for WebhookSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSpec")
            .field("uri", &Shown(&self.uri))
            .field("subscribed_events", &self.events)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_end() {
        let tail = Tail::of(" whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        assert_eq!(tail, Tail("LaSw".to_owned()));
        assert!(tail.is_of("whsec_...LaSw") && !tail.is_of("whsec_...LaSx"));
        assert_eq!(Tail::of("abcd"), Some(Tail("abcd".to_owned())));
        assert_eq!(Tail::of(" abc"), None);
        assert_eq!(Tail::of(" \n"), None);
    }

    #[test]
    fn a_spec_shows_no_token() {
        let token = EndpointToken::new("0123456789abcdefghijkl").unwrap();
        let spec = WebhookSpec::new("https://a.example/x", ["batch.failed"]).endpoint_token(&token);
        assert_eq!(spec.uri, "https://a.example/x?token=0123456789abcdefghijkl");
        assert!(!spec.token_in_path);
        assert!(!format!("{spec:?}").contains("0123"), "{spec:?}");
        let spec = WebhookSpec::new("https://a.example/0123456789abcdefghijkl", ["batch.failed"]);
        let spec = spec.endpoint_token(&token);
        assert!(spec.token_in_path && spec.uri.ends_with("/0123456789abcdefghijkl"));
        assert!(!format!("{spec:?}").contains("0123"), "{spec:?}");
    }
}
