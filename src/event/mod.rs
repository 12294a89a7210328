//! Typed events: [`GeminiEvent`], [`EventKind`], and a payload for each of the nine types.
//!
//! An event is a JSON object with `type`, `version`, `timestamp` and `data`
//! ([Google's guide](https://ai.google.dev/gemini-api/docs/webhooks), copies up to 2026-10-05).
//!
//! Reading an event never fails. When it is read, the delivery is known to be authentic. If it
//! were refused for its shape, Google would send it again for a day, in vain, and repeated failures
//! switch a webhook off. So a type that this version does not know is
//! [`EventKind::Unknown`], and a field that is missing, or of another JSON type than expected, is
//! `None`.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::Deserialize;
#[cfg(feature = "receiver")]
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

mod job;
mod kind;
mod payload;
mod serial;
mod text;

pub use job::{JobId, JobKind, OWN_TYPE_PREFIX};
pub use kind::EventKind;
#[cfg(all(feature = "metrics", feature = "receiver"))]
pub(crate) use kind::known_name;
#[cfg(feature = "tower")]
pub(crate) use kind::present_name;
#[cfg(feature = "axum")]
pub(crate) use payload::each_payload;
pub use payload::{
    BatchCancelled, BatchExpired, BatchFailed, BatchSucceeded, InteractionCancelled,
    InteractionCompleted, InteractionFailed, InteractionRequiresAction, Payload, VideoGenerated,
};

use crate::json::{self, members, string};
use text::Span;

/// An event of the Gemini API, such as "a batch has succeeded".
///
/// With the feature `axum` or `actix-web`, name it in a handler's signature. In a tower service, it
/// is in the request's extensions. It is cheap to clone.
///
/// [`kind`](Self::kind) has a variant for each type of event.
/// [`data_as`](Self::data_as) and [`user_metadata_as`](Self::user_metadata_as) read the rest
/// as types of your own, and [`raw`](Self::raw) is the body as it was signed.
/// ```
/// use gemini_webhooks::{EventKind, GeminiEvent};
///
/// let event = GeminiEvent::parse(
///     r#"{"type":"batch.succeeded","data":{"id":"batches/1"}}"#,
/// );
/// match event.kind() {
///     EventKind::BatchSucceeded(batch) => {
///         assert_eq!(batch.id(), Some("batches/1"));
///     }
///     _ => println!("{:?} is of no interest", event.type_name()),
/// }
/// ```
///
/// # In a queue
///
/// An event can be part of a job's payload: it implements `Serialize` and `Deserialize`, which
/// carry its body. Deserializing works as [`parse`](Self::parse): **it verifies nothing**, and
/// anyone who can write to the queue can write events.
///
/// - In JSON text (`serde_json::to_string`), the event is the JSON that was signed, without the
///   white space around it. [`raw`](Self::raw) has every byte.
/// - A body that is not JSON becomes an object with one member, `$gemini_webhooks::base64`, and
///   comes back byte for byte. The same goes for JSON that some readers refuse or change: `null`,
///   strings with a lone surrogate, numbers beyond an `f64`, and more than 64 levels.
/// - In a binary format (not `is_human_readable`), the event is the bytes of its body.
/// - If serde buffers the event, its exact text is lost. That happens in a `serde_json::Value`, and
///   in an outer type with `untagged`, `flatten` or `tag`. The event means the same, but white
///   space, the order of members, repeated names, and the digits of numbers beyond 64 bits may
///   differ.
/// - Give the event a field of its own. With `#[serde(flatten)]` on the event, the output
///   has a member with an internal name of `serde_json`. As the newtype
///   variant of an enum with `tag` and without `content`, serializing fails.
/// ```
/// # use gemini_webhooks::GeminiEvent;
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Job {
///     webhook_id: String,
///     event: GeminiEvent,
/// }
///
/// let event = GeminiEvent::parse(r#"{"type": "batch.expired"}"#);
/// let webhook_id = "msg_1".to_owned();
/// let queued = serde_json::to_string(&Job { webhook_id, event })?;
/// assert_eq!(
///     queued,
///     r#"{"webhook_id":"msg_1","event":{"type": "batch.expired"}}"#
/// );
///
/// let job: Job = serde_json::from_str(&queued)?;
/// assert!(job.event.is("batch.expired"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone)]
pub struct GeminiEvent {
    inner: Arc<Inner>,
}

struct Inner {
    raw: Bytes,
    envelope: Option<Envelope>,
    /// Read when it is first asked for: a handler that only enqueues an event never does.
    kind: OnceLock<EventKind>,
}

impl GeminiEvent {
    /// Reads an event from a body that has been verified. **This verifies nothing.**
    ///
    /// Use it after a [`Verifier`](crate::Verifier), for a body from your own queue, and in tests.
    ///
    /// It never fails. A body that is not a JSON object with a string `type` becomes an
    /// [`Unknown`](EventKind::Unknown) event without a [type name](Self::type_name).
    #[must_use]
    pub fn parse(body: impl Into<Bytes>) -> Self {
        let raw = body.into();
        let inner = Inner {
            envelope: Envelope::read(&raw),
            kind: OnceLock::new(),
            raw,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    fn envelope(&self) -> Option<&Envelope> {
        self.inner.envelope.as_ref()
    }

    /// Returns what happened, with the payload of its type.
    #[must_use]
    pub fn kind(&self) -> &EventKind {
        self.inner.kind.get_or_init(|| match self.envelope() {
            Some(envelope) => {
                let raw = &self.inner.raw;
                let data = envelope.data.as_ref().map(|data| data.of(raw));
                EventKind::read(raw, envelope.type_name.of(raw), data)
            }
            None => EventKind::Unknown,
        })
    }

    /// Returns the payload if the event is of the type `P`, and `None` otherwise.
    ///
    /// A type is recognised by its present name and by older ones.
    ///
    /// ```
    /// use gemini_webhooks::GeminiEvent;
    /// use gemini_webhooks::event::{BatchFailed, BatchSucceeded};
    ///
    /// let event = GeminiEvent::parse(r#"{"type":"batch.completed","data":{"id":"batches/1"}}"#);
    /// let batch = event.payload::<BatchSucceeded>();
    /// assert_eq!(batch.and_then(BatchSucceeded::id), Some("batches/1"));
    /// assert_eq!(event.payload::<BatchFailed>(), None);
    /// ```
    #[must_use]
    pub fn payload<P: Payload>(&self) -> Option<&P> {
        P::of(self.kind())
    }

    /// Returns the `type` of the event as it arrived, such as `batch.succeeded`.
    ///
    /// `None` if the body is not a JSON object with a string `type`.
    #[must_use]
    pub fn type_name(&self) -> Option<&str> {
        Some(self.envelope()?.type_name.of(&self.inner.raw))
    }

    /// Returns whether the event is of this type, by its present name or an older one.
    ///
    /// ```
    /// # use gemini_webhooks::GeminiEvent;
    /// let event = GeminiEvent::parse(r#"{"type":"batch.completed"}"#);
    /// assert!(event.is("batch.succeeded"));
    /// ```
    #[must_use]
    pub fn is(&self, type_name: &str) -> bool {
        let mine = self.type_name().map(kind::present_name);
        mine == Some(kind::present_name(type_name))
    }

    /// Returns the `version` of the event's format: `v1` in Google's guide so far.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        let version = self.envelope()?.version.as_ref()?;
        Some(version.of(&self.inner.raw))
    }

    /// Returns the `timestamp` as it arrived: when the event happened.
    ///
    /// By Google's guide it is in RFC 3339, such as `2026-01-22T12:00:00Z`. It is not checked.
    #[must_use]
    pub fn timestamp(&self) -> Option<&str> {
        let timestamp = self.envelope()?.timestamp.as_ref()?;
        Some(timestamp.of(&self.inner.raw))
    }

    /// Says what the body looks like instead, if it is not a JSON object with a string `type`.
    #[cfg(feature = "receiver")]
    pub(crate) fn formless(&self) -> Option<&'static str> {
        if self.envelope().is_some() {
            return None;
        }
        Some(match self.text() {
            None => "not UTF-8",
            Some(text) if text.trim_ascii().is_empty() => "empty",
            Some(text) => match serde_json::from_str::<IgnoredAny>(text) {
                Err(_) => "not JSON",
                Ok(_) if members(text, &[]).is_none() => "JSON, but not an object",
                Ok(_) => "a JSON object without a string `type`",
            },
        })
    }

    /// Returns the body of the delivery, byte for byte as it was signed.
    ///
    /// For a JWT it is the payload of the JWT.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.inner.raw
    }

    /// Reads `data` as a type of your own. `None` if it is absent or `null`.
    ///
    /// Use it for fields that the typed payloads do not have, and for types of events that this
    /// version does not know.
    ///
    /// Members that `T` does not name are ignored, even if they cannot be represented in Rust.
    /// `serde_json::Value` and types with `flatten`, `untagged` or `tag` read all of them. If a
    /// name is repeated, the last member wins.
    ///
    /// ```
    /// # use gemini_webhooks::GeminiEvent;
    /// #[derive(serde::Deserialize)]
    /// struct Errors {
    ///     error_count: u32,
    /// }
    /// let body = r#"{"type":"batch.succeeded","data":{"error_count":2}}"#;
    /// let errors: Option<Errors> = GeminiEvent::parse(body).data_as()?;
    /// assert_eq!(errors.unwrap().error_count, 2);
    /// # Ok::<(), gemini_webhooks::event::DataError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if `data` does not deserialize as `T`.
    pub fn data_as<'a, T: Deserialize<'a>>(&'a self) -> Result<Option<T>, DataError> {
        let found = self.text().and_then(|text| members(text, &["data"]));
        found
            .and_then(|[data]| present(data))
            .map(json::deserialize)
            .transpose()
            .map_err(DataError)
    }

    /// Reads the `user_metadata` of the job's `webhook_config` as a type of your own.
    ///
    /// It comes back with each event of that job (Google's SDKs). Where it stands in the event is not
    /// documented, so it is read from the top level, or else from `data`. `None` if it is absent or
    /// `null`. Members that `T` does not name are ignored, as in [`data_as`](Self::data_as).
    ///
    /// ```
    /// # use gemini_webhooks::GeminiEvent;
    /// #[derive(serde::Deserialize)]
    /// struct Metadata {
    ///     order: u64,
    /// }
    /// let body = r#"{"type":"batch.succeeded","user_metadata":{"order":7}}"#;
    /// let metadata: Option<Metadata> = GeminiEvent::parse(body).user_metadata_as()?;
    /// assert_eq!(metadata.unwrap().order, 7);
    /// # Ok::<(), gemini_webhooks::event::DataError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the metadata does not deserialize as `T`.
    pub fn user_metadata_as<'a, T: Deserialize<'a>>(&'a self) -> Result<Option<T>, DataError> {
        let found = self
            .text()
            .and_then(|text| members(text, &["user_metadata", "data"]));
        let metadata = found.and_then(|[metadata, data]| {
            present(metadata).or_else(|| {
                let [metadata] = members(present(data)?.get(), &["user_metadata"])?;
                present(metadata)
            })
        });
        metadata
            .map(json::deserialize)
            .transpose()
            .map_err(DataError)
    }

    fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.inner.raw).ok()
    }
}

struct Envelope {
    type_name: Span,
    version: Option<Span>,
    timestamp: Option<Span>,
    /// The JSON text of it.
    data: Option<Span>,
    /// The job of an event that this crate made.
    own_job: Option<(JobKind, Span)>,
}

impl Envelope {
    fn read(body: &[u8]) -> Option<Self> {
        let body = str::from_utf8(body).ok()?;
        let [type_name, version, timestamp, data] =
            members(body, &["type", "version", "timestamp", "data"])?;
        let text = |value: Option<&RawValue>| Some(Span::new(body, string(value?)?));
        let type_name = string(type_name?)?;
        let own_job = job::own_kind(&type_name).and_then(|kind| {
            let [id] = members(data?.get(), &["id"])?;
            Some((kind, text(id)?))
        });
        Some(Self {
            own_job,
            type_name: Span::new(body, type_name),
            version: text(version),
            timestamp: text(timestamp),
            data: data.map(|data| Span::new(body, Cow::Borrowed(data.get()))),
        })
    }
}

fn present(value: Option<&RawValue>) -> Option<&RawValue> {
    value.filter(|value| value.get() != "null")
}

/// The error when `data` or `user_metadata` does not deserialize as your type.
///
/// Its `source` is the error of `serde_json`, with the member and the position.
#[derive(Debug)]
pub struct DataError(serde_json::Error);

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`data` or `user_metadata` of the event does not deserialize as the type that was asked for")
    }
}

impl Error for DataError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// Without the body, which may be long and is not for every log.
impl fmt::Debug for GeminiEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GeminiEvent")
            .field("type_name", &self.type_name())
            .field("kind", &self.kind())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
