use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "receiver")]
use super::Plain;

/// What was wrong with a delivery, as a plain value to match on.
///
/// Each kind has a default status ([`VerifyError::status`]) and a stable code
/// ([`VerifyErrorKind::code`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum VerifyErrorKind {
    /// The request is no POST. 405.
    MethodNotAllowed,
    /// The URL does not carry an endpoint token that this receiver accepts. 400.
    WrongEndpoint,
    /// One of the three headers is absent. 400.
    MissingHeader,
    /// One of the three headers is there twice, with different values: a proxy and this receiver
    /// could read different ones. 400.
    ConflictingHeader,
    /// `webhook-id` is empty, longer than 256 bytes, not visible ASCII, or could be read as an id
    /// and a timestamp. 400.
    InvalidId,
    /// `webhook-timestamp` is not a plain decimal number of seconds. 400.
    InvalidTimestamp,
    /// `webhook-signature` is empty, too long, has too many entries or bytes that are not visible
    /// ASCII. 400.
    InvalidSignatureHeader,
    /// Sent longer ago than the tolerance. 400.
    TimestampTooOld,
    /// Dated further ahead than the tolerance. 400.
    TimestampTooNew,
    /// No entry of the signature list is in a scheme that this receiver verifies. 400.
    UnsupportedScheme,
    /// No key made any of the signatures. 400.
    SignatureMismatch,
    /// A token is malformed, or against the rules for tokens. 400.
    InvalidToken,
    /// A token is for somebody else. 400.
    WrongAudience,
    /// A token names a key that is not among the public keys. 400.
    UnknownKey,
    /// The body that came with a token says something else than the token. 400.
    BodyMismatch,
    /// No key is valid now: every secret has reached its end, or the public keys cannot be
    /// fetched. 503.
    KeysUnavailable,
    /// The body is longer than the limit. 413.
    BodyTooLarge,
    /// The body did not arrive in time. 408.
    BodyTimeout,
    /// The body broke off. 400.
    BodyIncomplete,
    /// The deliveries in flight hold as much memory as they may. 503.
    Overloaded,
    /// The app's own check (`accept_if`) does not want it. 400.
    NotAccepted,
    /// The app's own check (`accept_if`) failed or took too long. 503.
    AcceptanceFailed,
    /// Another delivery of the same event is being handled. 409.
    InFlight,
    /// The guard that remembers events cannot answer. 503.
    GuardUnavailable,
    /// The handler did not answer in time. 503.
    HandlerTimeout,
}

impl VerifyErrorKind {
    /// A short text that never changes, the body of the default refusal:
    /// `{"error":"signature_mismatch"}`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::MethodNotAllowed => "method_not_allowed",
            Self::WrongEndpoint => "wrong_endpoint",
            Self::MissingHeader => "missing_header",
            Self::ConflictingHeader => "conflicting_header",
            Self::InvalidId => "invalid_id",
            Self::InvalidTimestamp => "invalid_timestamp",
            Self::InvalidSignatureHeader => "invalid_signature_header",
            Self::TimestampTooOld => "timestamp_too_old",
            Self::TimestampTooNew => "timestamp_too_new",
            Self::UnsupportedScheme => "unsupported_scheme",
            Self::SignatureMismatch => "signature_mismatch",
            Self::InvalidToken => "invalid_token",
            Self::WrongAudience => "wrong_audience",
            Self::UnknownKey => "unknown_key",
            Self::BodyMismatch => "body_mismatch",
            Self::KeysUnavailable => "keys_unavailable",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::BodyIncomplete => "body_incomplete",
            Self::Overloaded => "overloaded",
            Self::NotAccepted => "not_accepted",
            Self::AcceptanceFailed => "acceptance_failed",
            Self::InFlight => "in_flight",
            Self::GuardUnavailable => "guard_unavailable",
            Self::HandlerTimeout => "handler_timeout",
        }
    }

    /// 400 for what the sender got wrong, as in the samples of Google's guide.
    fn default_status(self) -> u16 {
        match self {
            Self::MethodNotAllowed => 405,
            Self::InFlight => 409,
            Self::BodyTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::KeysUnavailable
            | Self::Overloaded
            | Self::AcceptanceFailed
            | Self::GuardUnavailable
            | Self::HandlerTimeout => 503,
            Self::WrongEndpoint
            | Self::MissingHeader
            | Self::ConflictingHeader
            | Self::InvalidId
            | Self::InvalidTimestamp
            | Self::InvalidSignatureHeader
            | Self::TimestampTooOld
            | Self::TimestampTooNew
            | Self::UnsupportedScheme
            | Self::SignatureMismatch
            | Self::InvalidToken
            | Self::WrongAudience
            | Self::UnknownKey
            | Self::BodyMismatch
            | Self::BodyIncomplete
            | Self::NotAccepted => 400,
        }
    }
}

/// Why a delivery was refused.
///
/// [`kind`](Self::kind) is for programs, [`status`](Self::status) for the answer, `Display` for
/// the log: it says what an operator needs, such as how far off the timestamp was, and never a
/// secret, a signature or a digest. It is not meant for the sender, who gets
/// [`VerifyErrorKind::code`] only.
#[derive(Clone)]
pub struct VerifyError {
    kind: VerifyErrorKind,
    status: u16,
    detail: Detail,
}

/// What the log needs beyond the kind.
#[derive(Clone)]
pub(crate) enum Detail {
    None,
    /// A sentence.
    Text(&'static str),
    /// The header that is meant, by name.
    Header(&'static str),
    /// How far the timestamp is off, and how far it may be.
    Off {
        seconds: u64,
        tolerance: u64,
    },
    /// A sentence with values in it. What the sender chose of them is escaped and bounded.
    Told(Arc<str>),
    /// A limit in bytes.
    #[cfg(feature = "receiver")]
    Limit(usize),
    /// A limit in time.
    #[cfg(feature = "receiver")]
    After(Duration),
    /// Another error.
    #[cfg(feature = "receiver")]
    Source(Arc<dyn Error + Send + Sync>),
}

impl VerifyError {
    pub(crate) fn new(kind: VerifyErrorKind, detail: Detail) -> Self {
        Self {
            kind,
            status: kind.default_status(),
            detail,
        }
    }

    #[cfg(feature = "receiver")]
    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// What was wrong.
    #[must_use]
    pub fn kind(&self) -> VerifyErrorKind {
        self.kind
    }

    /// The HTTP status to answer: that of the kind, unless the receiver
    /// [maps it to another](crate::WebhookReceiverBuilder::status).
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// How long the sender should wait before it tries again, for what is not its fault (503, 409).
    /// The value of the `Retry-After` header.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        // Long enough to spread the retries, short enough for an event to stay useful.
        matches!(self.kind.default_status(), 409 | 503).then_some(Duration::from_secs(5))
    }
}

impl From<VerifyErrorKind> for VerifyError {
    fn from(kind: VerifyErrorKind) -> Self {
        Self::new(kind, Detail::None)
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use VerifyErrorKind as Kind;
        f.write_str(match self.kind {
            Kind::MethodNotAllowed => "only POST is a delivery",
            Kind::WrongEndpoint => "the URL carries no endpoint token of this receiver",
            Kind::MissingHeader => "a header is missing",
            Kind::ConflictingHeader => "a header is repeated with different values",
            Kind::InvalidId => "webhook-id is malformed",
            Kind::InvalidTimestamp => "webhook-timestamp is no plain decimal number of seconds",
            Kind::InvalidSignatureHeader => "webhook-signature is malformed",
            Kind::TimestampTooOld => "the delivery is too old",
            Kind::TimestampTooNew => "the delivery is dated in the future",
            Kind::UnsupportedScheme => "no signature is in a scheme that this receiver verifies",
            Kind::SignatureMismatch => "no key that is valid now made any of the signatures",
            Kind::InvalidToken => "the token is not what it should be",
            Kind::WrongAudience => "the token is for somebody else",
            Kind::UnknownKey => "the token names a key that is not among the public keys",
            Kind::BodyMismatch => "the body says something else than the token",
            Kind::KeysUnavailable => "no key is valid now",
            Kind::BodyTooLarge => "the body is too large",
            Kind::BodyTimeout => "the body did not arrive in time",
            Kind::BodyIncomplete => "the body broke off",
            Kind::Overloaded => "the deliveries in flight hold as much memory as they may",
            Kind::NotAccepted => "the app's own check does not want it",
            Kind::AcceptanceFailed => "the app's own check gave no answer",
            Kind::InFlight => "another delivery of the same event is being handled",
            Kind::GuardUnavailable => "the event cannot be claimed",
            Kind::HandlerTimeout => "the handler did not answer in time",
        })?;
        match &self.detail {
            Detail::None => Ok(()),
            Detail::Text(text) => write!(f, ": {text}"),
            Detail::Header(name) => write!(f, ": {name}"),
            Detail::Off { seconds, tolerance } => {
                write!(
                    f,
                    ": {seconds} s off, {tolerance} s allowed; check this machine's clock"
                )
            }
            Detail::Told(text) => write!(f, ": {text}"),
            #[cfg(feature = "receiver")]
            Detail::Limit(bytes) => write!(f, ": more than {bytes} bytes"),
            #[cfg(feature = "receiver")]
            Detail::After(limit) => write!(f, ": {limit:?}"),
            #[cfg(feature = "receiver")]
            Detail::Source(source) => write!(f, ": {}", Plain::new(source)),
        }
    }
}

/// As `Display`, with the kind.
impl fmt::Debug for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyError")
            .field("kind", &self.kind)
            .field("status", &self.status)
            .field("message", &format_args!("{self}"))
            .finish()
    }
}

impl Error for VerifyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.detail {
            #[cfg(feature = "receiver")]
            Detail::Source(source) => Some(source.as_ref()),
            _ => None,
        }
    }
}

#[cfg(all(test, feature = "receiver"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_senders_fault_may_come_again_soon() {
        for (kind, again) in [
            (VerifyErrorKind::InFlight, true),
            (VerifyErrorKind::KeysUnavailable, true),
            (VerifyErrorKind::SignatureMismatch, false),
            (VerifyErrorKind::BodyTimeout, false),
        ] {
            // Whatever status the app maps it to.
            for error in [
                VerifyError::from(kind),
                VerifyError::from(kind).with_status(418),
            ] {
                let expected = again.then_some(Duration::from_secs(5));
                assert_eq!(error.retry_after(), expected, "{error}");
            }
        }
    }

    #[test]
    fn text_of_others_is_escaped_and_bounded_and_the_source_as_it_was() {
        let text = format!(
            "store:\r\n2026 forged line \u{1b}[2J {}",
            "x".repeat(50_000)
        );
        let source: Box<dyn Error + Send + Sync> = text.clone().into();
        let error = VerifyError::new(
            VerifyErrorKind::GuardUnavailable,
            Detail::Source(source.into()),
        );
        for shown in [
            error.to_string(),
            format!("{error:?}"),
            format!("{error:#?}"),
        ] {
            assert!(
                shown.contains(r"store:\r\n2026 forged line \u{1b}[2J xxx"),
                "{shown}"
            );
            assert!(shown.contains("x… (cut)") && shown.len() < 1300, "{shown}");
            assert!(!shown.contains(['\r', '\u{1b}']), "{shown}");
        }
        assert!(!error.to_string().contains('\n'));
        assert_eq!(error.source().unwrap().to_string(), text);
    }
}
