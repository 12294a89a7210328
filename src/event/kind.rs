//! What happened: one variant for each type of event.

use bytes::Bytes;

use super::payload::{
    BatchCancelled, BatchExpired, BatchFailed, BatchSucceeded, InteractionCancelled,
    InteractionCompleted, InteractionFailed, InteractionRequiresAction, Payload, Sealed as _,
    VideoGenerated, each_payload,
};

/// What happened: one variant for each type of event, with its payload.
///
/// The types are those of [Google's guide](https://ai.google.dev/gemini-api/docs/webhooks) (copies
/// up to 2026-10-05). Google may add types, and a new one arrives as [`Unknown`](Self::Unknown);
/// [`GeminiEvent::type_name`](super::GeminiEvent::type_name) has its name. So answer 200 for what
/// you do not handle: another status would have it sent again for a day.
///
/// ```
/// use gemini_webhooks::{EventKind, GeminiEvent};
///
/// fn describe(event: &GeminiEvent) -> String {
///     match event.kind() {
///         EventKind::BatchSucceeded(batch) => {
///             format!("results in {:?}", batch.output_file_uri())
///         }
///         EventKind::BatchFailed(batch) => {
///             format!("failed: {:?}", batch.error_message())
///         }
///         EventKind::Unknown => format!("new: {:?}", event.type_name()),
///         _ => "of no interest".to_owned(),
///     }
/// }
///
/// let event = GeminiEvent::parse(r#"{"type":"model.tuned"}"#);
/// assert_eq!(describe(&event), r#"new: Some("model.tuned")"#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// `batch.succeeded`: a batch is done, and its results can be read. Google's guide called it
    /// `batch.completed` in its first weeks, and that name is recognised too.
    BatchSucceeded(BatchSucceeded),
    /// `batch.failed`: a batch ended with an error.
    BatchFailed(BatchFailed),
    /// `batch.expired`: a batch was not done in time, which is 24 hours in Google's guide and 48 in
    /// its SDKs and reference.
    BatchExpired(BatchExpired),
    /// `batch.cancelled`: a batch was cancelled.
    BatchCancelled(BatchCancelled),
    /// `interaction.requires_action`: an interaction waits for a function's result or a decision of
    /// yours.
    InteractionRequiresAction(InteractionRequiresAction),
    /// `interaction.completed`: an interaction is done.
    InteractionCompleted(InteractionCompleted),
    /// `interaction.failed`: an interaction ended with an error.
    InteractionFailed(InteractionFailed),
    /// `interaction.cancelled`: an interaction was cancelled.
    InteractionCancelled(InteractionCancelled),
    /// `video.generated`: a video is done.
    VideoGenerated(VideoGenerated),
    /// A type that this version does not know, or a body that has no type. Types of this crate's own
    /// ([`OWN_TYPE_PREFIX`](super::OWN_TYPE_PREFIX)) have no variant either.
    Unknown,
}

impl EventKind {
    pub(super) fn read(body: &Bytes, type_name: &str, data: Option<&str>) -> Self {
        macro_rules! read {
            ($($payload:ident)+) => {
                $(
                    if $payload::is_named(type_name) {
                        return Self::$payload($payload::read(body, data));
                    }
                )+
            };
        }
        each_payload!(read);
        Self::Unknown
    }
}

/// What a type is called now.
pub(crate) fn present_name(type_name: &str) -> &str {
    known_name(type_name).unwrap_or(type_name)
}

/// The same, of a type that this version knows.
pub(crate) fn known_name(type_name: &str) -> Option<&'static str> {
    macro_rules! present {
        ($($payload:ident)+) => {
            $(
                if $payload::is_named(type_name) {
                    return Some($payload::TYPE_NAME);
                }
            )+
        };
    }
    each_payload!(present);
    None
}
