//! The nine types of events, and the payload of each.
//!
//! Payloads are thin: an id, a status, and pointers such as a file's name. A field that is missing,
//! or of another JSON type than expected, is `None`: an authentic event is never refused for its
//! shape.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::EventKind;
use super::text::Text;
use crate::json::{members, string, string_or_number};

/// The payload of one type of event, such as [`BatchSucceeded`].
///
/// Use it to write code that is generic over types of events, such as a worker for a queue.
/// [`GeminiEvent::payload`](super::GeminiEvent::payload) reads one. The trait is sealed: for a type
/// that this version does not know, use [`GeminiEvent::data_as`](super::GeminiEvent::data_as).
pub trait Payload: Sealed + Clone + fmt::Debug + Send + Sync + 'static {
    /// The present name of the type, such as `batch.succeeded`.
    const TYPE_NAME: &'static str;

    /// Names that the type had before, which are recognised too.
    const OLDER_NAMES: &'static [&'static str];

    /// Returns whether this is the present name of the type, or an older one.
    #[must_use]
    fn is_named(type_name: &str) -> bool {
        type_name == Self::TYPE_NAME || Self::OLDER_NAMES.contains(&type_name)
    }
}

/// How a payload is read.
#[expect(
    unnameable_types,
    reason = "it seals `Payload`, and how one is read may change"
)]
pub trait Sealed: Sized {
    #[doc(hidden)]
    fn read(body: &Bytes, data: Option<&str>) -> Self;

    #[doc(hidden)]
    fn of(kind: &EventKind) -> Option<&Self>;
}

/// How the text of a field is read.
type Read = for<'a> fn(&'a RawValue) -> Option<Cow<'a, str>>;

/// Calls a macro with the names of all payloads.
macro_rules! each_payload {
    ($then:ident) => {
        $then! {
            BatchSucceeded
            BatchFailed
            BatchExpired
            BatchCancelled
            InteractionRequiresAction
            InteractionCompleted
            InteractionFailed
            InteractionCancelled
            VideoGenerated
        }
    };
}

pub(crate) use each_payload;

/// A payload: the names of its type, private fields, and an accessor for each. A field is read from
/// the first of its members that can be read so; newer names go first.
macro_rules! payload {
    (
        $(#[$doc:meta])*
        $name:ident = $type_name:literal $(or $older:literal)* {
            $( $(#[$field_doc:meta])* $field:ident: $read:ident($($member:literal),+), )+
        }
    ) => {
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

        impl Payload for $name {
            const TYPE_NAME: &'static str = $type_name;
            const OLDER_NAMES: &'static [&'static str] = &[$($older),*];
        }

        impl Sealed for $name {
            fn read(body: &Bytes, data: Option<&str>) -> Self {
                let names = [$($($member),+),+];
                let found = data.and_then(|data| members(data, &names)).unwrap_or_default();
                let first = |wanted: &[&str], read: Read| {
                    let mut values = names
                        .iter()
                        .zip(found)
                        .filter_map(|(name, value)| wanted.contains(name).then_some(value?));
                    Some(Text::new(body, values.find_map(read)?))
                };
                Self {
                    $( $field: first(&[$($member),+], $read), )+
                }
            }

            fn of(kind: &EventKind) -> Option<&Self> {
                match kind {
                    EventKind::$name(payload) => Some(payload),
                    _ => None,
                }
            }
        }
    };
}

payload! {
    /// The payload of `batch.succeeded`: a batch is done.
    BatchSucceeded = "batch.succeeded" or "batch.completed" {
        /// Returns the id of the batch. Expect both `batches/x` and `x`.
        id: string("id"),
        /// Returns the file with the results, such as `files/x`.
        ///
        /// `None` for a batch whose requests were given inline (Google's guide): read its results
        /// from the batch itself.
        output_file_uri: string("output_file_uri"),
    }
}

payload! {
    /// The payload of `batch.failed`: a batch ended with an error.
    BatchFailed = "batch.failed" {
        /// Returns the id of the batch. Expect both `batches/x` and `x`.
        id: string("id"),
        /// Returns the error code, as text.
        ///
        /// Google's guide shows text. A number, as elsewhere in the API, is returned as text too.
        error_code: string_or_number("error_code"),
        /// Returns the error message.
        error_message: string("error_message"),
    }
}

payload! {
    /// The payload of `batch.expired`: a batch was not done in time.
    BatchExpired = "batch.expired" {
        /// Returns the id of the batch. Expect both `batches/x` and `x`.
        id: string("id"),
    }
}

payload! {
    /// The payload of `batch.cancelled`: a batch was cancelled.
    BatchCancelled = "batch.cancelled" {
        /// Returns the id of the batch. Expect both `batches/x` and `x`.
        id: string("id"),
    }
}

payload! {
    /// The payload of `interaction.requires_action`: an interaction waits for you.
    InteractionRequiresAction = "interaction.requires_action" {
        /// Returns the id of the interaction.
        id: string("id"),
    }
}

payload! {
    /// The payload of `interaction.completed`: an interaction is done.
    InteractionCompleted = "interaction.completed" {
        /// Returns the id of the interaction.
        id: string("id"),
    }
}

payload! {
    /// The payload of `interaction.failed`: an interaction ended with an error.
    InteractionFailed = "interaction.failed" {
        /// Returns the id of the interaction.
        id: string("id"),
        /// Returns the error code, as text.
        ///
        /// Google's guide shows text. A number, as elsewhere in the API, is returned as text too.
        error_code: string_or_number("error_code"),
        /// Returns the error message.
        error_message: string("error_message"),
    }
}

payload! {
    /// The payload of `interaction.cancelled`: an interaction was cancelled.
    InteractionCancelled = "interaction.cancelled" {
        /// Returns the id of the interaction.
        id: string("id"),
    }
}

payload! {
    /// The payload of `video.generated`: a video is done.
    VideoGenerated = "video.generated" {
        /// Returns the id of the job that made the video.
        id: string("id"),
        /// Returns where the video is. It is also read from its older name, `video_uri`.
        output_file_uri: string("output_file_uri", "video_uri"),
        /// Returns the name of the video's file. It is also read from its older name, `file_id`.
        file_name: string("file_name", "file_id"),
    }
}
