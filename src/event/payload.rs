//! The nine types of events and what each carries.
//!
//! The payloads are thin: a status and pointers. Fields are optional, and one that is missing or
//! of another type than expected is `None`: an authentic event is never refused for its shape.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::EventKind;
use super::text::Text;
use crate::json::{members, string, string_or_number};

/// What an event of one type carries; [`GeminiEvent::payload`](super::GeminiEvent::payload) reads it.
///
/// For code over all of them, such as routes by type and the workers of a queue. It is sealed: a type
/// that this version does not know is read by
/// [`GeminiEvent::data_as`](super::GeminiEvent::data_as).
pub trait Payload: Sealed + Clone + fmt::Debug + Send + Sync + 'static {
    /// What the type is called now, such as `batch.succeeded`.
    const TYPE_NAME: &'static str;

    /// What it was called before.
    const OLDER_NAMES: &'static [&'static str];

    /// Whether this is a name of the type, the present one or an older one.
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
    /// A batch is done.
    BatchSucceeded = "batch.succeeded" or "batch.completed" {
        /// The batch.
        id: string("id"),
        /// Where its results are; absent for batches whose requests were given inline.
        output_file_uri: string("output_file_uri"),
    }
}

payload! {
    /// A batch failed.
    BatchFailed = "batch.failed" {
        /// The batch.
        id: string("id"),
        /// The code, as text also where it came as a number.
        error_code: string_or_number("error_code"),
        /// The message.
        error_message: string("error_message"),
    }
}

payload! {
    /// A batch was not done in time.
    BatchExpired = "batch.expired" {
        /// The batch.
        id: string("id"),
    }
}

payload! {
    /// A batch was cancelled.
    BatchCancelled = "batch.cancelled" {
        /// The batch.
        id: string("id"),
    }
}

payload! {
    /// An interaction waits for you.
    InteractionRequiresAction = "interaction.requires_action" {
        /// The interaction.
        id: string("id"),
    }
}

payload! {
    /// An interaction is done.
    InteractionCompleted = "interaction.completed" {
        /// The interaction.
        id: string("id"),
    }
}

payload! {
    /// An interaction failed.
    InteractionFailed = "interaction.failed" {
        /// The interaction.
        id: string("id"),
        /// The code, as text also where it came as a number.
        error_code: string_or_number("error_code"),
        /// The message.
        error_message: string("error_message"),
    }
}

payload! {
    /// An interaction was cancelled.
    InteractionCancelled = "interaction.cancelled" {
        /// The interaction.
        id: string("id"),
    }
}

payload! {
    /// A video is there.
    VideoGenerated = "video.generated" {
        /// The job.
        id: string("id"),
        /// Where the video is; also read from the older name `video_uri`.
        output_file_uri: string("output_file_uri", "video_uri"),
        /// The file's name; also read from the older name `file_id`.
        file_name: string("file_name", "file_id"),
    }
}
