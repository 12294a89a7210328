//! What can go wrong: [`ConfigError`] while building, [`VerifyError`] with a delivery.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Any error, boxed.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// A mistake in the configuration, found while building.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// Neither a secret nor public keys were given, so nothing could ever be verified.
    NoKeys,
    /// Public keys are trusted that all of Google's customers share, and nothing ties a delivery to
    /// this project: set an [`EndpointToken`](crate::EndpointToken), or say
    /// `allow_any_google_project`.
    AnyGoogleProject,
    /// The endpoint token is shorter than 22 characters, which hold 128 bits.
    EndpointTokenTooShort,
    /// The endpoint token has other characters than letters, digits, `-` and `_`.
    EndpointTokenAlphabet,
    /// The environment variable for the endpoint token is not set.
    EndpointTokenUnset,
    /// The operating system gave no random bytes.
    NoRandomness,
    /// The secret is empty.
    SecretEmpty,
    /// The secret decodes to fewer than 16 bytes, which could be guessed. Standard Webhooks asks
    /// for 24 to 64.
    SecretTooShort {
        /// How many bytes it decodes to.
        bytes: usize,
    },
    /// The secret is wrapped in quotes, as from an `.env` file that was read verbatim.
    SecretQuoted,
    /// The secret starts with `v1,`: that is a signature, or a secret with a signature's prefix.
    SecretIsSignature,
    /// The secret starts with `whsk_` or `whpk_`: those are asymmetric keys.
    SecretIsAsymmetric,
    /// The secret has white space inside, as if two were pasted into one.
    SecretHasWhitespace,
    /// The secret is in the url-safe alphabet (`-`, `_`); Google issues standard base64.
    SecretUrlSafe,
    /// The secret is no base64.
    SecretNotBase64,
    /// A limit or a duration is zero, which would refuse every delivery.
    Zero {
        /// The builder's method.
        setting: &'static str,
    },
    /// An error can only be answered with a status from 400 to 599: anything else would tell the
    /// sender that the delivery was taken.
    StatusNotAnError {
        /// The status that was asked for.
        status: u16,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKeys => f.write_str("neither a signing secret nor public keys were given"),
            Self::AnyGoogleProject => f.write_str(
                "public keys prove that Google sent a delivery, not that it is yours: set an endpoint token, or call `allow_any_google_project`",
            ),
            Self::EndpointTokenTooShort => {
                f.write_str("the endpoint token has fewer than 22 characters, so less than 128 bits")
            }
            Self::EndpointTokenAlphabet => f.write_str(
                "the endpoint token may have letters, digits, `-` and `_` only",
            ),
            Self::EndpointTokenUnset => {
                f.write_str("the environment variable for the endpoint token is not set")
            }
            Self::NoRandomness => f.write_str("the operating system gave no random bytes"),
            Self::SecretEmpty => f.write_str("the signing secret is empty"),
            Self::SecretTooShort { bytes } => write!(
                f,
                "the signing secret decodes to {bytes} bytes; at least 16 are needed, 24 to 64 are usual"
            ),
            Self::SecretQuoted => {
                f.write_str("the signing secret is wrapped in quotes; give it without them")
            }
            Self::SecretIsSignature => f.write_str(
                "the signing secret starts with `v1,`, which belongs to a signature; a secret starts with `whsec_`",
            ),
            Self::SecretIsAsymmetric => f.write_str(
                "the signing secret starts with `whsk_` or `whpk_`, an asymmetric key; a shared secret starts with `whsec_`",
            ),
            Self::SecretHasWhitespace => f.write_str(
                "the signing secret has white space inside; give several secrets one at a time",
            ),
            Self::SecretUrlSafe => f.write_str(
                "the signing secret uses the url-safe alphabet (`-`, `_`); standard base64 (`+`, `/`) is needed",
            ),
            Self::SecretNotBase64 => f.write_str("the signing secret is no standard base64"),
            Self::Zero { setting } => write!(f, "`{setting}` is zero, which would refuse every delivery"),
            Self::StatusNotAnError { status } => {
                write!(f, "{status} is no error status; 400 to 599 are")
            }
        }
    }
}

impl Error for ConfigError {}

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
    /// No key is valid now, for instance because every secret has reached its end. 503.
    KeysUnavailable,
    /// The body is longer than the limit. 413.
    BodyTooLarge,
    /// The body did not arrive in time. 408.
    BodyTimeout,
    /// The body broke off. 400.
    BodyIncomplete,
    /// The deliveries in flight hold as much memory as they may. 503.
    Overloaded,
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
            Self::KeysUnavailable => "keys_unavailable",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::BodyIncomplete => "body_incomplete",
            Self::Overloaded => "overloaded",
            Self::HandlerTimeout => "handler_timeout",
        }
    }

    /// 400 for what the sender got wrong, as in the samples of Google's guide.
    fn default_status(self) -> u16 {
        match self {
            Self::MethodNotAllowed => 405,
            Self::BodyTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::KeysUnavailable | Self::Overloaded | Self::HandlerTimeout => 503,
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
            | Self::BodyIncomplete => 400,
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
    /// The entry versions that were present, cleaned of anything that could forge a log line.
    Versions(Arc<str>),
    /// A limit in bytes.
    Limit(usize),
    /// A limit in time.
    After(Duration),
    /// Another error.
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

    /// How long the sender should wait before it tries again, for what is not its fault (503).
    /// The value of the `Retry-After` header.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        // Long enough to spread the retries, short enough for an event to stay useful.
        (self.kind.default_status() == 503).then_some(Duration::from_secs(5))
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
            Kind::SignatureMismatch => {
                "no key of this receiver made any of the signatures: another secret, or another body than was signed"
            }
            Kind::KeysUnavailable => "no key is valid now",
            Kind::BodyTooLarge => "the body is too large",
            Kind::BodyTimeout => "the body did not arrive in time",
            Kind::BodyIncomplete => "the body broke off",
            Kind::Overloaded => "the deliveries in flight hold as much memory as they may",
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
            Detail::Versions(found) => write!(f, ": found {found}"),
            Detail::Limit(bytes) => write!(f, ": more than {bytes} bytes"),
            Detail::After(limit) => write!(f, ": {limit:?}"),
            Detail::Source(source) => write!(f, ": {source}"),
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
            Detail::Source(source) => Some(source.as_ref()),
            _ => None,
        }
    }
}
