//! The calls of the WebhookService.

use std::fmt;

use reqwest::Method;
use serde_json::{Map, Value};

use super::builder::WebhookServiceBuilder;
use super::error::{ClientError, ClientErrorKind};
use super::http::{Body, Call, Http, segment};
use super::jobs::{Batches, Interactions};
use super::names::RevocationBehavior;
use super::pages::{Listing, Page};
use super::retry::Repeat;
use super::secret::NewSecret;
use super::spec::WebhookSpec;
use super::update::WebhookUpdate;
use super::webhook::{CreatedWebhook, Webhook, elements, text};
use crate::error::ConfigError;
use crate::json::{members, string};

const CREATE: &str = "webhooks.create";
const GET: &str = "webhooks.get";
const LIST: &str = "webhooks.list";
const UPDATE: &str = "webhooks.update";
const DELETE: &str = "webhooks.delete";
const ROTATE: &str = "webhooks.rotate_signing_secret";
const PING: &str = "webhooks.ping";

/// A client of Google's WebhookService: the webhooks of a project, and jobs that call back.
///
/// It is cheap to clone, and clones share their connections. The [module](super) says how it sends,
/// and what it does when a call fails.
///
/// ```no_run
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use gemini_webhooks::client::WebhookService;
///
/// let service = WebhookService::from_env()?; // GOOGLE_API_KEY or GEMINI_API_KEY
/// let webhook = service.get("my-webhook-id").await?;
/// println!("{} is {:?}", webhook.uri(), webhook.state());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct WebhookService {
    http: Http,
}

impl WebhookService {
    pub(super) fn new(http: Http) -> Self {
        Self { http }
    }

    /// Returns a builder, to set the API key, the base URL, the retries or the HTTP client.
    pub fn builder() -> WebhookServiceBuilder {
        WebhookServiceBuilder::default()
    }

    /// Makes a client with the API key from the environment.
    ///
    /// The key is read from `GOOGLE_API_KEY`, or else from `GEMINI_API_KEY`, as in Google's SDKs.
    ///
    /// # Errors
    ///
    /// The same as [`WebhookServiceBuilder::build`].
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::builder().build()
    }

    /// Returns the same client, whose calls are tried once: each call is one request.
    ///
    /// Use it if you decide by yourself when to try again, or if you count requests. It has the same settings and
    /// connections otherwise, and this client stays as it is.
    ///
    /// ```
    /// use gemini_webhooks::client::WebhookService;
    ///
    /// let service = WebhookService::builder().api_key("fake-key-123").build()?;
    /// let batches = service.without_retries().batches();
    /// # Ok::<(), gemini_webhooks::ConfigError>(())
    /// ```
    #[must_use]
    pub fn without_retries(&self) -> Self {
        Self::new(self.http.without_retries())
    }

    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    /// Where it sends to, with the version of the API.
    pub(super) fn base(&self) -> &str {
        self.http.base()
    }

    /// Creates a webhook, and returns it with its signing secret.
    ///
    /// The secret is returned this once: store it. Another call creates another webhook; to have
    /// exactly one, use [`ensure`](Self::ensure).
    ///
    /// **It is not cancel safe.** If the future is dropped, for example by `tokio::time::timeout`, the
    /// webhook may be there, with a secret that nobody knows. Set the
    /// [deadline](WebhookServiceBuilder::deadline) instead.
    ///
    /// # Errors
    ///
    /// [`ClientError`]. If the answer is lost, the webhook may have been created, with a secret that
    /// nobody knows.
    pub async fn create(&self, spec: &WebhookSpec) -> Result<CreatedWebhook, ClientError> {
        spec.check(CREATE)?;
        let sent = self.http.send(Call {
            name: CREATE,
            method: Method::POST,
            path: "webhooks".to_owned(),
            query: Vec::new(),
            body: Some(spec.body()),
            repeat: Repeat::MakesAnother,
        });
        let read = |body: &str| {
            CreatedWebhook::read(body).map_err(|why| ClientError::unreadable(CREATE, why))
        };
        sent.await
            .and_then(|body| read(utf8(CREATE, &body)?))
            .map_err(|error| {
                error.if_carried_out(
                    "the webhook may have been created, with a secret that nobody knows: call `list` to look, then `delete` or `rotate_signing_secret`",
                )
            })
    }

    /// Returns the webhook with this id.
    ///
    /// # Errors
    ///
    /// [`ClientError`], of the kind [`NotFound`](ClientErrorKind::NotFound) if there is none.
    pub async fn get(&self, id: &str) -> Result<Webhook, ClientError> {
        let call = self.of_one(GET, Method::GET, id, "")?;
        webhook(GET, &self.http.send(call).await?)
    }

    /// Lists the webhooks of the project, and fetches the pages as they are needed.
    ///
    /// ```no_run
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// use gemini_webhooks::client::WebhookService;
    ///
    /// let mut webhooks = WebhookService::from_env()?.list();
    /// while let Some(webhook) = webhooks.next().await {
    ///     println!("{:?}", webhook?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn list(&self) -> Listing<Webhook> {
        self.listing(None)
    }

    /// As [`list`](Self::list), in pages as large as they can be, and in no more of them than anybody
    /// has webhooks.
    pub(super) fn list_in_few_pages(&self) -> Listing<Webhook> {
        self.listing(Some(1000)).at_most(100)
    }

    fn listing(&self, page_size: Option<u32>) -> Listing<Webhook> {
        let service = self.clone();
        Listing::new(LIST, move |token| {
            let service = service.clone();
            Box::pin(async move { service.list_page(page_size, token.as_deref()).await })
        })
    }

    /// Returns one page of the project's webhooks.
    ///
    /// `page_size` is 50 by default and 1000 at most (Google's reference). Without `page_token` it
    /// is the first page, with one that of the [token](Page::next_page_token).
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn list_page(
        &self,
        page_size: Option<u32>,
        page_token: Option<&str>,
    ) -> Result<Page<Webhook>, ClientError> {
        let call = Call {
            name: LIST,
            method: Method::GET,
            path: "webhooks".to_owned(),
            query: page_query(["page_size", "page_token"], page_size, page_token),
            body: None,
            repeat: Repeat::Harmless,
        };
        let body = self.http.send(call).await?;
        page(
            LIST,
            &body,
            ["webhooks", "next_page_token"],
            Webhook::read_listed,
        )
    }

    /// Changes what `update` sets, and returns the webhook.
    ///
    /// `update_mask` lists exactly these fields. One user's report (2026-08-31,
    /// googleapis/python-genai
    /// #2927) says that the service ignores the mask.
    ///
    /// # Errors
    ///
    /// [`ClientError`], of the kind [`InvalidArgument`](ClientErrorKind::InvalidArgument) if nothing
    /// is set.
    pub async fn update(&self, id: &str, update: &WebhookUpdate) -> Result<Webhook, ClientError> {
        update.check(UPDATE)?;
        let call = self.of_one(UPDATE, Method::PATCH, id, "")?;
        let call = Call {
            query: vec![("update_mask", update.mask())],
            body: Some(update.body()),
            ..call
        };
        webhook(UPDATE, &self.http.send(call).await?)
    }

    /// Deletes a webhook.
    ///
    /// # Errors
    ///
    /// [`ClientError`]. It is a success if an earlier try of this call has deleted the webhook.
    pub async fn delete(&self, id: &str) -> Result<(), ClientError> {
        let call = self.of_one(DELETE, Method::DELETE, id, "")?;
        match self.http.send(call).await {
            Err(error)
                if error.kind() == ClientErrorKind::NotFound
                    && error.may_have_been_carried_out() =>
            {
                Ok(())
            }
            sent => sent.and_then(|body| done(DELETE, &body)),
        }
    }

    /// Makes a new signing secret for a webhook, and returns it.
    ///
    /// For a receiver that is in use, [`rotate_into`](Self::rotate_into) also puts it into the keyring.
    ///
    /// `behavior` says when the previous secrets end: after 24 hours, or at once. `None` leaves it
    /// to the service, which ends them after 24 hours (Google's reference). With
    /// [`Immediately`](RevocationBehavior::Immediately), deliveries are refused until your receiver
    /// has the new secret.
    ///
    /// **It is not cancel safe.** If the future is dropped, for example by `tokio::time::timeout`, there
    /// may be a secret that nobody knows. Set the [deadline](WebhookServiceBuilder::deadline) instead.
    ///
    /// # Errors
    ///
    /// [`ClientError`]. If the answer is lost, there may be a new secret that nobody knows: rotate again.
    pub async fn rotate_signing_secret(
        &self,
        id: &str,
        behavior: impl Into<Option<RevocationBehavior>>,
    ) -> Result<NewSecret, ClientError> {
        let mut body = Map::new();
        if let Some(behavior) = behavior.into() {
            body.insert("revocation_behavior".to_owned(), behavior.as_str().into());
        }
        let call = self.of_one(ROTATE, Method::POST, id, ":rotateSigningSecret")?;
        let call = Call {
            body: Some(body.into()),
            repeat: Repeat::MakesAnother,
            ..call
        };
        let read = |body: &str| {
            let secret = members(body, &["secret"]).and_then(|[secret]| string(secret?));
            // An empty one must not be stored in the place of the one before.
            let secret = secret.filter(|secret| !secret.trim().is_empty());
            let secret = secret.as_deref().map(NewSecret::new);
            secret.ok_or_else(|| ClientError::unreadable(ROTATE, "the answer has no `secret`"))
        };
        self.http
            .send(call)
            .await
            .and_then(|body| read(utf8(ROTATE, &body)?))
            .map_err(|error| {
                error.if_carried_out(
                    "the secret may have been rotated, and nobody knows the new one: keep the one you have, call `rotate_signing_secret` again, and store what it returns",
                )
            })
    }

    /// Asks the service to send a test event to a webhook.
    ///
    /// The service answers before it sends, so success does not mean that your receiver accepted the
    /// event. The type of the event is not documented.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn ping(&self, id: &str) -> Result<(), ClientError> {
        let call = self.of_one(PING, Method::POST, id, ":ping")?;
        done(PING, &self.http.send(call).await?)
    }

    /// Returns a client for batches, whose events go to the URIs of a
    /// [`WebhookConfig`](super::WebhookConfig).
    #[must_use]
    pub fn batches(&self) -> Batches {
        Batches::new(self.http.clone())
    }

    /// Returns a client for interactions, whose events go to the URIs of a
    /// [`WebhookConfig`](super::WebhookConfig).
    #[must_use]
    pub fn interactions(&self) -> Interactions {
        Interactions::new(self.http.clone())
    }

    /// A call about one webhook.
    fn of_one(
        &self,
        name: &'static str,
        method: Method,
        id: &str,
        verb: &str,
    ) -> Result<Call, ClientError> {
        Ok(Call {
            name,
            method,
            path: format!("webhooks/{}{verb}", segment(name, "the id", id)?),
            query: Vec::new(),
            body: None,
            repeat: Repeat::Harmless,
        })
    }
}

impl fmt::Debug for WebhookService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookService")
            .field("base", &self.base())
            .finish_non_exhaustive()
    }
}

pub(super) fn page_query(
    [size_name, token_name]: [&'static str; 2],
    size: Option<u32>,
    token: Option<&str>,
) -> Vec<(&'static str, String)> {
    let size = size.map(|size| (size_name, size.to_string()));
    let token = token.map(|token| (token_name, token.to_owned()));
    size.into_iter().chain(token).collect()
}

/// A page of a list. Either member may be absent: an empty project answers `{}`. What cannot be
/// understood is no empty project, in which a second webhook would be made.
pub(super) fn page<T, E: fmt::Display>(
    call: &'static str,
    body: &Body,
    names: [&str; 2],
    read: impl Fn(&str) -> Result<T, E>,
) -> Result<Page<T>, ClientError> {
    let unreadable = |why: String| ClientError::unreadable(call, why);
    let body = utf8(call, body)?;
    let [items_name, token_name] = names;
    let found = members(body, &[items_name, token_name, "error"]);
    let [items, token, error] =
        found.ok_or_else(|| unreadable("the answer is not a JSON object".to_owned()))?;
    if error.is_some() {
        return Err(unreadable("the answer is an error".to_owned()));
    }
    let is_empty = body
        .chars()
        .all(|char| char.is_whitespace() || "{}".contains(char));
    if items.is_none() && token.is_none() && !is_empty {
        return Err(unreadable(format!(
            "the answer has neither `{items_name}` nor `{token_name}`"
        )));
    }
    let next = text(token);
    if next.is_none() && token.is_some_and(|token| token.get() != "null") {
        return Err(unreadable(format!(
            "`{token_name}` of the answer is not a text"
        )));
    }
    if items.is_some_and(|items| !items.get().starts_with(['[', 'n'])) {
        return Err(unreadable(format!(
            "`{items_name}` of the answer is not an array"
        )));
    }
    let items = elements(items).into_iter().map(|item| read(item.get()));
    let items: Result<Vec<T>, E> = items.collect();
    let items =
        items.map_err(|why| unreadable(format!("an element of the list cannot be read: {why}")))?;
    Ok(Page::new(items, next))
}

fn webhook(call: &'static str, body: &Body) -> Result<Webhook, ClientError> {
    let unreadable =
        |why| ClientError::unreadable(call, format!("the answer is not a webhook: {why}"));
    Webhook::read(utf8(call, body)?).map_err(unreadable)
}

/// The answer to a call that returns nothing. A proxy may answer anything.
fn done(call: &'static str, body: &Body) -> Result<(), ClientError> {
    let body = utf8(call, body)?.trim();
    if body.is_empty() || members::<0>(body, &[]).is_some() {
        return Ok(());
    }
    Err(ClientError::unreadable(
        call,
        "the answer is not a JSON object",
    ))
}

pub(super) fn utf8<'a>(call: &'static str, body: &'a Body) -> Result<&'a str, ClientError> {
    str::from_utf8(body).map_err(|_| ClientError::unreadable(call, "the answer is not UTF-8 text"))
}

/// The JSON of an answer.
pub(super) fn value(call: &'static str, body: &Body) -> Result<Value, ClientError> {
    let value = serde_json::from_slice(body);
    value.map_err(|error| ClientError::unreadable(call, format!("the answer is not JSON: {error}")))
}
