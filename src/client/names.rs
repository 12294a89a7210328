//! Names of the API. A name that this version does not know is kept, and sent as it is.

use std::fmt;

/// An enum of names, with a variant for every other text.
macro_rules! names {
    (
        $(#[$doc:meta])*
        $name:ident { $( $(#[$variant_doc:meta])* $variant:ident = $text:literal, )+ }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum $name {
            $( $(#[$variant_doc])* $variant, )+
            /// A name that this version does not know. Make it with `from`, which returns the variant
            /// of a known name.
            #[non_exhaustive]
            Other(Box<str>),
        }

        impl $name {
            /// Returns the name in the API.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $( Self::$variant => $text, )+
                    Self::Other(name) => name,
                }
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                match name {
                    $( $text => Self::$variant, )+
                    other => Self::Other(other.into()),
                }
            }
        }

        impl From<String> for $name {
            fn from(name: String) -> Self {
                Self::from(name.as_str())
            }
        }

        impl From<&Self> for $name {
            fn from(name: &Self) -> Self {
                name.clone()
            }
        }

        /// Shows the name in the API. A name of others is escaped and cut, so that it is one line.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&crate::error::Plain::new(self.as_str()), f)
            }
        }
    };
}

names! {
    /// A type of event that a webhook can be subscribed to.
    ///
    /// The service accepts these seven (Google's SDK; one user's report, 2026-08-31,
    /// googleapis/python-genai #2927).
    ///
    /// ```
    /// use gemini_webhooks::client::SubscribedEvent;
    ///
    /// assert_eq!(SubscribedEvent::from("batch.failed"), SubscribedEvent::BatchFailed);
    /// assert_eq!(SubscribedEvent::from("music.generated").as_str(), "music.generated");
    /// ```
    SubscribedEvent {
        /// A batch is done.
        BatchSucceeded = "batch.succeeded",
        /// A batch ended with an error.
        BatchFailed = "batch.failed",
        /// A batch was not done in time.
        BatchExpired = "batch.expired",
        /// An interaction waits for a function's result or a decision of yours.
        InteractionRequiresAction = "interaction.requires_action",
        /// An interaction is done.
        InteractionCompleted = "interaction.completed",
        /// An interaction ended with an error.
        InteractionFailed = "interaction.failed",
        /// A video is done.
        VideoGenerated = "video.generated",
    }
}

impl SubscribedEvent {
    /// All types that the service is known to accept.
    pub const ALL: [Self; 7] = [
        Self::BatchSucceeded,
        Self::BatchFailed,
        Self::BatchExpired,
        Self::InteractionRequiresAction,
        Self::InteractionCompleted,
        Self::InteractionFailed,
        Self::VideoGenerated,
    ];

    /// What to use instead of a type that the service is known to refuse (seen live, 2026, but for
    /// `video.cancelled`, which is only like the others). Google's guide lists `batch.cancelled` and
    /// `interaction.cancelled` all the same.
    pub(super) fn instead(&self) -> Option<&'static str> {
        match self.as_str() {
            "batch.completed" => Some("it is called `batch.succeeded` now"),
            "batch.cancelled" => Some(
                "nothing is sent when a batch is cancelled; ask for its state with `batches().get`",
            ),
            "interaction.cancelled" => Some(
                "nothing is sent when an interaction is cancelled; ask for its status with `interactions().get`",
            ),
            "video.cancelled" => Some(
                "nothing is sent when a video is cancelled; ask for its state with `videos().get`",
            ),
            _ => None,
        }
    }
}

names! {
    /// Whether a webhook is enabled or switched off.
    WebhookState {
        /// It gets deliveries.
        Enabled = "enabled",
        /// Somebody switched it off, and it gets no deliveries.
        Disabled = "disabled",
        /// The service switched it off, because too many deliveries failed. How many is not known.
        DisabledDueToFailedDeliveries = "disabled_due_to_failed_deliveries",
    }
}

names! {
    /// When the previous signing secrets end after a rotation.
    RevocationBehavior {
        /// After 24 hours. Until then, deliveries are signed with each of them. The service's
        /// default.
        AfterH24 = "revoke_previous_secrets_after_h24",
        /// At once. Your receiver refuses deliveries until it has the new secret.
        Immediately = "revoke_previous_secrets_immediately",
    }
}

names! {
    /// The state of a batch.
    BatchState {
        /// It waits for its turn.
        Pending = "BATCH_STATE_PENDING",
        /// It runs.
        Running = "BATCH_STATE_RUNNING",
        /// It is done.
        Succeeded = "BATCH_STATE_SUCCEEDED",
        /// It ended with an error.
        Failed = "BATCH_STATE_FAILED",
        /// Somebody cancelled it. No webhook can be subscribed to this.
        Cancelled = "BATCH_STATE_CANCELLED",
        /// It was not done in time.
        Expired = "BATCH_STATE_EXPIRED",
    }
}

names! {
    /// The status of an interaction.
    ///
    /// A webhook can be subscribed to events for `RequiresAction`, `Completed` and `Failed` only
    /// (Google's SDK, 2026). Whether the service sends events for other statuses is not known.
    InteractionStatus {
        /// It waits for its turn.
        Queued = "queued",
        /// It runs.
        InProgress = "in_progress",
        /// It waits for a function's result or a decision of yours.
        RequiresAction = "requires_action",
        /// It waits to be continued.
        RequiresContinuation = "requires_continuation",
        /// It is done.
        Completed = "completed",
        /// It ended with an error.
        Failed = "failed",
        /// Somebody cancelled it.
        Cancelled = "cancelled",
        /// It ended before it was complete.
        Incomplete = "incomplete",
        /// It would have exceeded its budget.
        BudgetExceeded = "budget_exceeded",
        /// It does nothing at the moment.
        Idle = "idle",
    }
}

/// The state of a video, as `done` and `error` of its operation tell it. The API has no names for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum VideoState {
    /// It is being made, or waits for its turn.
    Running,
    /// It is done.
    Succeeded,
    /// It ended with an error. There is no event for that.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_comes_back_as_it_was() {
        for event in SubscribedEvent::ALL {
            assert_eq!(SubscribedEvent::from(event.as_str()), event);
            assert!(!matches!(event, SubscribedEvent::Other(_)));
        }
        for name in ["", "batch.done", "BATCH.SUCCEEDED", "a\nb"] {
            let event = SubscribedEvent::from(name);
            assert!(matches!(&event, SubscribedEvent::Other(other) if **other == *name));
            assert_eq!(event.as_str(), name);
        }
        assert_eq!(WebhookState::from("enabled"), WebhookState::Enabled);
        assert_eq!(BatchState::from("BATCH_STATE_FAILED"), BatchState::Failed);
        assert_eq!(InteractionStatus::from("idle"), InteractionStatus::Idle);
        assert_eq!(WebhookState::from("a\nb").to_string(), r"a\nb");
    }

    #[test]
    fn what_the_service_refuses_has_something_instead() {
        for (name, part) in [
            ("batch.completed", "`batch.succeeded`"),
            ("batch.cancelled", "batches().get"),
            ("interaction.cancelled", "interactions().get"),
            ("video.cancelled", "videos().get"),
        ] {
            let instead = SubscribedEvent::from(name).instead().unwrap_or_default();
            assert!(instead.contains(part), "{name}: {instead}");
        }
        for event in SubscribedEvent::ALL {
            assert_eq!(event.instead(), None, "{event}");
        }
        assert_eq!(SubscribedEvent::from("music.generated").instead(), None);
    }
}
