//! Typed events.
//!
//! The envelope is `type`, `version`, `timestamp` and `data`
//! ([Google's guide](https://ai.google.dev/gemini-api/docs/webhooks)). Reading it is lenient
//! throughout: by now the delivery is authentic, and refusing it for its shape would only have
//! it sent again for a day and then switch the endpoint off.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::Deserialize;
#[cfg(feature = "receiver")]
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

mod kind;
mod payload;
mod serial;
mod text;

pub use kind::EventKind;
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

/// An event, as a handler receives it.
///
/// With a framework's feature on, name it in a handler's signature. It is cheap to clone.
///
/// ```
/// use gemini_webhooks::{EventKind, GeminiEvent};
///
/// let event = GeminiEvent::parse(
///     br#"{"type":"batch.succeeded","data":{"id":"batches/1","output_file_uri":"files/2"}}"#.as_slice(),
/// );
/// match event.kind() {
///     EventKind::BatchSucceeded(batch) => assert_eq!(batch.id(), Some("batches/1")),
///     other => panic!("{other:?}"),
/// }
/// ```
///
/// # In a queue
///
/// `Serialize` and `Deserialize` carry the body, so that an event can be a job's payload. What is
/// deserialized is read as by [`parse`](Self::parse): **it verifies nothing**, and whoever can write
/// to the queue can write events.
///
/// - Through `serde_json`'s texts a JSON body is the JSON text that was signed, without the white
///   space around it. [`raw`](Self::raw) has every byte.
/// - A body that is no JSON is an object with the one member `$gemini_webhooks::base64`, and comes
///   back byte for byte. So is JSON that some readers refuse or take for something else: `null`,
///   texts with a lone surrogate, numbers beyond an `f64`, more than 64 levels.
/// - Where a format is binary (not `is_human_readable`), the body is its bytes.
/// - Where serde buffers a value, the text is lost: in a `serde_json::Value`, and in an outer type
///   with `untagged`, `flatten` or `tag`. The event is the same; white space, the order of members,
///   names that come twice, and the digits of numbers beyond 64 bits may differ.
/// - Give an event a member of its own. Flattened itself, its text is the member that `serde_json`
///   uses for such; as the newtype variant of an enum with `tag` and no `content` it has no place, and
///   serializing is an error.
///
/// ```
/// # use gemini_webhooks::GeminiEvent;
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Job {
///     webhook_id: String,
///     event: GeminiEvent,
/// }
///
/// let event = GeminiEvent::parse(r#"{"type": "batch.expired"}"#);
/// let queued = serde_json::to_string(&Job { webhook_id: "msg_1".to_owned(), event })?;
/// assert_eq!(queued, r#"{"webhook_id":"msg_1","event":{"type": "batch.expired"}}"#);
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
    /// Reads an event from a body. **This verifies nothing**: it is for a body that has been
    /// verified before, by a [`Verifier`](crate::Verifier) or before it was put into a queue.
    ///
    /// It cannot fail: what is no JSON object with a string `type` is
    /// [`Unknown`](EventKind::Unknown) without a [type name](Self::type_name).
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

    /// What happened.
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

    /// What it carries, if it is an event of that type, by its present or an older name.
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

    /// The `type`, as it came.
    #[must_use]
    pub fn type_name(&self) -> Option<&str> {
        Some(self.envelope()?.type_name.of(&self.inner.raw))
    }

    /// Whether it is of this type, by its present or an older name.
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

    /// The `version` of the envelope, `v1` so far.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        let version = self.envelope()?.version.as_ref()?;
        Some(version.of(&self.inner.raw))
    }

    /// When it happened, as it came: RFC 3339 by Google's guide.
    #[must_use]
    pub fn timestamp(&self) -> Option<&str> {
        let timestamp = self.envelope()?.timestamp.as_ref()?;
        Some(timestamp.of(&self.inner.raw))
    }

    /// What the body looks like instead, if it is no JSON object with a string `type`.
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
                Ok(_) if members(text, &[]).is_none() => "JSON, but no object",
                Ok(_) => "a JSON object without a string `type`",
            },
        })
    }

    /// The body, byte for byte.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.inner.raw
    }

    /// `data` as a type of your own, for fields or events that this version does not know.
    /// `None` if it is absent or `null`.
    ///
    /// Members that `T` does not ask for do not matter, whatever they are; `serde_json::Value` and
    /// types with `flatten`, `untagged` or `tag` ask for all of them. Of a repeated name the last one
    /// counts.
    ///
    /// ```
    /// # use gemini_webhooks::GeminiEvent;
    /// #[derive(serde::Deserialize)]
    /// struct Errors {
    ///     error_count: u32,
    /// }
    /// let body = r#"{"type":"batch.succeeded","data":{"id":"batches/1","error_count":2}}"#;
    /// let errors: Option<Errors> = GeminiEvent::parse(body).data_as()?;
    /// assert_eq!(errors.unwrap().error_count, 2);
    /// # Ok::<(), gemini_webhooks::event::DataError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `data` is not of that type.
    pub fn data_as<'a, T: Deserialize<'a>>(&'a self) -> Result<Option<T>, DataError> {
        let found = self.text().and_then(|text| members(text, &["data"]));
        found
            .and_then(|[data]| present(data))
            .map(json::deserialize)
            .transpose()
            .map_err(DataError)
    }

    /// The `user_metadata` that you gave in `webhook_config`, as a type of your own. `None` if
    /// it is absent or `null`. Read at the top level, else in `data`: Google does not say where
    /// it comes. Members that `T` does not ask for do not matter, as in [`data_as`](Self::data_as).
    ///
    /// # Errors
    ///
    /// It is not of that type.
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
}

impl Envelope {
    fn read(body: &[u8]) -> Option<Self> {
        let body = str::from_utf8(body).ok()?;
        let [type_name, version, timestamp, data] =
            members(body, &["type", "version", "timestamp", "data"])?;
        let text = |value: Option<&RawValue>| Some(Span::new(body, string(value?)?));
        Some(Self {
            type_name: text(type_name)?,
            version: text(version),
            timestamp: text(timestamp),
            data: data.map(|data| Span::new(body, Cow::Borrowed(data.get()))),
        })
    }
}

fn present(value: Option<&RawValue>) -> Option<&RawValue> {
    value.filter(|value| value.get() != "null")
}

/// `data` or `user_metadata` is not of the type that was asked for.
#[derive(Debug)]
pub struct DataError(serde_json::Error);

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the event does not carry what was asked for")
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
