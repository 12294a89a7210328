//! Starting a job, so that it is expected whatever happens in between.

use std::error::Error;
use std::fmt;

use gemini_webhooks::client::{
    Batch, Batches, ClientError, Interaction, Interactions, Job, WebhookConfig,
};
use gemini_webhooks::event::{JobId, JobKind};
use serde_json::Value as Json;

use super::{Announced, Expect, OWN_ID};
use crate::error::InboxError;
use crate::inbox::Inbox;
use crate::store::Database;

/// What has become of a job that was to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StartErrorKind {
    /// It could not be written down, and so was not started.
    NotWritten,
    /// It was not started, and is not expected.
    NotStarted,
    /// It may have been started: the answer was lost. It stays expected, and the inbox finds out. Do not start it again.
    MayHaveStarted,
}

/// Why a job was not started, or may not have been.
#[derive(Debug)]
pub struct StartError {
    kind: StartErrorKind,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Inbox(InboxError),
    Google(ClientError),
}

impl StartError {
    fn not_written(error: InboxError) -> Self {
        Self {
            kind: StartErrorKind::NotWritten,
            source: Source::Inbox(error),
        }
    }

    fn google(kind: StartErrorKind, error: ClientError) -> Self {
        Self {
            kind,
            source: Source::Google(error),
        }
    }

    /// Returns what has become of the job.
    #[must_use]
    pub fn kind(&self) -> StartErrorKind {
        self.kind
    }

    /// Returns the error of Google's API, unless it was the inbox's.
    #[must_use]
    pub fn client_error(&self) -> Option<&ClientError> {
        match &self.source {
            Source::Google(error) => Some(error),
            Source::Inbox(_) => None,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            StartErrorKind::NotWritten => {
                "the job was not started, because it cannot be written down: "
            }
            StartErrorKind::NotStarted => "the job was not started: ",
            StartErrorKind::MayHaveStarted => {
                "the job may have been started, and stays expected; do not start it again: "
            }
        })?;
        match &self.source {
            Source::Inbox(error) => error.fmt(f),
            Source::Google(error) => error.fmt(f),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(match &self.source {
            Source::Inbox(error) => error,
            Source::Google(error) => error,
        })
    }
}

impl Announced {
    /// Puts the `webhook_config` into the request that starts the job, with the id in its `user_metadata`, by which the job's
    /// event is recognised. For a batch the id is also put at the end of the `displayName`, by which the batch is found in a
    /// list: it is the only text of a batch that Google's reference says comes back there.
    ///
    /// Use it if you send the request yourself. A job without a `config` calls the registered webhook, and its event does
    /// not carry the id.
    ///
    /// # Errors
    ///
    /// As of [`WebhookConfig::put_into`]: the request is not one for a job of this kind.
    pub fn put_into(
        &self,
        config: Option<&WebhookConfig>,
        request: &mut Json,
    ) -> Result<(), ClientError> {
        let job = match self.kind() {
            JobKind::Batch => Job::Batch,
            JobKind::Interaction => Job::Interaction,
            _ => Job::Video,
        };
        if let Some(config) = config {
            let config = config.clone().user_metadata(OWN_ID, self.id());
            config.put_into(job, request)?;
        }
        if self.kind() == JobKind::Batch {
            self.put_into_display_name(request);
        }
        Ok(())
    }

    fn put_into_display_name(&self, request: &mut Json) {
        let Some(batch) = request.get_mut("batch").and_then(Json::as_object_mut) else {
            // The call says what is wrong with it.
            return;
        };
        // Google takes both spellings.
        let spellings = ["displayName", "display_name"];
        let spelling = spellings.into_iter().find(|name| batch.contains_key(*name));
        let spelling = spelling.unwrap_or("displayName");
        let name = match batch.get(spelling) {
            None => self.id().to_owned(),
            Some(Json::String(name)) => format!("{name} ({})", self.id()),
            Some(_) => return,
        };
        batch.insert(spelling.to_owned(), name.into());
    }
}

impl<DB: Database> Inbox<DB> {
    /// Starts a batch that is expected, also if this process dies in between.
    ///
    /// It is written down first, under an id of the inbox's own, then started, and then its name is filled in. The id goes
    /// along in `user_metadata`, if there is a `config`, and at the end of the batch's `displayName`, where the
    /// [watcher](Self::watch) finds it. `request` is as for [`Batches::create`]. The metadata of `config` is kept as the
    /// metadata of the expectation, and that of `expect` goes along.
    ///
    /// ```no_run
    /// # #[cfg(feature = "sqlite")]
    /// # async fn f(
    /// #     inbox: gemini_webhooks_inbox::Inbox<gemini_webhooks_inbox::sqlx::Sqlite>,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use gemini_webhooks::client::{WebhookConfig, WebhookService};
    /// use gemini_webhooks_inbox::Expect;
    /// use serde_json::json;
    ///
    /// let service = WebhookService::from_env()?;
    /// let config = WebhookConfig::new().uri("https://example.com/gemini-webhook-dynamic");
    /// let request = json!({ "batch": { "inputConfig": { "fileName": "files/abc" } } });
    /// let day = Duration::from_secs(24 * 60 * 60);
    /// let expect = Expect::within(day).metadata("order", 7);
    /// let batches = service.batches();
    /// let batch = inbox
    ///     .start_batch(&batches, "gemini-3-flash-preview", request, Some(&config), expect)
    ///     .await?;
    /// println!("{}", batch.name());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`StartError`], whose kind says what has become of the batch.
    pub async fn start_batch(
        &self,
        batches: &Batches,
        model: &str,
        mut request: Json,
        config: Option<&WebhookConfig>,
        expect: impl Into<Expect>,
    ) -> Result<Batch, StartError> {
        let announced = self
            .write_down(JobKind::Batch, config, expect, &mut request)
            .await?;
        let started = batches.create(model, request, None).await;
        self.note_start(&announced, started, Batch::job).await
    }

    /// Starts an interaction that is expected, also if this process dies in between.
    ///
    /// It does as [`start_batch`](Self::start_batch). Interactions cannot be listed: after a crash it is recognised by its
    /// delivery, if there is a `config`, and otherwise becomes a dead letter when its time is over.
    ///
    /// ```no_run
    /// # #[cfg(feature = "sqlite")]
    /// # async fn f(
    /// #     inbox: gemini_webhooks_inbox::Inbox<gemini_webhooks_inbox::sqlx::Sqlite>,
    /// #     config: gemini_webhooks::client::WebhookConfig,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use gemini_webhooks::client::WebhookService;
    /// use serde_json::json;
    ///
    /// let interactions = WebhookService::from_env()?.interactions();
    /// let request = json!({ "model": "gemini-3-flash-preview", "input": "Hello" });
    /// let hour = Duration::from_secs(60 * 60);
    /// let interaction = inbox
    ///     .start_interaction(&interactions, request, Some(&config), hour)
    ///     .await?;
    /// println!("{}", interaction.id());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`StartError`], whose kind says what has become of the interaction.
    pub async fn start_interaction(
        &self,
        interactions: &Interactions,
        mut request: Json,
        config: Option<&WebhookConfig>,
        expect: impl Into<Expect>,
    ) -> Result<Interaction, StartError> {
        let kind = JobKind::Interaction;
        let announced = self.write_down(kind, config, expect, &mut request).await?;
        let started = interactions.create(request, None).await;
        self.note_start(&announced, started, Interaction::job).await
    }

    async fn write_down(
        &self,
        kind: JobKind,
        config: Option<&WebhookConfig>,
        expect: impl Into<Expect>,
        request: &mut Json,
    ) -> Result<Announced, StartError> {
        let mut expect = expect.into();
        if let Some(config) = config {
            expect = expect.or_metadata(config.metadata());
        }
        let announced = self.announce(kind, expect.clone()).await;
        let announced = announced.map_err(StartError::not_written)?;
        let config = config.map(|config| {
            let metadata = expect.all_metadata().iter();
            metadata.fold(config.clone(), |config, (name, value)| {
                config.user_metadata(name, value.clone())
            })
        });
        match announced.put_into(config.as_ref(), request) {
            Ok(()) => Ok(announced),
            Err(error) => Err(self.take_back(&announced, error).await),
        }
    }

    async fn take_back(&self, announced: &Announced, error: ClientError) -> StartError {
        if let Err(unwritten) = self.not_started(announced).await {
            tracing::warn!(
                own_id = announced.id(),
                "a job was not started, and becomes a dead letter when its time is over, because that cannot be written \
                 down: {unwritten}"
            );
        }
        StartError::google(StartErrorKind::NotStarted, error)
    }

    async fn note_start<J>(
        &self,
        announced: &Announced,
        started: Result<J, ClientError>,
        job: impl FnOnce(&J) -> Option<JobId>,
    ) -> Result<J, StartError> {
        let own_id = announced.id();
        let started = match started {
            Ok(started) => started,
            Err(error) if error.may_have_been_carried_out() => {
                return Err(StartError::google(StartErrorKind::MayHaveStarted, error));
            }
            Err(error) => return Err(self.take_back(announced, error).await),
        };
        // The job runs, so this is no error: it is found by its id.
        let named = match job(&started) {
            Some(job) => self
                .started(announced, &job)
                .await
                .map_err(|error| error.to_string()),
            None => Err("its name is none that can be remembered".to_owned()),
        };
        if let Err(why) = named {
            tracing::warn!(
                own_id,
                "a job was started, and its name cannot be written down yet: {why}"
            );
        }
        Ok(started)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_id_is_put_where_a_list_has_it() {
        let announced = Announced::new(JobKind::Batch, "0a1b");
        for (name, mut request, put) in [
            (
                "no name",
                json!({"batch": {}}),
                json!({"batch": {"displayName": "0a1b"}}),
            ),
            (
                "a name",
                json!({"batch": {"displayName": "nightly"}}),
                json!({"batch": {"displayName": "nightly (0a1b)"}}),
            ),
            (
                "in the other spelling",
                json!({"batch": {"display_name": "nightly"}}),
                json!({"batch": {"display_name": "nightly (0a1b)"}}),
            ),
            (
                "no text",
                json!({"batch": {"displayName": 7}}),
                json!({"batch": {"displayName": 7}}),
            ),
            ("no batch", json!([]), json!([])),
        ] {
            announced.put_into_display_name(&mut request);
            assert_eq!(request, put, "{name}");
        }
    }
}
