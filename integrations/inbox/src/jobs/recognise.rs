//! Which job a delivery is about, if it is one that was written down.

use std::error::Error;
use std::fmt;
use std::pin::Pin;

use gemini_webhooks::event::JobId;
use gemini_webhooks::{Delivery, GeminiEvent, Scheme};
use serde_json::{Map, Value as Json};

use super::{Announced, Inbox, Shared};
use crate::error::InboxError;
use crate::store::{Database, Value};

/// The name of our own id in `user_metadata`.
pub(crate) const OWN_ID: &str = "gemini_webhooks_id";

/// What [`Inbox::expects`] answers for a delivery, in time.
pub type Answer = Pin<Box<dyn Future<Output = Result<bool, Box<dyn Error + Send + Sync>>> + Send>>;

/// A job that may be one whose start has not come to its end.
#[derive(Debug)]
struct NotNamedYet(JobId);

impl fmt::Display for NotNamedYet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(job) = self;
        write!(
            f,
            "{job} is not expected, but a job of its kind is being started and has no name yet; it is answered when the \
             event comes again"
        )
    }
}

impl Error for NotNamedYet {}

impl<DB: Database> Inbox<DB> {
    /// Returns a check for `accept_if`: a dynamic webhook's event must be about a job that was
    /// [written down](Self::expect).
    ///
    /// Google signs the dynamic webhooks of all of its customers with the same keys. This ties them to your app, without
    /// a token in the URL. It costs a read of the database for each authentic delivery, whoever caused it.
    ///
    /// | the job | answer |
    /// |---|---|
    /// | is written down, or its event carries the id of an [announced](Self::announce) one | accepted |
    /// | has its end in the inbox, such as after a backfill | accepted, as a copy |
    /// | is not, and one of its kind was announced and has no name yet | 503: Google sends the event again |
    /// | is not | 400 |
    /// | cannot be looked up | 503 |
    ///
    /// An event that names no job is refused. Static webhooks are accepted: their secret is your project's own.
    ///
    /// A job that was started elsewhere, such as in Google's console, is not expected, and its events are refused.
    pub fn expects(
        &self,
    ) -> impl Fn(GeminiEvent, Delivery) -> Answer + Clone + Send + Sync + 'static {
        let inbox = self.clone();
        move |event, delivery| {
            let shared = inbox.shared.clone();
            Box::pin(async move {
                if delivery.scheme() == Scheme::V1 {
                    return Ok(true);
                }
                let Some(job) = event.job() else {
                    return Ok(false);
                };
                shared.recognise(&event).await?;
                match shared.standing(&job).await? {
                    2 => Ok(true),
                    1 => Err(NotNamedYet(job).into()),
                    _ => {
                        let webhook_id = delivery.id();
                        tracing::info!(
                            webhook_id,
                            %job,
                            r#type = event.type_name(),
                            "the event is refused, because its job is not expected: nobody has called `start_batch`, \
                             `expect` or `announce` for it"
                        );
                        Ok(false)
                    }
                }
            })
        }
    }
}

impl<DB: Database> Shared<DB> {
    /// Names a job that was announced, if its event carries the id.
    pub(crate) async fn recognise(&self, event: &GeminiEvent) -> Result<(), InboxError> {
        let Some((announced, job)) = announced(event) else {
            return Ok(());
        };
        let values = vec![
            self.namespace(),
            announced.id().into(),
            announced.kind().as_str().into(),
        ];
        // To read costs less than to write, and most have their name by now.
        let unnamed = self.read(DB::STATEMENTS.jobs.is_unnamed, values).await?;
        if !unnamed.is_empty() && self.name_job(&announced, &job).await? {
            let (job, own_id) = (job.to_string(), announced.id());
            tracing::info!(
                job,
                own_id,
                "an event has told the name of an announced job"
            );
        }
        Ok(())
    }

    /// What names a job that was announced, if its event carries the id: for a transaction of the app's.
    pub(crate) fn recognise_values(&self, event: &GeminiEvent) -> Option<Vec<Value>> {
        let (announced, job) = announced(event)?;
        Some(self.name_values(&announced, &job))
    }

    async fn standing(&self, job: &JobId) -> Result<u64, InboxError> {
        let values = vec![
            self.namespace(),
            self.job_key(job).into(),
            job.kind().as_str().into(),
        ];
        self.number(DB::STATEMENTS.jobs.standing, values).await
    }
}

/// The id of ours that an event carries, and its job.
fn announced(event: &GeminiEvent) -> Option<(Announced, JobId)> {
    // Metadata of another form is somebody else's.
    let metadata: Map<String, Json> = event.user_metadata_as().ok().flatten()?;
    let own_id = metadata.get(OWN_ID)?.as_str()?;
    let job = event.job().filter(|_| is_own_id(own_id))?;
    Some((Announced::new(job.kind(), own_id), job))
}

/// As [`Announced`] makes them.
pub(super) fn is_own_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_an_announced_job_is_read() {
        for (name, body, id) in [
            (
                "at the top",
                r#"{"type":"batch.succeeded","data":{"id":"batches/1"},"user_metadata":{"gemini_webhooks_id":"0a1b0a1b0a1b0a1b0a1b0a1b0a1b0a1b"}}"#,
                Some("0a1b0a1b0a1b0a1b0a1b0a1b0a1b0a1b"),
            ),
            (
                "in the data",
                r#"{"type":"interaction.completed","data":{"id":"v1_1","user_metadata":{"gemini_webhooks_id":"0a1b0a1b0a1b0a1b0a1b0a1b0a1b0a1b"}}}"#,
                Some("0a1b0a1b0a1b0a1b0a1b0a1b0a1b0a1b"),
            ),
            (
                "of another form",
                r#"{"type":"batch.succeeded","data":{"id":"batches/1"},"user_metadata":["a"]}"#,
                None,
            ),
            (
                "of another type",
                r#"{"type":"batch.succeeded","data":{"id":"batches/1"},"user_metadata":{"gemini_webhooks_id":7}}"#,
                None,
            ),
            (
                "none of ours",
                r#"{"type":"batch.succeeded","data":{"id":"batches/1"},"user_metadata":{"gemini_webhooks_id":"a\u0000"}}"#,
                None,
            ),
            (
                "none",
                r#"{"type":"batch.succeeded","data":{"id":"batches/1"},"user_metadata":{"order":7}}"#,
                None,
            ),
            (
                "no job",
                r#"{"type":"ping","user_metadata":{"gemini_webhooks_id":"0a1b0a1b0a1b0a1b0a1b0a1b0a1b0a1b"}}"#,
                None,
            ),
        ] {
            let event = GeminiEvent::parse(body);
            let found = announced(&event).map(|(announced, _)| announced.id().to_owned());
            assert_eq!(found.as_deref(), id, "{name}");
        }
    }
}
