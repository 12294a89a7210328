//! What a diagnosis says.

use std::fmt;

use gemini_webhooks::{VerifyError, VerifyErrorKind};
use serde::Serialize;

/// What a receiver makes of a delivery, and, for a refusal, what most probably went wrong.
///
/// `Display` writes it for people, over several lines. With `serde` it is an object with the members `verified`,
/// `accepted`, `refusal` and `findings`.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<Accepted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<Refusal>,
    findings: Vec<Finding>,
}

impl Diagnosis {
    pub(super) fn accepted_as(accepted: Accepted) -> Self {
        Self {
            verified: true,
            accepted: Some(accepted),
            refusal: None,
            findings: Vec::new(),
        }
    }

    pub(super) fn refused(refusal: Refusal, findings: Vec<Finding>) -> Self {
        Self {
            verified: false,
            accepted: None,
            refusal: Some(refusal),
            findings,
        }
    }

    /// Returns whether the receiver accepts the delivery.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.verified
    }

    /// Returns what was accepted; `None` for a refusal.
    #[must_use]
    pub fn accepted(&self) -> Option<&Accepted> {
        self.accepted.as_ref()
    }

    /// Returns where and why the delivery is refused; `None` if it is accepted.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// Returns what was found, the likeliest cause first.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

/// A delivery that the receiver accepts.
#[derive(Clone, Debug, Serialize)]
pub struct Accepted {
    pub(super) webhook_id: String,
    pub(super) timestamp: u64,
    pub(super) scheme: &'static str,
    pub(super) key: String,
    pub(super) key_id: String,
    #[serde(rename = "type")]
    pub(super) event_type: Option<String>,
}

impl Accepted {
    /// Returns the `webhook-id`.
    #[must_use]
    pub fn webhook_id(&self) -> &str {
        &self.webhook_id
    }

    /// Returns the `webhook-timestamp`, in seconds since the Unix epoch.
    #[must_use]
    pub fn timestamp(&self) -> u64 {
        self.timestamp
    }

    /// Returns the scheme of the signature: `v1`, `v1a` or `jwt`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.scheme
    }

    /// Returns what the key that signed is called: a secret's label and key id, or a public key's id.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns the event's type, if the body has one.
    #[must_use]
    pub fn event_type(&self) -> Option<&str> {
        self.event_type.as_deref()
    }
}

/// Where a receiver refuses a delivery, and why.
#[derive(Clone, Debug, Serialize)]
pub struct Refusal {
    step: Step,
    code: &'static str,
    status: u16,
    reason: String,
}

impl Refusal {
    pub(super) fn new(error: &VerifyError) -> Self {
        let reason = error.to_string();
        // What it advises then is for those who have no findings.
        let reason = reason.split(". Either another key").next();
        Self {
            step: Step::of(error.kind()),
            code: error.kind().code(),
            status: error.status(),
            reason: reason.unwrap_or_default().to_owned(),
        }
    }

    /// Returns the step that refuses it.
    #[must_use]
    pub fn step(&self) -> Step {
        self.step
    }

    /// Returns the stable code, as in the receiver's answer, such as `signature_mismatch`.
    #[must_use]
    pub fn code(&self) -> &str {
        self.code
    }

    /// Returns the status that the receiver answers by default.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns what the receiver logs, without its advice.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// A step of a receiver, in the order in which they are taken. The guide's page *The way of a delivery* explains each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// The method is POST.
    Method,
    /// The URL carries the endpoint token.
    EndpointToken,
    /// The three headers are there and well-formed.
    Headers,
    /// The timestamp is near the present.
    Window,
    /// There is a signature in a scheme that the receiver has a key for.
    Scheme,
    /// The body has arrived and is not too long.
    Body,
    /// A key signed exactly this body.
    Signature,
    /// What comes after the signature: the app's own check, the claim, the handler.
    Later,
}

impl Step {
    fn of(kind: VerifyErrorKind) -> Self {
        use VerifyErrorKind as Kind;
        match kind {
            Kind::MethodNotAllowed => Self::Method,
            Kind::WrongEndpoint => Self::EndpointToken,
            Kind::MissingHeader
            | Kind::ConflictingHeader
            | Kind::InvalidId
            | Kind::InvalidTimestamp
            | Kind::InvalidSignatureHeader => Self::Headers,
            Kind::TimestampTooOld | Kind::TimestampTooNew => Self::Window,
            Kind::UnsupportedScheme | Kind::KeysUnavailable => Self::Scheme,
            Kind::BodyTooLarge | Kind::BodyTimeout | Kind::BodyIncomplete | Kind::Overloaded => {
                Self::Body
            }
            Kind::SignatureMismatch
            | Kind::InvalidToken
            | Kind::WrongAudience
            | Kind::UnknownKey
            | Kind::BodyMismatch => Self::Signature,
            _ => Self::Later,
        }
    }

    /// Returns what the step checks, as a phrase: "the three headers".
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Method => "the method",
            Self::EndpointToken => "the endpoint token in the URL",
            Self::Headers => "the three headers",
            Self::Window => "the time of sending",
            Self::Scheme => "the scheme of the signature",
            Self::Body => "the size of the body",
            Self::Signature => "the signature",
            Self::Later => "what comes after the signature",
        }
    }
}

/// One thing that was found out.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    cause: Cause,
    is_certain: bool,
    what: String,
    remedy: String,
}

impl Finding {
    /// What a signature proves.
    pub(super) fn certain(
        cause: Cause,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            cause,
            is_certain: true,
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// What is likely.
    pub(super) fn likely(cause: Cause, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            is_certain: false,
            ..Self::certain(cause, what, remedy)
        }
    }

    /// Returns the cause, to match on.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// Returns whether a signature proves it. If not, it is what is likely.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.is_certain
    }

    /// Returns what was found, as sentences.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Returns what to do about it, as sentences.
    #[must_use]
    pub fn remedy(&self) -> &str {
        &self.remedy
    }
}

/// What went wrong, as a value to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// Something on the way changed the body.
    BodyChanged,
    /// Another secret than those of the receiver signed, or another set of public keys.
    OtherKey,
    /// The sender used the text of the secret, or a wrong decoding of it, as the key.
    SecretMisread,
    /// The delivery is genuine, but its time is not near the present.
    Clock,
    /// A dynamic webhook (`v1a`) reached a receiver without public keys.
    DynamicWebhook,
    /// A static webhook (`v1`) reached a receiver without signing secrets.
    StaticWebhook,
    /// A JWT reached a receiver that does not accept any.
    JwtOff,
    /// A header of the delivery did not arrive.
    HeaderLost,
    /// A header arrived under another name, twice, joined, or with another value.
    HeaderChanged,
    /// The URL does not carry the endpoint token.
    EndpointToken,
    /// Nothing that was tried fits: the key is another, or the body was changed in a way that cannot be undone.
    Unknown,
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(accepted) = &self.accepted {
            let event_type = accepted.event_type.as_deref().unwrap_or("without a type");
            write!(
                f,
                "verified: {} signed it ({}); event {}, id {}, sent at {}\n\n\
                 If your app refused it, the app has another key, or got other bytes than these. Look for {} in its log, which \
                 names at its start the keys that it has (`key_ids`).",
                Plain(&accepted.key),
                accepted.scheme,
                Plain(event_type),
                Plain(&accepted.webhook_id),
                Seconds(accepted.timestamp),
                Plain(&accepted.key_id)
            )?;
        }
        if let Some(refusal) = &self.refusal {
            let Refusal {
                step, code, status, ..
            } = refusal;
            write!(f, "refused at {}: {code} (status {status})", step.as_str())?;
        }
        for finding in &self.findings {
            let sure = if finding.is_certain { "" } else { "Perhaps: " };
            write!(f, "\n\n{sure}{}\n  {}", finding.what, finding.remedy)?;
        }
        // Last, because a finding can know more than a receiver does.
        if let Some(refusal) = &self.refusal {
            write!(
                f,
                "\n\nA receiver with what you gave says: {}",
                refusal.reason
            )?;
        }
        Ok(())
    }
}

/// A number of seconds since 1970, as a date if it is one.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.0).ok();
        match seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()) {
            Some(time) => write!(f, "{time}"),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Whether a character could move the cursor of a terminal, turn the direction of its text, or is not seen.
#[must_use]
pub fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Text of the sender, with what could move a cursor or forge a line escaped.
pub(super) struct Plain<'a>(pub(super) &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars().take(256) {
            if is_hidden(char) {
                write!(f, "{}", char.escape_default())?;
            } else {
                write!(f, "{char}")?;
            }
        }
        Ok(())
    }
}
