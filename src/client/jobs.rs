//! Jobs that call back. The request is JSON: this is not a client of the whole Gemini API.

use std::fmt;
use std::time::SystemTime;

use reqwest::Method;
use serde_json::{Map, Value};

use super::config::{Job, WebhookConfig, metadata_of};
use super::error::ClientError;
use super::http::{Call, Http, segment};
use super::names::{BatchState, InteractionStatus};
use super::pages::{Listing, Page};
use super::retry::Repeat;
use super::service::{page, page_query, value};
use super::time;
use crate::event::{JobId, JobKind};

const CREATE_BATCH: &str = "batches.create";
const GET_BATCH: &str = "batches.get";
const LIST_BATCHES: &str = "batches.list";
const CREATE_INTERACTION: &str = "interactions.create";
const GET_INTERACTION: &str = "interactions.get";

/// What to do where a job may have been started.
const LOST: &str = "the job may have been started: look for it before you start another one";

/// Starts batches, and reads their state.
///
/// [`WebhookService::batches`](super::WebhookService::batches) returns it.
///
/// ```no_run
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use gemini_webhooks::client::{WebhookConfig, WebhookService};
/// use serde_json::json;
///
/// let config = WebhookConfig::new()
///     .uri("https://example.com/gemini-webhook-dynamic");
/// let request = json!({ "batch": {
///     "displayName": "nightly",
///     "inputConfig": { "fileName": "files/abc" },
/// } });
/// let batch = WebhookService::from_env()?
///     .batches()
///     .create("gemini-3-flash-preview", request, Some(&config))
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

    /// Starts a batch.
    ///
    /// `request` is the body of `batchGenerateContent`, an object with the member `batch`.
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

    /// Returns the batch with this id, with or without `batches/` in front.
    ///
    /// As far as is known, only the project that started a batch can read it. To ask whether an event is
    /// about a job of yours, use [`ownership`](super::WebhookService::ownership), which has limits.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn get(&self, id: &str) -> Result<Batch, ClientError> {
        let body = self.http.send(get_batch(id)?).await?;
        Batch::read(GET_BATCH, value(GET_BATCH, &body)?)
    }

    /// Lists the batches of the project, and fetches the pages as they are needed.
    pub fn list(&self) -> Listing<Batch> {
        let batches = self.clone();
        Listing::new(LIST_BATCHES, move |token| {
            let batches = batches.clone();
            Box::pin(async move { batches.list_page(None, token.as_deref()).await })
        })
    }

    /// Returns one page of the project's batches.
    ///
    /// Without `page_size` the service chooses. Without `page_token` it is the first page, with one
    /// that of the [token](Page::next_page_token).
    ///
    /// # Errors
    ///
    /// [`ClientError`].
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

/// With or without `batches/` in front.
pub(super) fn get_batch(id: &str) -> Result<Call, ClientError> {
    let id = id.strip_prefix("batches/").unwrap_or(id);
    Ok(Call {
        name: GET_BATCH,
        method: Method::GET,
        path: format!("batches/{}", segment(GET_BATCH, "the id", id)?),
        query: Vec::new(),
        body: None,
        repeat: Repeat::Harmless,
    })
}

/// A batch, as the service describes it.
///
/// `Debug` shows its name and state only, because the rest may contain an endpoint token.
#[derive(Clone, PartialEq)]
pub struct Batch {
    name: String,
    json: Value,
}

impl Batch {
    /// Returns the name, `batches/…`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the state.
    #[must_use]
    pub fn state(&self) -> Option<BatchState> {
        Some(BatchState::from(self.text("/metadata/state")?))
    }

    /// Returns whether the batch has ended, with success or not: its state or `done` says so.
    #[must_use]
    pub fn is_done(&self) -> bool {
        use BatchState::{Cancelled, Expired, Failed, Succeeded};
        let has_ended = matches!(self.state(), Some(Succeeded | Failed | Cancelled | Expired));
        has_ended || self.json.get("done").and_then(Value::as_bool) == Some(true)
    }

    /// Returns which job it is. `None` if it has no id, or a longer one than Google's.
    #[must_use]
    pub fn job(&self) -> Option<JobId> {
        JobId::new(JobKind::Batch, &self.name)
    }

    /// Returns the name that it was given for people to read.
    #[must_use]
    pub fn display_name(&self) -> Option<&str> {
        self.text("/metadata/displayName")
    }

    /// Returns when the batch was created.
    #[must_use]
    pub fn created_at(&self) -> Option<SystemTime> {
        time::parse(self.text("/metadata/createTime")?)
    }

    /// Returns when the batch ended. `None` while it goes on.
    #[must_use]
    pub fn ended_at(&self) -> Option<SystemTime> {
        time::parse(self.end_time()?)
    }

    /// As the service writes it.
    pub(super) fn end_time(&self) -> Option<&str> {
        self.text("/metadata/endTime")
    }

    /// Returns the `user_metadata` of its [`WebhookConfig`], if the answer repeats it.
    ///
    /// Whether the service does so for batches is not known. So keep the metadata yourself if you need it.
    #[must_use]
    pub fn user_metadata(&self) -> Option<&Map<String, Value>> {
        metadata_of(self.json.get("metadata")?)
    }

    /// Returns the file with the results, `files/…`. `None` if they are in the batch itself.
    ///
    /// Google's SDKs read it from `metadata.output`, the samples of its guide from `response`. Both are read here.
    #[must_use]
    pub fn responses_file(&self) -> Option<&str> {
        self.text("/metadata/output/responsesFile")
            .or_else(|| self.text("/response/responsesFile"))
    }

    /// Returns why the batch failed.
    #[must_use]
    pub fn error_message(&self) -> Option<&str> {
        self.text("/error/message")
    }

    /// Returns everything that the service says, as JSON.
    #[must_use]
    pub fn json(&self) -> &Value {
        &self.json
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.json.pointer(pointer)?.as_str()
    }

    pub(super) fn read(call: &'static str, json: Value) -> Result<Self, ClientError> {
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

/// Starts interactions, and reads their status.
///
/// [`WebhookService::interactions`](super::WebhookService::interactions) returns it. The API has no
/// list of interactions.
#[derive(Clone, Debug)]
pub struct Interactions {
    http: Http,
}

impl Interactions {
    pub(super) fn new(http: Http) -> Self {
        Self { http }
    }

    /// Starts an interaction.
    ///
    /// `request` is the body of `interactions`. `webhook` is put into it, and `background` is set to
    /// `true` if it is missing.
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

    /// Returns the interaction with this id, as events have it.
    ///
    /// As far as is known, only the project that started an interaction can read it.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn get(&self, id: &str) -> Result<Interaction, ClientError> {
        let body = self.http.send(get_interaction(id)?).await?;
        Interaction::read(GET_INTERACTION, value(GET_INTERACTION, &body)?)
    }
}

pub(super) fn get_interaction(id: &str) -> Result<Call, ClientError> {
    Ok(Call {
        name: GET_INTERACTION,
        method: Method::GET,
        path: format!("interactions/{}", segment(GET_INTERACTION, "the id", id)?),
        query: vec![("stream", "false".to_owned())],
        body: None,
        repeat: Repeat::Harmless,
    })
}

/// An interaction, as the service describes it.
///
/// `Debug` shows its id and status only, because the rest may contain an endpoint token.
#[derive(Clone, PartialEq)]
pub struct Interaction {
    id: String,
    json: Value,
}

impl Interaction {
    /// Returns the id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> Option<InteractionStatus> {
        let status = self.json.get("status")?.as_str()?;
        Some(InteractionStatus::from(status))
    }

    /// Returns whether the interaction has ended, with success or not.
    ///
    /// One that waits for you (`requires_action`, `requires_continuation`) or does nothing at the moment (`idle`) may go
    /// on, and so may one whose status this version does not know. It has not ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        use InteractionStatus::{BudgetExceeded, Cancelled, Completed, Failed, Incomplete};
        matches!(
            self.status(),
            Some(Completed | Failed | Cancelled | Incomplete | BudgetExceeded)
        )
    }

    /// Returns which job it is. `None` if it has no id, or a longer one than Google's.
    #[must_use]
    pub fn job(&self) -> Option<JobId> {
        JobId::new(JobKind::Interaction, &self.id)
    }

    /// Returns when the interaction ended: its last update. `None` while it goes on.
    #[must_use]
    pub fn ended_at(&self) -> Option<SystemTime> {
        let updated = self.updated().filter(|_| self.is_done());
        time::parse(updated?)
    }

    /// As the service writes it.
    pub(super) fn updated(&self) -> Option<&str> {
        self.json.get("updated")?.as_str()
    }

    /// Returns the `user_metadata` of its [`WebhookConfig`], if the answer repeats it.
    ///
    /// The answer to `create` does (seen live, 2026). Whether the answer to `get` does is not known.
    #[must_use]
    pub fn user_metadata(&self) -> Option<&Map<String, Value>> {
        metadata_of(&self.json)
    }

    /// Returns everything that the service says, as JSON.
    #[must_use]
    pub fn json(&self) -> &Value {
        &self.json
    }

    pub(super) fn read(call: &'static str, json: Value) -> Result<Self, ClientError> {
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
