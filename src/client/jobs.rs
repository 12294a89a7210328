//! Jobs that call back. This is no client of all that the Gemini API can do: the request is JSON.

use std::fmt;

use reqwest::Method;
use serde_json::Value;

use super::config::{Job, WebhookConfig};
use super::error::ClientError;
use super::http::{Call, Http, segment};
use super::names::{BatchState, InteractionStatus};
use super::pages::{Listing, Page};
use super::retry::Repeat;
use super::service::{page, page_query, value};

const CREATE_BATCH: &str = "batches.create";
const GET_BATCH: &str = "batches.get";
const LIST_BATCHES: &str = "batches.list";
const CREATE_INTERACTION: &str = "interactions.create";
const GET_INTERACTION: &str = "interactions.get";

/// What to do where a job may have been started.
const LOST: &str = "the job may have been started: look for it before you start another one";

/// Starts batches and asks for them.
///
/// ```no_run
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use gemini_webhooks::client::{WebhookConfig, WebhookService};
/// use serde_json::json;
///
/// let config = WebhookConfig::new().uri("https://example.com/gemini-webhook-dynamic");
/// let batch = WebhookService::from_env()?
///     .batches()
///     .create(
///         "gemini-3-flash-preview",
///         json!({ "batch": { "displayName": "nightly", "inputConfig": { "fileName": "files/abc" } } }),
///         Some(&config),
///     )
///     .await?;
/// println!("{}", batch.name());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Batches {
    http: Http,
}

impl Batches {
    pub(super) fn new(http: Http) -> Self {
        Self { http }
    }

    /// Starts a batch. `request` is the body of `batchGenerateContent`, with all under `batch`;
    /// `webhook` is put into it.
    ///
    /// # Errors
    ///
    /// [`ClientError`]. If the answer is lost, the batch may have been started.
    pub async fn create(
        &self,
        model: &str,
        mut request: Value,
        webhook: Option<&WebhookConfig>,
    ) -> Result<Batch, ClientError> {
        if let Some(webhook) = webhook {
            webhook.put_into(Job::Batch, &mut request)?;
        }
        let model = model.strip_prefix("models/").unwrap_or(model);
        let model = segment(CREATE_BATCH, "the model", model)?;
        let call = Call {
            name: CREATE_BATCH,
            method: Method::POST,
            path: format!("models/{model}:batchGenerateContent"),
            query: Vec::new(),
            body: Some(request),
            repeat: Repeat::MakesAnother,
        };
        let sent = self.http.send(call).await;
        sent.and_then(|body| Batch::read(CREATE_BATCH, value(CREATE_BATCH, &body)?))
            .map_err(|error| error.if_carried_out(LOST))
    }

    /// The batch of this id, with or without `batches/` in front, as events have it.
    ///
    /// Only the project that started it can ask for it, so far as is known. So this also tells whether
    /// an event under Google's public keys is about a batch of yours.
    ///
    /// # Errors
    ///
    /// [`ClientError`]
    pub async fn get(&self, id: &str) -> Result<Batch, ClientError> {
        let id = id.strip_prefix("batches/").unwrap_or(id);
        let call = Call {
            name: GET_BATCH,
            method: Method::GET,
            path: format!("batches/{}", segment(GET_BATCH, "the id", id)?),
            query: Vec::new(),
            body: None,
            repeat: Repeat::Harmless,
        };
        let body = self.http.send(call).await?;
        Batch::read(GET_BATCH, value(GET_BATCH, &body)?)
    }

    /// The batches of the project, over all pages.
    pub fn list(&self) -> Listing<Batch> {
        let batches = self.clone();
        Listing::new(LIST_BATCHES, move |token| {
            let batches = batches.clone();
            Box::pin(async move { batches.list_page(None, token.as_deref()).await })
        })
    }

    /// One page of the project's batches: of `page_size`, or as the service likes; the first, or that
    /// of a [token](Page::next_page_token).
    ///
    /// # Errors
    ///
    /// [`ClientError`]
    pub async fn list_page(
        &self,
        page_size: Option<u32>,
        page_token: Option<&str>,
    ) -> Result<Page<Batch>, ClientError> {
        let call = Call {
            name: LIST_BATCHES,
            method: Method::GET,
            path: "batches".to_owned(),
            query: page_query(["pageSize", "pageToken"], page_size, page_token),
            body: None,
            repeat: Repeat::Harmless,
        };
        let body = self.http.send(call).await?;
        page(
            LIST_BATCHES,
            &body,
            ["operations", "nextPageToken"],
            |json| {
                let value = serde_json::from_str(json).map_err(|error| error.to_string())?;
                Batch::read(LIST_BATCHES, value).map_err(|error| error.to_string())
            },
        )
    }
}

/// A batch as the service has it: an operation. `Debug` shows its name and state only.
#[derive(Clone, PartialEq)]
pub struct Batch {
    name: String,
    json: Value,
}

impl Batch {
    /// Its name, `batches/…`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> Option<BatchState> {
        Some(BatchState::from(self.text("/metadata/state")?))
    }

    /// Whether it has ended, well or not.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.json
            .get("done")
            .and_then(Value::as_bool)
            .unwrap_or_default()
    }

    /// The file with its responses, `files/…`; none if they are inline.
    #[must_use]
    pub fn responses_file(&self) -> Option<&str> {
        self.text("/metadata/output/responsesFile")
    }

    /// Why it failed.
    #[must_use]
    pub fn error_message(&self) -> Option<&str> {
        self.text("/error/message")
    }

    /// All that the service says of it.
    #[must_use]
    pub fn json(&self) -> &Value {
        &self.json
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.json.pointer(pointer)?.as_str()
    }

    fn read(call: &'static str, json: Value) -> Result<Self, ClientError> {
        match json.get("name").and_then(Value::as_str) {
            Some(name) => Ok(Self {
                name: name.to_owned(),
                json,
            }),
            None => Err(ClientError::unreadable(
                call,
                "the answer has no `name`, so it is not a batch",
            )),
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("name", &self.name)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// Starts interactions and asks for them. They cannot be listed.
#[derive(Clone, Debug)]
pub struct Interactions {
    http: Http,
}

impl Interactions {
    pub(super) fn new(http: Http) -> Self {
        Self { http }
    }

    /// Starts an interaction. `request` is the body of `interactions`; `webhook` is put into it, with
    /// `background` if that is not there.
    ///
    /// # Errors
    ///
    /// [`ClientError`]. If the answer is lost, the interaction may have been started.
    pub async fn create(
        &self,
        mut request: Value,
        webhook: Option<&WebhookConfig>,
    ) -> Result<Interaction, ClientError> {
        if let Some(webhook) = webhook {
            webhook.put_into(Job::Interaction, &mut request)?;
        }
        let call = Call {
            name: CREATE_INTERACTION,
            method: Method::POST,
            path: "interactions".to_owned(),
            query: Vec::new(),
            body: Some(request),
            repeat: Repeat::MakesAnother,
        };
        let sent = self.http.send(call).await;
        sent.and_then(|body| {
            Interaction::read(CREATE_INTERACTION, value(CREATE_INTERACTION, &body)?)
        })
        .map_err(|error| error.if_carried_out(LOST))
    }

    /// The interaction of this id, as events have it.
    ///
    /// Only the project that started it can ask for it, so far as is known.
    ///
    /// # Errors
    ///
    /// [`ClientError`]
    pub async fn get(&self, id: &str) -> Result<Interaction, ClientError> {
        let call = Call {
            name: GET_INTERACTION,
            method: Method::GET,
            path: format!("interactions/{}", segment(GET_INTERACTION, "the id", id)?),
            query: vec![("stream", "false".to_owned())],
            body: None,
            repeat: Repeat::Harmless,
        };
        let body = self.http.send(call).await?;
        Interaction::read(GET_INTERACTION, value(GET_INTERACTION, &body)?)
    }
}

/// An interaction as the service has it. `Debug` shows its id and status only, since the rest may
/// have an endpoint token in it.
#[derive(Clone, PartialEq)]
pub struct Interaction {
    id: String,
    json: Value,
}

impl Interaction {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> Option<InteractionStatus> {
        let status = self.json.get("status")?.as_str()?;
        Some(InteractionStatus::from(status))
    }

    /// All that the service says of it.
    #[must_use]
    pub fn json(&self) -> &Value {
        &self.json
    }

    fn read(call: &'static str, json: Value) -> Result<Self, ClientError> {
        match json.get("id").and_then(Value::as_str) {
            Some(id) => Ok(Self {
                id: id.to_owned(),
                json,
            }),
            None => Err(ClientError::unreadable(
                call,
                "the answer has no `id`, so it is not an interaction",
            )),
        }
    }
}

impl fmt::Debug for Interaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interaction")
            .field("id", &self.id)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
