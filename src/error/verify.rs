use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "receiver")]
use super::Plain;

/// The kind of a [`VerifyError`]: what was wrong, as a plain value to match on.
///
/// Each kind has a default [status](VerifyError::status) and a stable [code](Self::code), which is
/// the body of the default answer. Below, each kind has its status, its cause and its remedy. A
/// status can be changed with
/// [`WebhookReceiverBuilder::status`](crate::WebhookReceiverBuilder::status).
///
/// Google retries whatever is not answered with a 2xx for 24 hours, with growing pauses (Google's
/// guide, copies up to 2026-10-05). So if you remedy the cause within the day, the event is not lost.
/// Answers with status 409 and 503 carry `Retry-After`.
///
/// ```
/// use gemini_webhooks::{VerifyError, VerifyErrorKind};
///
/// /// Whether somebody should look at it.
/// fn is_alarming(error: &VerifyError) -> bool {
///     matches!(
///         error.kind(),
///         VerifyErrorKind::KeysUnavailable | VerifyErrorKind::GuardUnavailable
///     )
/// }
///
/// let error = VerifyError::from(VerifyErrorKind::KeysUnavailable);
/// assert!(is_alarming(&error));
/// assert_eq!(error.kind().code(), "keys_unavailable");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum VerifyErrorKind {
    /// The request is not a POST.
    ///
    /// - Status: 405.
    /// - Cause: a browser, a health check or a scanner sent the request.
    /// - Remedy: none for deliveries, which are POSTs. Point health checks at another path.
    MethodNotAllowed,
    /// The URL does not carry an endpoint token that this receiver accepts.
    ///
    /// - Status: 400.
    /// - Cause: the URL that Google has is an old one, a proxy drops the query, a router hides the
    ///   part of the path with the token, or a stranger sent the request.
    /// - Remedy: compare the URL that you gave to Google with
    ///   [`EndpointToken::url`](crate::EndpointToken::url).
    WrongEndpoint,
    /// One of the three headers of a delivery is missing.
    ///
    /// - Status: 400.
    /// - Cause: a proxy drops `webhook-id`, `webhook-timestamp` or `webhook-signature`, or the
    ///   request is not a delivery.
    /// - Remedy: let the proxy pass the headers on.
    MissingHeader,
    /// One of the three headers is there twice, with different values.
    ///
    /// - Status: 400.
    /// - Cause: a proxy adds a second one, and the two could be read differently by different
    ///   programs.
    /// - Remedy: find that proxy. Two lines with the same value are accepted.
    ConflictingHeader,
    /// The `webhook-id` is malformed.
    ///
    /// - Status: 400.
    /// - Cause: it is empty, longer than 256 bytes, or not visible ASCII, or a part after a dot is
    ///   all digits, so that the signed text could be read in two ways.
    /// - Remedy: none in your app. If Google changes its ids, report it to this project.
    InvalidId,
    /// The `webhook-timestamp` is not a plain decimal number of seconds.
    ///
    /// - Status: 400.
    /// - Cause: a proxy or a test tool writes it with a sign, a fraction or a leading zero.
    /// - Remedy: send it as Unix time in seconds.
    InvalidTimestamp,
    /// The `webhook-signature` is malformed.
    ///
    /// - Status: 400.
    /// - Cause: it is empty, longer than 4 KiB (16 KiB if JWTs are accepted), has more than 16
    ///   entries, or bytes that are not visible ASCII.
    /// - Remedy: find the proxy that changes the header.
    InvalidSignatureHeader,
    /// The timestamp lies further in the past than the tolerance allows.
    ///
    /// - Status: 400.
    /// - Cause: this machine's clock is fast, a queue or proxy holds deliveries back, somebody
    ///   sends a recording, or a JWT has expired.
    /// - Remedy: synchronise the clock, and let deliveries pass at once.
    TimestampTooOld,
    /// The timestamp lies further in the future than the tolerance allows.
    ///
    /// - Status: 400.
    /// - Cause: this machine's clock is slow, a test sends milliseconds, or a JWT is not valid yet.
    /// - Remedy: synchronise the clock, or send seconds.
    TimestampTooNew,
    /// No signature is in a scheme that this receiver is configured for.
    ///
    /// - Status: 400.
    /// - Cause: a dynamic webhook (`v1a`, or a JWT) reaches a receiver for static ones (`v1`), or
    ///   the other way round.
    /// - Remedy: configure the keys that the log names, or send each kind of webhook to its own
    ///   route.
    UnsupportedScheme,
    /// No key that is valid now made any of the signatures.
    ///
    /// - Status: 400.
    /// - Cause: another key signed the delivery, or the body was changed on its way. From the bytes
    ///   nobody can tell which for sure; `gemini-webhooks verify` tries what is usual.
    /// - Remedy: check that the secret is the one of this webhook. Then look for a proxy or a
    ///   middleware that decompresses, decodes or reformats the body. The log names the keys that
    ///   were tried and the length of the body.
    SignatureMismatch,
    /// The JWT is malformed, or breaks a rule for JWTs.
    ///
    /// - Status: 400.
    /// - Cause: it is not signed with RS256, lacks `kid` or `exp`, has extensions (`crit`), or has
    ///   another issuer than the one configured. The log says which.
    /// - Remedy: check `jwt_issuer`. Otherwise the sender is wrong.
    InvalidToken,
    /// The JWT is for another audience.
    ///
    /// - Status: 400.
    /// - Cause: its `aud` is none of those given to `accept_jwt`. The log has both.
    /// - Remedy: if the audience in the log is yours, give it to `accept_jwt`. If not, refusing it
    ///   is right.
    WrongAudience,
    /// The JWT names a key that is not among the public keys.
    ///
    /// - Status: 400.
    /// - Cause: its `kid` is unknown even after the keys were fetched again: it is forged, or the
    ///   keys come from the wrong place.
    /// - Remedy: if all JWTs fail, check where the keys come from (`jwks_url`).
    UnknownKey,
    /// The body differs from the JWT that came with it.
    ///
    /// - Status: 400.
    /// - Cause: a proxy changed the body, or somebody combined a JWT with another body.
    /// - Remedy: find what changes the body. It may be empty, or a JSON object whose members equal
    ///   the claims of the same name in the JWT.
    BodyMismatch,
    /// There is no valid key to verify with.
    ///
    /// - Status: 503.
    /// - Cause: every signing secret has reached its end, or the public keys cannot be fetched.
    /// - Remedy: add the new secret, or open the way to the URL of the keys (proxy settings, root
    ///   certificates). The log says why a fetch fails.
    KeysUnavailable,
    /// The body is longer than the limit.
    ///
    /// - Status: 413.
    /// - Cause: it exceeds `max_body_bytes` (64 KiB by default), or the limit of a middleware
    ///   further out.
    /// - Remedy: raise the limit if you put large `user_metadata` into jobs.
    BodyTooLarge,
    /// The body did not arrive in time.
    ///
    /// - Status: 408.
    /// - Cause: it took longer than `body_timeout` (10 seconds by default).
    /// - Remedy: look for a slow proxy. From a stranger it is an attempt to hold connections open.
    BodyTimeout,
    /// The connection ended before the body was complete.
    ///
    /// - Status: 400.
    /// - Cause: the sender or a proxy closed the connection.
    /// - Remedy: none, since Google retries. If it happens often, check the time limits of the
    ///   proxy.
    BodyIncomplete,
    /// The deliveries in flight hold as much memory as they may.
    ///
    /// - Status: 503.
    /// - Cause: their bodies together reach `max_buffered_bytes` (256 MiB by default), because many
    ///   senders are slow or handlers take long.
    /// - Remedy: make handlers quick, limit connections in front, or raise the limit.
    Overloaded,
    /// Your own check (`accept_if`) returned `Ok(false)`.
    ///
    /// - Status: 400.
    /// - Cause: the event is not about a job that your check knows.
    /// - Remedy: if it is yours, keep jobs in your records for a day after their event, because
    ///   retries are checked too.
    NotAccepted,
    /// Your own check (`accept_if`) gave no answer.
    ///
    /// - Status: 503.
    /// - Cause: it returned an error, panicked, or took longer than 2 seconds.
    /// - Remedy: fix the check, or make it quicker. The log has its error.
    AcceptanceFailed,
    /// Another delivery of the same event is being handled.
    ///
    /// - Status: 409.
    /// - Cause: Google sent the event again while your handler runs, or a process died while
    ///   handling it. In the second case it ends with the lease (120 seconds by default).
    /// - Remedy: usually none, since Google retries. If it is frequent, answer sooner.
    InFlight,
    /// The guard, which remembers events, cannot answer.
    ///
    /// - Status: 503.
    /// - Cause: its store failed, it took longer than `guard_timeout` (2 seconds by default), or a
    ///   `MemoryGuard` is full.
    /// - Remedy: check the store, or give the `MemoryGuard` a higher capacity. The log has the
    ///   error.
    GuardUnavailable,
    /// The handler took over the claim and answered with a 2xx, but the claim is not settled.
    ///
    /// - Status: 503.
    /// - Cause: the transaction in which your app settles (`settle_in`) was rolled back, was not
    ///   committed before the handler answered, or goes to another database than the guard.
    /// - Remedy: commit before you answer, and return an error if the commit fails.
    NotSettled,
    /// The handler did not answer in time and was stopped.
    ///
    /// - Status: 503.
    /// - Cause: it took longer than `handler_timeout` (30 seconds by default).
    /// - Remedy: store the event durably, answer, and do the work afterwards.
    HandlerTimeout,
}

impl VerifyErrorKind {
    /// Returns a short text that never changes, such as `signature_mismatch`.
    ///
    /// It is all that the sender is told: `{"error":"signature_mismatch"}` is the body of the default
    /// answer. The guide's page *A refused delivery* has a section for each code.
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
            Self::NotSettled => "not_settled",
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
            | Self::NotSettled
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

/// The error when a delivery is refused: why, and which status to answer.
///
/// - [`kind`](Self::kind) is for your code to match on.
/// - [`status`](Self::status) and [`retry_after`](Self::retry_after) are for the answer.
/// - `Display` is for your log. It says what an operator needs, such as how far the timestamp is
///   off. It never contains a secret, a signature or a digest. Do not send it to the sender, who may
///   be anyone: [`VerifyErrorKind::code`] is enough.
///
/// The middleware makes the answer, so most apps never see this error. To see it, read it from the
/// response's extensions (tower, axum) or from `response.error()` (actix-web), or replace the answer
/// with `VerifyLayer::with_response` or `VerifyWebhook::error_handler`.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use gemini_webhooks::{DeliveryHeaders, Keyring, Verifier, VerifyErrorKind};
///
/// let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse()?;
/// let verifier = Verifier::new(Keyring::new(secret));
/// let headers = DeliveryHeaders::from_lines([
///     ("webhook-id", "msg_1"),
///     ("webhook-timestamp", "1700000000"),
///     ("webhook-signature", "v1,bm90IHRoZSBzaWduYXR1cmUgb2YgdGhpcyBib2R5ISE="),
/// ]);
/// let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
///
/// let error = verifier.verify(&headers, b"{}", now).unwrap_err();
/// assert_eq!(error.kind(), VerifyErrorKind::SignatureMismatch);
/// assert_eq!(error.status(), 400);
/// assert_eq!(error.retry_after(), None);
/// # Ok::<(), gemini_webhooks::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct VerifyError {
    kind: VerifyErrorKind,
    status: u16,
    retry_after: Option<Duration>,
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
        let status = kind.default_status();
        Self {
            kind,
            status,
            // Long enough to spread the retries, short enough for an event to stay useful.
            retry_after: matches!(status, 409 | 503).then_some(Duration::from_secs(5)),
            detail,
        }
    }

    #[cfg(feature = "receiver")]
    pub(crate) fn with_retry_after(mut self, time: Duration) -> Self {
        self.retry_after = Some(time);
        self
    }

    #[cfg(feature = "receiver")]
    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Tells the log this as well.
    #[cfg(feature = "receiver")]
    pub(crate) fn adding(mut self, more: &str) -> Self {
        self.detail = Detail::Told(match &self.detail {
            Detail::Told(told) => format!("{told}; {more}").into(),
            _ => more.into(),
        });
        self
    }

    /// Returns what was wrong, as a value to match on.
    #[must_use]
    pub fn kind(&self) -> VerifyErrorKind {
        self.kind
    }

    /// Returns the HTTP status to answer.
    ///
    /// It is that of the [kind](VerifyErrorKind), unless the receiver
    /// [maps the kind to another](crate::WebhookReceiverBuilder::status).
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns how long the sender should wait before it retries: the `Retry-After` header.
    ///
    /// It is there for kinds whose default status is 409 or 503: what is left of the lease for
    /// [`VerifyErrorKind::InFlight`], if the guard knows that, and 5 seconds for all others. A
    /// receiver adds up to half of it, by chance, so that retries do not come all at once. Whether
    /// Google respects the header is not known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
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
            Kind::MethodNotAllowed => "the request is not a POST",
            Kind::WrongEndpoint => "the URL carries no endpoint token that this receiver accepts",
            Kind::MissingHeader => "a header that every delivery has is missing",
            Kind::ConflictingHeader => "a header is there more than once, with different values",
            Kind::InvalidId => "`webhook-id` is malformed",
            Kind::InvalidTimestamp => {
                "`webhook-timestamp` is not a plain decimal number of seconds since 1970"
            }
            Kind::InvalidSignatureHeader => "`webhook-signature` is malformed",
            Kind::TimestampTooOld => "the timestamp is too far in the past",
            Kind::TimestampTooNew => "the timestamp is too far in the future",
            Kind::UnsupportedScheme => {
                "no signature is in a scheme that this receiver is configured for"
            }
            Kind::SignatureMismatch => "no key that is valid now made any of the signatures",
            Kind::InvalidToken => "the JWT is malformed or breaks a rule for JWTs",
            Kind::WrongAudience => "the JWT is for another audience",
            Kind::UnknownKey => "the JWT names a key that is not among the public keys",
            Kind::BodyMismatch => "the body differs from the JWT that came with it",
            Kind::KeysUnavailable => "there is no valid key to verify with",
            Kind::BodyTooLarge => "the body is too long",
            Kind::BodyTimeout => "the body did not arrive in time",
            Kind::BodyIncomplete => "the body did not arrive to its end",
            Kind::Overloaded => "the bodies of the deliveries in flight hold too much memory",
            Kind::NotAccepted => "the app's own check (`accept_if`) returned `Ok(false)`",
            Kind::AcceptanceFailed => "the app's own check (`accept_if`) gave no answer",
            Kind::InFlight => "another delivery of the same event is being handled",
            Kind::GuardUnavailable => {
                "it is not known whether the event is new"
            }
            Kind::NotSettled => {
                "the handler took over the claim and answered with a 2xx, but its transaction has not settled the claim"
            }
            Kind::HandlerTimeout => "the handler took too long and was stopped",
        })?;
        match &self.detail {
            Detail::None => Ok(()),
            Detail::Text(text) => write!(f, ": {text}"),
            Detail::Header(name) => write!(f, ": {name}"),
            Detail::Off { seconds, tolerance } => {
                write!(
                    f,
                    ": {seconds} s off, {tolerance} s allowed; check that this machine's clock is right"
                )
            }
            Detail::Told(text) => write!(f, ": {text}"),
            #[cfg(feature = "receiver")]
            Detail::Limit(bytes) => {
                let setting = match self.kind {
                    Kind::Overloaded => "max_buffered_bytes",
                    _ => "max_body_bytes",
                };
                write!(f, ": more than {bytes} bytes (`{setting}`)")
            }
            #[cfg(feature = "receiver")]
            Detail::After(limit) => write!(f, ": the limit is {limit:?}"),
            #[cfg(feature = "receiver")]
            Detail::Source(source) => write!(f, ": {}", Plain::new(source)),
        }
    }
}

/// Shows the kind and the status, and the text of `Display`.
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
