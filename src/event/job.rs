//! The job that an event is about.

use std::fmt;
use std::sync::Arc;

use super::{EventKind, GeminiEvent};

/// A longer id is none of Google's, and would be kept by whoever remembers jobs.
const MAX_ID: usize = 256;

/// What the type of an event begins with if this crate made the event, and not Google: `gemini-webhooks.`.
///
/// Such an event says that a job has ended in a way that Google has no event for. The type goes on with the kind of
/// the job and with what became of it, such as `gemini-webhooks.video.failed`. `data` has the `id` of the job, as in
/// Google's events, so [`GeminiEvent::job`] and [`GeminiEvent::ended_job`] tell the job. [`GeminiEvent::kind`] is
/// [`EventKind::Unknown`].
///
/// The feature `client` makes such events from what Google answers about a job (`client::Outcome`). Google's own types
/// have no such prefix (its guide, copies up to 2026-10-05).
///
/// ```
/// use gemini_webhooks::GeminiEvent;
/// use gemini_webhooks::event::OWN_TYPE_PREFIX;
///
/// let body = r#"{"type":"gemini-webhooks.interaction.incomplete","data":{"id":"v1_a"}}"#;
/// let event = GeminiEvent::parse(body);
/// let own = event.type_name().and_then(|name| name.strip_prefix(OWN_TYPE_PREFIX));
/// assert_eq!(own, Some("interaction.incomplete"));
/// assert_eq!(event.ended_job().map(|job| job.to_string()).as_deref(), Some("interaction/v1_a"));
/// ```
pub const OWN_TYPE_PREFIX: &str = "gemini-webhooks.";

/// The kind of the job that an event of this crate's own is about, by the event's type.
pub(super) fn own_kind(type_name: &str) -> Option<JobKind> {
    let (kind, _) = type_name.strip_prefix(OWN_TYPE_PREFIX)?.split_once('.')?;
    [JobKind::Batch, JobKind::Interaction, JobKind::Video]
        .into_iter()
        .find(|known| known.as_str() == kind)
}

/// What sort of job it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum JobKind {
    /// A batch.
    Batch,
    /// An interaction.
    Interaction,
    /// The generation of a video.
    Video,
}

impl JobKind {
    /// Returns its name: `batch`, `interaction` or `video`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Interaction => "interaction",
            Self::Video => "video",
        }
    }
}

/// Which job it is: its kind and its id, by which two mentions of one job are the same.
///
/// Google names a batch `batches/x` in one place and `x` in another, and so an interaction: both are the same. The name of
/// a video's operation counts as a whole, because two models may have operations of one number.
///
/// ```
/// use gemini_webhooks::event::{JobId, JobKind};
///
/// let one = JobId::new(JobKind::Batch, "batches/8kq2");
/// assert_eq!(one, JobId::new(JobKind::Batch, "8kq2"));
/// assert_ne!(one, JobId::new(JobKind::Interaction, "8kq2"));
/// assert_eq!(one.map(|job| job.to_string()).as_deref(), Some("batch/8kq2"));
/// assert_eq!(JobId::new(JobKind::Batch, ""), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId {
    kind: JobKind,
    id: Arc<str>,
}

impl JobId {
    /// Makes an id of what Google calls the job: `batches/x`, `x`, or the name of an operation.
    ///
    /// `None` if nothing is left without the prefix, or more than 256 bytes or a control character are.
    #[must_use]
    pub fn new(kind: JobKind, name: &str) -> Option<Self> {
        let id = match kind {
            JobKind::Batch => name.strip_prefix("batches/").unwrap_or(name),
            JobKind::Interaction => name.strip_prefix("interactions/").unwrap_or(name),
            JobKind::Video => name,
        };
        let is_id = !id.is_empty() && id.len() <= MAX_ID && !id.contains(char::is_control);
        is_id.then(|| Self {
            kind,
            id: id.into(),
        })
    }

    /// Returns what sort of job it is.
    #[must_use]
    pub fn kind(&self) -> JobKind {
        self.kind
    }

    /// Returns the id, without the prefix `batches/` or `interactions/`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Kind and id, such as `batch/8kq2`.
impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.as_str(), self.id)
    }
}

impl GeminiEvent {
    /// Returns the job that this event is about, whether it has ended or goes on.
    ///
    /// `None` for types that this version does not know, except those of this crate's own ([`OWN_TYPE_PREFIX`]), and if
    /// the event names no job.
    ///
    /// ```
    /// use gemini_webhooks::GeminiEvent;
    ///
    /// let body = r#"{"type":"interaction.requires_action","data":{"id":"v1_a"}}"#;
    /// let event = GeminiEvent::parse(body);
    /// assert_eq!(event.job().map(|job| job.to_string()).as_deref(), Some("interaction/v1_a"));
    /// assert_eq!(event.ended_job(), None);
    /// ```
    #[must_use]
    pub fn job(&self) -> Option<JobId> {
        let (kind, name) = self.named_job()?;
        JobId::new(kind, name)
    }

    /// Returns what the event calls its job, as it arrived: `batches/x`, `x`, or the name of an operation.
    ///
    /// Google's API needs the whole name to look up a video. To compare jobs, use [`job`](Self::job).
    ///
    /// ```
    /// use gemini_webhooks::GeminiEvent;
    ///
    /// let body = r#"{"type":"video.generated","data":{"id":"models/veo/operations/77"}}"#;
    /// assert_eq!(GeminiEvent::parse(body).job_name(), Some("models/veo/operations/77"));
    /// ```
    #[must_use]
    pub fn job_name(&self) -> Option<&str> {
        self.named_job().map(|(_, name)| name)
    }

    /// Returns the job that has ended, if this event says that one has.
    ///
    /// `None` for `interaction.requires_action`, after which the job goes on, for types that this version does not
    /// know, and if the event names no job. Types of this crate's own ([`OWN_TYPE_PREFIX`]) all end their job.
    ///
    /// ```
    /// use gemini_webhooks::GeminiEvent;
    ///
    /// let event = GeminiEvent::parse(r#"{"type":"batch.expired","data":{"id":"batches/8kq4"}}"#);
    /// assert_eq!(event.ended_job().map(|job| job.to_string()).as_deref(), Some("batch/8kq4"));
    /// ```
    #[must_use]
    pub fn ended_job(&self) -> Option<JobId> {
        match self.kind() {
            EventKind::InteractionRequiresAction(_) => None,
            _ => self.job(),
        }
    }

    fn named_job(&self) -> Option<(JobKind, &str)> {
        let (kind, name) = match self.kind() {
            EventKind::BatchSucceeded(batch) => (JobKind::Batch, batch.id()),
            EventKind::BatchFailed(batch) => (JobKind::Batch, batch.id()),
            EventKind::BatchExpired(batch) => (JobKind::Batch, batch.id()),
            EventKind::BatchCancelled(batch) => (JobKind::Batch, batch.id()),
            EventKind::InteractionRequiresAction(interaction) => {
                (JobKind::Interaction, interaction.id())
            }
            EventKind::InteractionCompleted(interaction) => {
                (JobKind::Interaction, interaction.id())
            }
            EventKind::InteractionFailed(interaction) => (JobKind::Interaction, interaction.id()),
            EventKind::InteractionCancelled(interaction) => {
                (JobKind::Interaction, interaction.id())
            }
            EventKind::VideoGenerated(video) => (JobKind::Video, video.id()),
            EventKind::Unknown => {
                let (kind, name) = self.envelope()?.own_job.as_ref()?;
                (*kind, Some(name.of(&self.inner.raw)))
            }
        };
        Some((kind, name?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_events_are_about_which_job_and_end_it() {
        let long = "x".repeat(257);
        for (name, type_name, id, job) in [
            ("a batch", "batch.succeeded", "batches/1", Some("batch/1")),
            ("its older name", "batch.completed", "1", Some("batch/1")),
            ("failed", "batch.failed", "1", Some("batch/1")),
            ("expired", "batch.expired", "1", Some("batch/1")),
            ("cancelled", "batch.cancelled", "1", Some("batch/1")),
            (
                "an interaction",
                "interaction.completed",
                "v1_a",
                Some("interaction/v1_a"),
            ),
            (
                "with a prefix",
                "interaction.failed",
                "interactions/v1_a",
                Some("interaction/v1_a"),
            ),
            (
                "stopped",
                "interaction.cancelled",
                "v1_a",
                Some("interaction/v1_a"),
            ),
            ("goes on", "interaction.requires_action", "v1_a", None),
            (
                "a video",
                "video.generated",
                "models/veo/operations/77",
                Some("video/models/veo/operations/77"),
            ),
            ("no id", "batch.succeeded", "", None),
            (
                "nothing after the slash",
                "batch.succeeded",
                "batches/",
                None,
            ),
            ("too long", "batch.succeeded", &long, None),
            ("unknown", "batch.paused", "1", None),
            (
                "a batch, by this crate",
                "gemini-webhooks.batch.ended",
                "batches/1",
                Some("batch/1"),
            ),
            (
                "an interaction, by this crate",
                "gemini-webhooks.interaction.incomplete",
                "v1_a",
                Some("interaction/v1_a"),
            ),
            (
                "a video, by this crate",
                "gemini-webhooks.video.failed",
                "models/veo/operations/77",
                Some("video/models/veo/operations/77"),
            ),
            (
                "of a later version",
                "gemini-webhooks.batch.a.b",
                "a\"é",
                Some("batch/a\"é"),
            ),
            ("a line break", "batch.succeeded", "a\n", None),
            ("a NUL", "batch.succeeded", "a\0", None),
            (
                "no id, by this crate",
                "gemini-webhooks.batch.ended",
                "",
                None,
            ),
            ("no kind", "gemini-webhooks.batch", "1", None),
            ("another kind", "gemini-webhooks.model.tuned", "1", None),
            ("in another case", "Gemini-webhooks.batch.ended", "1", None),
            ("another prefix", "x.gemini-webhooks.batch.ended", "1", None),
        ] {
            let body = serde_json::json!({"type": type_name, "data": {"id": id}});
            let event = GeminiEvent::parse(body.to_string());
            let found = event.ended_job().map(|job| job.to_string());
            assert_eq!(found.as_deref(), job, "{name}");
            if name == "goes on" {
                let about = event.job().map(|job| job.to_string());
                assert_eq!(about.as_deref(), Some("interaction/v1_a"), "{name}");
            } else {
                assert_eq!(event.job(), event.ended_job(), "{name}");
            }
            let is_about_none = [
                "unknown",
                "no kind",
                "another kind",
                "in another case",
                "another prefix",
            ];
            let named = (!is_about_none.contains(&name)).then_some(id);
            assert_eq!(event.job_name(), named, "{name}");
            let is_own = type_name.starts_with(OWN_TYPE_PREFIX);
            assert!(!is_own || *event.kind() == EventKind::Unknown, "{name}");
        }
        for body in [
            "",
            "{}",
            r#"{"type":"batch.succeeded"}"#,
            r#"{"type":"batch.succeeded","data":{"id":7}}"#,
            r#"{"type":"gemini-webhooks.batch.ended"}"#,
            r#"{"type":"gemini-webhooks.batch.ended","data":"1"}"#,
            r#"{"type":"gemini-webhooks.batch.ended","data":{"id":7}}"#,
        ] {
            let event = GeminiEvent::parse(body);
            assert_eq!((event.job(), event.ended_job()), (None, None), "{body}");
            assert_eq!(event.job_name(), None, "{body}");
        }
    }
}
