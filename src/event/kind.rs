//! What happened: one variant for each type of event.

use bytes::Bytes;

use super::payload::{
    BatchCancelled, BatchExpired, BatchFailed, BatchSucceeded, InteractionCancelled,
    InteractionCompleted, InteractionFailed, InteractionRequiresAction, Payload, Sealed as _,
    VideoGenerated, each_payload,
};

/// What happened, by the type of the event
/// ([Google's guide](https://ai.google.dev/gemini-api/docs/webhooks)).
///
/// The set is open: what this version does not know is [`Unknown`](Self::Unknown), and
/// [`GeminiEvent::type_name`](super::GeminiEvent::type_name) tells its name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// `batch.succeeded`, in the guide's first weeks `batch.completed`.
    BatchSucceeded(BatchSucceeded),
    /// `batch.failed`
    BatchFailed(BatchFailed),
    /// `batch.expired`: it was not done within its time (24 or 48 hours, sources differ).
    BatchExpired(BatchExpired),
    /// `batch.cancelled`
    BatchCancelled(BatchCancelled),
    /// `interaction.requires_action`: it waits for a function result or a decision of yours.
    InteractionRequiresAction(InteractionRequiresAction),
    /// `interaction.completed`
    InteractionCompleted(InteractionCompleted),
    /// `interaction.failed`
    InteractionFailed(InteractionFailed),
    /// `interaction.cancelled`
    InteractionCancelled(InteractionCancelled),
    /// `video.generated`
    VideoGenerated(VideoGenerated),
    /// A type that this version does not know, or a body without one.
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
    macro_rules! present {
        ($($payload:ident)+) => {
            $(
                if $payload::is_named(type_name) {
                    return $payload::TYPE_NAME;
                }
            )+
        };
    }
    each_payload!(present);
    type_name
}
