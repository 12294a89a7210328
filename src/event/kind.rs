//! The nine types of events and what each carries.
//!
//! The payloads are thin: a status and pointers. Fields are optional, and one that is missing or
//! of another type than expected is `None`: an authentic event is never refused for its shape.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::text::Text;
use crate::json::{members, string, string_or_number};

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
    /// Fields are told apart by name only: the types share their names, and where one has two
    /// the newer goes first.
    pub(super) fn read(body: &Bytes, type_name: &str, data: Option<&str>) -> Self {
        let [id, uri, video_uri, name, file_id, code, message] = data
            .and_then(|data| {
                let names = [
                    "id",
                    "output_file_uri",
                    "video_uri",
                    "file_name",
                    "file_id",
                    "error_code",
                    "error_message",
                ];
                members(data, &names)
            })
            .unwrap_or_default();
        let text = |value: Option<&RawValue>| Some(Text::new(body, string(value?)?));
        let id = || text(id);
        let uri = || text(uri);
        let error_code = || Some(Text::new(body, string_or_number(code?)?));
        let error_message = || text(message);
        match present_name(type_name) {
            "batch.succeeded" => Self::BatchSucceeded(BatchSucceeded {
                id: id(),
                output_file_uri: uri(),
            }),
            "batch.failed" => Self::BatchFailed(BatchFailed {
                id: id(),
                error_code: error_code(),
                error_message: error_message(),
            }),
            "batch.expired" => Self::BatchExpired(BatchExpired { id: id() }),
            "batch.cancelled" => Self::BatchCancelled(BatchCancelled { id: id() }),
            "interaction.requires_action" => {
                Self::InteractionRequiresAction(InteractionRequiresAction { id: id() })
            }
            "interaction.completed" => {
                Self::InteractionCompleted(InteractionCompleted { id: id() })
            }
            "interaction.failed" => Self::InteractionFailed(InteractionFailed {
                id: id(),
                error_code: error_code(),
                error_message: error_message(),
            }),
            "interaction.cancelled" => {
                Self::InteractionCancelled(InteractionCancelled { id: id() })
            }
            "video.generated" => Self::VideoGenerated(VideoGenerated {
                id: id(),
                output_file_uri: uri().or_else(|| text(video_uri)),
                file_name: text(name).or_else(|| text(file_id)),
            }),
            _ => Self::Unknown,
        }
    }
}

/// What a type is called now.
pub(super) fn present_name(type_name: &str) -> &str {
    match type_name {
        "batch.completed" => "batch.succeeded",
        other => other,
    }
}

/// A payload: private fields, an accessor for each.
macro_rules! payload {
    ($(#[$doc:meta])* $name:ident { $( $(#[$field_doc:meta])* $field:ident, )+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $( $field: Option<Text>, )+
        }

        impl $name {
            $(
                $(#[$field_doc])*
                #[must_use]
                pub fn $field(&self) -> Option<&str> {
                    self.$field.as_ref().map(Text::as_str)
                }
            )+
        }
    };
}

payload! {
    /// A batch is done.
    BatchSucceeded {
        /// The batch.
        id,
        /// Where its results are; absent for batches whose requests were given inline.
        output_file_uri,
    }
}

payload! {
    /// A batch failed.
    BatchFailed {
        /// The batch.
        id,
        /// The code, as text also where it came as a number.
        error_code,
        /// The message.
        error_message,
    }
}

payload! {
    /// A batch was not done in time.
    BatchExpired {
        /// The batch.
        id,
    }
}

payload! {
    /// A batch was cancelled.
    BatchCancelled {
        /// The batch.
        id,
    }
}

payload! {
    /// An interaction waits for you.
    InteractionRequiresAction {
        /// The interaction.
        id,
    }
}

payload! {
    /// An interaction is done.
    InteractionCompleted {
        /// The interaction.
        id,
    }
}

payload! {
    /// An interaction failed.
    InteractionFailed {
        /// The interaction.
        id,
        /// The code, as text also where it came as a number.
        error_code,
        /// The message.
        error_message,
    }
}

payload! {
    /// An interaction was cancelled.
    InteractionCancelled {
        /// The interaction.
        id,
    }
}

payload! {
    /// A video is there.
    VideoGenerated {
        /// The job.
        id,
        /// Where the video is; also read from the older name `video_uri`.
        output_file_uri,
        /// The file's name; also read from the older name `file_id`.
        file_name,
    }
}
